"""Check a submission: ``python -m skinlab.submit check=FILE.csv data=dsm2025 predictions=SWEEP``."""

from skinlab.cli.entry import run_command

if __name__ == "__main__":
    run_command("submit")
