"""Rank unlabeled images for an expert: ``python -m skinlab.mine ckpt=RUN output=DIR``."""

from skinlab.runtime.entry import Command, command


def load() -> Command:
    """Import what mines; torch comes with it, so it waits until the config is known to be good."""
    from skinlab.runtime.mining import mine

    return mine


if __name__ == "__main__":
    command("mine", load)
