"""Rank unlabeled images for annotation: ``python -m skinlab.mine ckpt=RUN output=DIR``."""

from skinlab.cli.entry import run_command

if __name__ == "__main__":
    run_command("mine")
