"""The program ``skinlab``: it lists the commands, runs one, and completes a command line."""

from __future__ import annotations

import runpy
import sys

from skinlab.cli.environment import check_environment, print_text, version_line
from skinlab.cli.registry import COMMANDS
from skinlab.errors import nearest

USAGE = """usage: skinlab COMMAND [key=value ...]      the same as python -m skinlab.COMMAND [key=value ...]
       skinlab COMMAND --help               groups, choices and settings of a command
       skinlab --version                    the version
       skinlab --completion bash|zsh        a script for the shell: eval "$(skinlab --completion bash)"
"""
# What the field calls a command.
MEANT = {
    **dict.fromkeys(("eval", "test", "validate", "score", "compare", "metrics"), "evaluate"),
    **dict.fromkeys(("infer", "inference", "classify"), "predict"),
    **dict.fromkeys(("fit", "finetune", "fine_tune"), "train"),
    **dict.fromkeys(("download", "get"), "fetch"),
    **dict.fromkeys(("export", "package"), "bundle"),
    "check": "audit or doctor",
}


def main() -> None:
    """Run the command that the first argument names."""
    first, *rest = sys.argv[1:] or ["--help"]
    if first in COMMANDS:
        # As a module of its own, so that Lightning can start further processes of the same command.
        sys.argv[1:] = rest
        runpy.run_module(f"skinlab.{first}", run_name="__main__", alter_sys=True)
    elif first in ("--help", "-h"):
        print_text(f"{USAGE}\n{list_commands()}")
    elif first == "--version":
        print_text(version_line())
    elif first in ("--completion", "--candidates"):
        check_environment()
        from skinlab.cli.completion import SCRIPTS, candidates

        if first == "--completion" and (not rest or rest[0] not in SCRIPTS):
            print(f"error: skinlab --completion takes {' or '.join(SCRIPTS)}", file=sys.stderr)
            raise SystemExit(2)
        print_text("\n".join(candidates(rest)) if first == "--candidates" else SCRIPTS[rest[0]])
    else:
        meant = MEANT.get(first.lower())
        hint = f" (did you mean {meant}?)" if meant else nearest(first, COMMANDS)
        hint = hint or f"; there are {', '.join(COMMANDS)}"
        print(f"error: skinlab {first}: no such command{hint}", file=sys.stderr)
        raise SystemExit(2)


def list_commands() -> str:
    """Return the commands with what each does and an example."""
    return "\n".join(
        f"  {name:9} {command.summary}\n            skinlab {name} {command.example}".rstrip()
        for name, command in COMMANDS.items()
    )
