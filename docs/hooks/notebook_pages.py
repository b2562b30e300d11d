"""A page for each notebook, with the pictures and tables of its execution (``make docs`` executes them)."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import get_plugin_logger
from mkdocs.structure.files import File, Files
from nbconvert import MarkdownExporter

ROOT = Path(__file__).parents[2]
EXECUTED = ROOT / "build" / "notebooks"
STYLE = re.compile(r"<style scoped>.*?</style>\s*", re.DOTALL)
log = get_plugin_logger("notebooks")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for each notebook, and its pictures."""
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        done = EXECUTED / path.name
        if not done.is_file():
            log.info("%s is not executed: its page has no pictures; make docs executes it", path.name)
        page, pictures = convert(done if done.is_file() else path)
        files.append(File.generated(config, f"notebooks/{path.stem}.md", content=page))
        for name, content in pictures.items():
            files.append(File.generated(config, f"notebooks/{name}", content=content))
    return files


def convert(path: Path) -> tuple[str, dict[str, bytes]]:
    """Return a notebook as Markdown, and its pictures by the names that the page has for them."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [each for each in cell.outputs if each.get("name") != "stderr"]  # logs and progress
    resources = {"unique_key": path.stem, "output_files_dir": f"{path.stem}_files"}
    page, resources = MarkdownExporter().from_notebook_node(notebook, resources=resources)
    title, _, rest = page.partition("\n")
    source = f"The notebook is `notebooks/{path.name}`."
    rest = STYLE.sub("", rest).replace(".ipynb)", ".md)").replace("](../docs/", "](../")  # links, as from the page
    return f"{title}\n\n{source}\n{rest}", resources["outputs"]
