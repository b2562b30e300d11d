"""Download a data set: ``python -m skinlab.fetch data=ham10000 accept_license=true``."""

from skinlab.cli.entry import run_command

if __name__ == "__main__":
    run_command("fetch")
