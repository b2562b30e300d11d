"""Evaluate predictions: ``python -m skinlab.evaluate predictions=RUN output=DIR``."""

from skinlab.cli.entry import run_command

if __name__ == "__main__":
    run_command("evaluate")
