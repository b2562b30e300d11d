"""Tell whether the unlabeled pool helps: ``python -m skinlab.study data=ham10000 output=DIR``."""

from skinlab.runtime.entry import Command, command


def load() -> Command:
    """Import what studies; it waits until the config is known to be good."""
    from skinlab.runtime.studying import study

    return study


if __name__ == "__main__":
    command("study", load, lists=("base", "base_pretrain", "base_train"))
