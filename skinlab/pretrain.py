"""Pretrain a backbone without labels: ``python -m skinlab.pretrain ssl=simclr data=ham10000 model=effnet_lite0``."""

from skinlab.runtime.entry import Command, command


def load() -> Command:
    """Import what pretrains; torch comes with it, so it waits until the config is known to be good."""
    from skinlab.runtime.pretraining import pretrain

    return pretrain


if __name__ == "__main__":
    command("pretrain", load)
