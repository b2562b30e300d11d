"""Train a classifier: ``python -m skinlab.train data=ham10000 model=effnet_b3 loss=focal``."""

from skinlab.cli.entry import run_command

if __name__ == "__main__":
    run_command("train")
