"""A longer run of the fuzzed parsers: ``python -m tests.security.fuzz [EXAMPLES [PARSER...]]``, as in ``make fuzz``."""

from __future__ import annotations

import logging
import sys
import time
import traceback

from tests.security.parsers import PARSERS
from tests.security.test_parsers import fuzz


def main(words: list[str]) -> int:
    """Print a line a parser with its counts; return how many parsers failed."""
    logging.disable()
    examples, names, failed = int(words[0]) if words else 1000, words[1:] or list(PARSERS), []
    print(f"{'parser':20} {'files':>7} {'taken':>7} {'refused':>8} {'failed':>7} {'CPU s':>7}")
    for name in names:
        started, counts = time.process_time(), {"taken": 0, "refused": 0}
        try:
            counts = fuzz(name, examples)
        except Exception:
            failed.append(name)
            traceback.print_exc()
        total, seconds = sum(counts.values()), time.process_time() - started
        print(
            f"{name:20} {total:7} {counts['taken']:7} {counts['refused']:8} {name in failed:7} {seconds:7.1f}",
            flush=True,
        )
    return len(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
