"""Pack a model for use elsewhere: ``python -m skinlab.bundle ckpt=RUN output=FILE.bundle``."""

from skinlab.runtime.entry import Command, command


def load() -> Command:
    """Import what packs; torch comes with it, so it waits until the config is known to be good."""
    from skinlab.runtime.bundling import make_bundle

    return make_bundle


if __name__ == "__main__":
    command("bundle", load)
