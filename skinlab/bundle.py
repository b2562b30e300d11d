"""Pack a model for use elsewhere: ``python -m skinlab.bundle ckpt=RUN output=FILE.bundle``."""

from skinlab.cli.entry import run_command

if __name__ == "__main__":
    run_command("bundle")
