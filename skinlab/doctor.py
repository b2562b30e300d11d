"""Show what is installed and where data and weights are: ``python -m skinlab.doctor``."""

from skinlab.cli.entry import run_command

if __name__ == "__main__":
    run_command("doctor")
