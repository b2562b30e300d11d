"""Combine systems: ``python -m skinlab.ensemble runs=A,B output=DIR``."""

from skinlab.runtime.entry import Command, command


def load() -> Command:
    """Import what combines; it waits until the config is known to be good."""
    from skinlab.runtime.ensembling import combine_systems

    return combine_systems


if __name__ == "__main__":
    command("ensemble", load)
