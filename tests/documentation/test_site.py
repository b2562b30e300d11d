"""The documentation: a short README, pages without a request to other hosts, and a line for every setting."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import nbformat
import pytest

from skinlab.cli.help import read_groups
from skinlab.cli.registry import COMMANDS
from tests.documentation.pages import PAGES, ROOT

# Set by Hydra or the command itself; what a `_target_` and a reader's own file pass on.
NOT_TYPED = re.compile(r"(^|\.)(_\w+|run_dir|run_id|reader|transform|weak|strong)(\.|$)|^(recipes|words)\.")
# Something that a browser would fetch: a script, style, picture or font of another host.
FETCHED = re.compile(
    r"<(?:script|link|img|iframe|source|video)\b[^>]*?(?:src|href)=[\"']?(https?:)?//[^>]*>|url\([\"']?(?:https?:)?//"
)


def hook(name: str) -> ModuleType:
    """Import a hook of the site."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / "hooks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows(page: str) -> dict[str, list[str]]:
    """The rows of settings in a page: name → type, default, explanation."""
    cells = [re.split(r"(?<!\\) \| ", line.strip("| ")) for line in page.splitlines() if line.startswith("| `")]
    return {each[0].strip("`"): [*each[1:], ""][:3] for each in cells if len(each) >= 3}


def test_every_setting_has_a_type_a_default_and_a_line():
    pages = hook("settings_pages")
    of_groups, commands = rows(pages.groups()), pages.commands()
    parts = dict(
        zip(re.findall(r"^## (\w+)$", commands, re.M), re.split(r"^## \w+$", commands, flags=re.M)[1:], strict=True)
    )
    assert parts.keys() == COMMANDS.keys()
    for command in COMMANDS:
        found = of_groups | rows(parts[command])
        fields, chosen = pages.fields_of(command), read_groups(command).chosen
        settings = [name for name in fields if not NOT_TYPED.search(name) and name not in chosen]
        groups = {name.rpartition(".")[0] for name in fields}
        names = {name for name in settings if name not in groups and not pages.is_mapping(fields[name])}
        names -= {name for name in names if name.startswith(("logger.", "evidence.")) or name.endswith(".name")}
        missing = {name for name in names - found.keys() if name.rpartition(".")[0] not in found}
        assert not missing, f"{command}: not in the reference: {missing}"
    empty = {name for page in (of_groups, *map(rows, parts.values())) for name, row in page.items() if not row[2]}
    assert not empty, f"settings without a line in conf: {sorted(empty)}"
    untyped = {
        name for name, row in of_groups.items() if row[0] == "any" and name.partition(".")[0] not in ("trainer",)
    }
    assert not untyped, f"settings without a type: {sorted(untyped)}"


def test_types_are_in_words():
    pages = hook("settings_pages")
    found = rows(pages.groups())
    assert found["loss.gamma"][0] == "number ≥ 0"
    assert found["data.batch_size"] == ["whole number ≥ 1", "`32`", found["data.batch_size"][2]]
    assert found["data.fit"][0] == "`crop` or `stretch`"
    assert found["data.layout"][2].startswith("*phantom*: ")
    assert found["model.head"][1] == "`linear`"


def test_the_readme_is_short_and_its_links_lead_somewhere():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 130
    for path in PAGES:
        for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", path.read_text(encoding="utf-8")):
            generated = link.endswith(".svg") or "notebooks/" in link
            assert generated or (path.parent / link).exists(), f"{path.name}: {link}"
    for name in re.findall(r"docs/[\w/-]+\.md", "".join(p.read_text() for p in (ROOT / "skinlab").rglob("*.py"))):
        assert (ROOT / name).is_file(), name


def test_a_page_has_the_pictures_and_tables_of_its_notebook(tmp_path: Path):
    pages = hook("notebook_pages")
    table = {"text/html": "<style scoped>td {}</style>\n<table><tr><td>0.9</td></tr></table>"}
    outputs = [
        nbformat.v4.new_output("stream", name="stderr", text="a warning"),
        nbformat.v4.new_output("display_data", data={"image/png": "iVBORw0KGgo="}),
        nbformat.v4.new_output("execute_result", data=table),
    ]
    cells = [nbformat.v4.new_markdown_cell("# A story\n\ntext"), nbformat.v4.new_code_cell("1 + 1", outputs=outputs)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "story.ipynb")
    page, pictures = pages.convert(tmp_path / "story.ipynb")
    assert page.startswith("# A story\n\nThe notebook is `notebooks/story.ipynb`.")
    (name,) = pictures
    assert f"]({name})" in page
    assert "<td>0.9</td>" in page
    assert "scoped" not in page
    assert "a warning" not in page


@pytest.mark.slow
def test_the_site_is_built_and_fetches_nothing(tmp_path: Path):
    line = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) >= len(PAGES)
    for path in [*pages, *(tmp_path / "site").rglob("*.css")]:
        assert not (found := FETCHED.search(path.read_text(encoding="utf-8"))), f"{path.name}: {found[0]}"
    assert (tmp_path / "site" / "search" / "search_index.js").is_file(), "the search works without a server"
    architecture = (tmp_path / "site" / "packages.svg").read_text(encoding="utf-8")
    assert all(f">{name}<" in architecture for name in ("evaluation", "cli", "inference"))
