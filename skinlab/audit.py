"""Check a data set and show its split: ``python -m skinlab.audit data=ham10000 data.root=DIR``."""

from skinlab.runtime.entry import Command, command


def load() -> Command:
    """Import what audits, which never needs torch."""
    from skinlab.runtime.auditing import run_audit

    return run_audit


if __name__ == "__main__":
    command("audit", load)
