"""Train a classifier: ``python -m skinlab.train data=ham10000 model=effnet_b3 loss=focal``."""

from skinlab.runtime.entry import Command, command


def load() -> Command:
    """Import what trains; torch comes with it, so it waits until the config is known to be good."""
    from skinlab.runtime.training import train

    return train


if __name__ == "__main__":
    command("train", load)
