"""Fuzz the parsers guided by coverage, with Atheris: ``python -m tests.security.guided [SECONDS [PARSER...]]``.

Bytes that reach new lines of skinlab's code are kept and changed further, which finds what blind changes rarely reach.
It serves the formats that Python code reads; images, archives and tensors are decoded by libraries that it can't see
into, and `tests.security.fuzz` reads those. Atheris is in the extra ``fuzz``, for Linux and macOS.
"""

from __future__ import annotations

import logging
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.security.mutations import TOKENS

BYTES = ("image", "checkpoint", "bundle", "safetensors", "backbone record", "archive", "caches")
MOST_BYTES = 4000
PROGRAM = "import sys; from tests.security.guided import one; one(*sys.argv[1:])"


def main(words: list[str]) -> int:
    """Print a line a parser with the files read and the branches reached; return how many parsers failed."""
    from tests.security.parsers import PARSERS

    seconds = words[0] if words else "20"
    names, failed = words[1:] or [name for name in PARSERS if not name.startswith(BYTES)], 0
    print(f"{'parser':20} {'files':>9} {'branches':>9} {'failed':>7}")
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                [sys.executable, "-c", PROGRAM, name, seconds, folder], capture_output=True, text=True, check=False
            )
            files = re.search(r"number_of_executed_units:\s+(\d+)", done.stderr)
            branches = re.findall(r"\bcov: (\d+)", done.stderr)
            bad = done.returncode != 0 or files is None
            failed += bad
            print(f"{name:20} {files[1] if files else 0:>9} {branches[-1] if branches else 0:>9} {bad:7}", flush=True)
            if bad:
                print(done.stdout, done.stderr[-6000:])
                for crash in Path(folder).glob("crash-*"):
                    print(crash.read_bytes())
    return failed


def one(name: str, seconds: str, folder: str) -> None:
    """Fuzz one parser and end the process, with an exit code other than 0 at the first file that raises."""
    import atheris

    with atheris.instrument_imports(include=["skinlab", "yaml", "json"], enable_loader_override=False):
        from tests.security.parsers import PARSERS
        from tests.security.test_parsers import read
    logging.disable()
    parser, corpus, tokens = PARSERS[name], Path(folder) / "corpus", Path(folder) / "tokens"
    corpus.mkdir()
    example = parser.example()
    (corpus / "whole").write_bytes(example if parser.write is None else parser.write(example))
    tokens.write_text("".join('"' + "".join(f"\\x{byte:02x}" for byte in token) + '"\n' for token in TOKENS if token))
    words = [f"-max_total_time={seconds}", f"-max_len={MOST_BYTES}", "-seed=1", "-timeout=60", "-print_final_stats=1"]
    words += [f"-dict={tokens}", f"-artifact_prefix={folder}/", str(corpus)]
    atheris.Setup(["guided", *words], lambda content: read(parser, content) and None)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
