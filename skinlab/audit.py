"""Check a data set and show its split: ``python -m skinlab.audit data=ham10000 data.root=DIR``."""

from skinlab.cli.entry import run_command

if __name__ == "__main__":
    run_command("audit")
