"""Predict images: ``python -m skinlab.predict ckpt=RUN input=FOLDER output=FILE.csv``."""

from skinlab.runtime.entry import Command, command


def load() -> Command:
    """Import what predicts; torch comes with it, so it waits until the config is known to be good."""
    from skinlab.runtime.predicting import predict

    return predict


if __name__ == "__main__":
    command("predict", load)
