"""Combine systems: ``python -m skinlab.ensemble runs=A,B output=DIR``."""

from skinlab.cli.entry import run_command

if __name__ == "__main__":
    run_command("ensemble")
