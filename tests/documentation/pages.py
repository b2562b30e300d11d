"""The pages of the documentation and the commands in them."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
PROGRAM = r"(?:\.venv/bin/)?(?:python -m skinlab\.|torchrun --\S+ -m skinlab\.|skinlab )"
CALL = rf"(?:srun --\S+ )?(?:[A-Z_]+=\w+ )*{PROGRAM}(\w+)(?: +([^\n]*))?"
IN_BLOCK = re.compile(rf"^{CALL}$", re.MULTILINE)
INLINE = re.compile(rf"^{CALL}$")
PLACEHOLDER = re.compile(r"^[A-Z]+$|…|\.\.\.")


class Documented(NamedTuple):
    """A command in a page.

    Attributes:
        page: its path below the root of the repository.
        name: of the command.
        words: its overrides and flags.
    """

    page: str
    name: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page}: {self.name} {' '.join(self.words)}"


def blocks(text: str, language: str) -> list[str]:
    """Return the code blocks of a language, with continued lines joined."""
    return [each.replace("\\\n", " ") for each in re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)]


def commands_of(path: Path) -> Iterator[Documented]:
    """Yield the commands in a page: those of its shell blocks, in its text and in its Python blocks.

    A name alone in the text, as in ``skinlab mine``, only names the command.
    """
    text, page = path.read_text(encoding="utf-8"), str(path.relative_to(ROOT))
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    lines = [found.groups() for block in blocks(text, "bash") for found in IN_BLOCK.finditer(block)]
    inline = filter(None, map(INLINE.match, re.findall(r"`([^`\n]+)`", prose)))
    lines += [found.groups() for found in inline if found[2]]
    for name, rest in lines:
        words = tuple(shlex.split(rest or "", comments=True))
        if not any(map(PLACEHOLDER.search, (name, *words))):
            yield Documented(page, name, words)
    for block in blocks(text, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("skinlab."):
                yield Documented(page, ast.unparse(node.func).split(".")[1], tuple(ast.literal_eval(node.args[0])))


def documented() -> list[Documented]:
    """Return the commands of all pages, each once a page."""
    return [each for path in PAGES for each in dict.fromkeys(commands_of(path))]
