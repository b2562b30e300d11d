"""Predict images: ``python -m skinlab.predict ckpt=RUN input=FOLDER output=FILE.csv``."""

from skinlab.cli.entry import run_command

if __name__ == "__main__":
    run_command("predict")
