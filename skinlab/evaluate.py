"""Evaluate predictions: ``python -m skinlab.evaluate predictions=RUN output=DIR``."""

from skinlab.runtime.entry import Command, command


def load() -> Command:
    """Import what evaluates; it waits until the config is known to be good."""
    from skinlab.runtime.evaluating import evaluate

    return evaluate


if __name__ == "__main__":
    command("evaluate", load)
