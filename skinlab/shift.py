"""Probe a model on altered and on other images: ``python -m skinlab.shift ckpt=RUN data=ph2 output=DIR``."""

from skinlab.cli.entry import run_command

if __name__ == "__main__":
    run_command("shift")
