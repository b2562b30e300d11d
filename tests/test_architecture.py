"""The arrows between the rooms, and the size of things."""

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "skinlab"
FILES = sorted(PACKAGE.rglob("*.py"))
FOUNDATION = {"errors", "files", "cores", "json_files", "tables", "text", "image_ids", "label_tables", "positive"}
COMMANDS = {path.stem for path in PACKAGE.glob("*.py")} - FOUNDATION - {"__init__"}
ROOMS = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()}

# package → what it may import, beside FOUNDATION, which every one but evaluation may import.
MAY_IMPORT = {
    **{name: set() for name in FOUNDATION},
    "evaluation": {"cores", "text"},
    "losses": set(),
    "data": set(),
    "models": {"losses"},
    "selfsup": {"models", "losses"},
    "semisup": {"models", "losses"},
    "report": {"evaluation"},
    "callbacks": {"models", "evaluation", "data"},
    "runtime": {"callbacks", "data", "evaluation", "losses", "models", "report", "selfsup"},
}
NO_TORCH = ["evaluation", "report", "data/readers", "data/phantom", *(f"{name}.py" for name in sorted(FOUNDATION))]
NO_TORCH += [f"data/{name}.py" for name in ("manifest", "splits", "images", "audit", "preparation", "contact_sheet")]
NO_TORCH += [f"data/{name}.py" for name in ("budget", "answers", "pool")]


def imports(path: Path) -> set[str]:
    """Full names of everything a file imports, at its top or below."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def room(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_arrows(path: Path):
    here = room(path)
    if here in COMMANDS or here == "__init__":
        return
    ours = {name.split(".")[1] for name in imports(path) if name.startswith("skinlab.")}
    allowed = MAY_IMPORT[here] | {here} | (set() if here == "evaluation" else FOUNDATION)
    assert ours <= allowed, f"{path} imports {ours - allowed}"
    if here != "runtime":
        assert not any(name.split(".")[0] in ("hydra", "omegaconf") for name in imports(path))


@pytest.mark.parametrize("place", NO_TORCH)
def test_no_torch_where_it_is_not_needed(place: str):
    target = PACKAGE / place
    for path in [target] if target.is_file() else target.rglob("*.py"):
        assert not any(name.split(".")[0] in ("torch", "torchvision", "pytorch_lightning") for name in imports(path))


def test_every_room_has_its_arrows():
    assert set(MAY_IMPORT) == ROOMS | FOUNDATION


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_size(path: Path):
    text = path.read_text()
    limit = 80 if room(path) in COMMANDS else 350
    assert len(text.splitlines()) <= limit
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert node.end_lineno - node.lineno < 60, (
                f"{path}: {node.name} is {node.end_lineno - node.lineno + 1} lines"
            )


def test_no_drawers():
    assert not [p for p in FILES if p.stem.rstrip("s") in ("util", "helper", "common", "misc")]


def test_image_files_are_opened_in_one_module():
    opening = re.compile(r"\b(?:Image\.open|cv2\.im(?:read|decode)\w*|torchvision\.io|pil_loader)\b")
    for path in FILES:
        if path != PACKAGE / "data" / "images.py":
            assert not opening.search(path.read_text()), f"{path} opens images: use skinlab.data.images"
