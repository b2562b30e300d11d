"""Compare test-time augmentations: ``python -m skinlab.tta ckpt=RUN output=DIR``."""

from skinlab.runtime.entry import Command, command


def load() -> Command:
    """Import what compares; it waits until the config is known to be good."""
    from skinlab.runtime.tta_study import compare_views

    return compare_views


if __name__ == "__main__":
    command("tta", load)
