"""Compare test-time augmentations: ``python -m skinlab.tta ckpt=RUN output=DIR``."""

from skinlab.cli.entry import run_command

if __name__ == "__main__":
    run_command("tta")
