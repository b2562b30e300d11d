"""Compare ways to use unlabeled images: ``python -m skinlab.study data=ham10000 output=DIR``."""

from skinlab.cli.entry import run_command

if __name__ == "__main__":
    run_command("study")
