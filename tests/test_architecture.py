"""Which package may import which, and the size of things."""

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "skinlab"
FILES = sorted(PACKAGE.rglob("*.py"))
# Packages and modules from the lowest layer to the highest: each may import those of the layers below it.
LAYERS = (
    {"errors"},
    {"text", "files", "json_files", "processes"},
    {"evaluation", "settings"},
    {"tables", "losses", "phantom"},
    {"alterations"},
    {"models", "data", "report", "fetching"},
    {"selfsup", "semisup"},
    {"callbacks"},
    {"inference", "tracking", "runs"},
    {"assessment"},
    {"studies", "mining", "battery", "leaks"},
    {"commands"},
    {"cli"},
)
LAYER = {name: number for number, names in enumerate(LAYERS) for name in names}
# What may import less than the layers below.
ONLY = {
    "evaluation": {"processes", "text"},
    "losses": {"errors", "settings"},
    "alterations": {"phantom"},
    "data": {"errors", "text", "files", "json_files", "processes", "tables", "phantom", "alterations"},
    "report": {"errors", "text", "files", "json_files", "processes", "evaluation", "tables"},
    "models": {"errors", "text", "files", "processes", "losses", "tables", "evaluation"},
    "fetching": {"errors", "files", "json_files"},
    "cli": {"errors", "text", "files", "json_files", "processes", "settings", "evaluation", "tables"},
}
COMMANDS = {path.stem for path in PACKAGE.glob("*.py")} - LAYER.keys() - {"__init__"}
PACKAGES = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()}
KNOW_HYDRA = ("cli", "settings/part.py")

NO_TORCH = ["evaluation", "fetching", "report", "tables", "settings", "phantom", "cli", "data/readers", "alterations"]
NO_TORCH += ["errors.py", "text.py", "files.py", "json_files.py", "processes/cores.py", "processes/signals.py"]
NO_TORCH += [f"data/{name}.py" for name in ("manifest", "splits", "images", "preparation")] + ["data/audit"]
NO_TORCH += [f"data/{name}.py" for name in ("budget", "expert_labels", "pool")]


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


def package(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_downwards(path: Path):
    here = package(path)
    if here == "__init__":
        return
    names = imports(path)
    ours = {name.split(".")[1] for name in names if name.startswith("skinlab.")} - {here}
    below = {name for name, layer in LAYER.items() if layer < LAYER.get(here, len(LAYERS))}
    allowed = {"cli"} if here in COMMANDS else ONLY.get(here, below)
    assert ours <= allowed, f"{path} imports {ours - allowed}"
    if not str(path.relative_to(PACKAGE)).startswith(KNOW_HYDRA):
        assert not any(name.split(".")[0] in ("hydra", "omegaconf") for name in names)


def test_no_command_imports_another():
    for path in (PACKAGE / "commands").glob("*.py"):
        assert not any(name.startswith("skinlab.commands") for name in imports(path)), path


def test_no_two_files_import_each_other():
    """Follow the imports of every module; one that leads back to its module is a cycle."""
    modules = {".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path for path in FILES}

    def targets(path: Path) -> set[str]:
        return {name if name in modules else name.rpartition(".")[0] for name in imports(path)} & modules.keys()

    graph = {name: targets(path) for name, path in modules.items()}
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, " → ".join((*above, name))
        if name not in done:
            for other in graph[name]:
                visit(other, (*above, name))
            done.add(name)

    for name in graph:
        visit(name, ())


@pytest.mark.parametrize("place", NO_TORCH)
def test_no_torch_where_it_is_not_needed(place: str):
    target = PACKAGE / place
    for path in [target] if target.is_file() else target.rglob("*.py"):
        assert not any(name.split(".")[0] in ("torch", "torchvision", "pytorch_lightning") for name in imports(path))


def test_every_package_has_its_layer():
    assert LAYER.keys() >= PACKAGES
    assert all((PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").is_file() for name in LAYER)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_size(path: Path):
    text = path.read_text()
    limit = 80 if package(path) in COMMANDS else 350
    assert len(text.splitlines()) <= limit
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert node.end_lineno - node.lineno < 60, (
                f"{path}: {node.name} is {node.end_lineno - node.lineno + 1} lines"
            )


def test_packages_have_at_most_twenty_modules():
    folders = {path.parent for path in FILES}
    counts = {folder: len([path for path in FILES if path.parent == folder]) - 1 for folder in folders - {PACKAGE}}
    assert not {str(folder): n for folder, n in counts.items() if n > 20}


def test_no_drawers():
    assert not [p for p in FILES if p.stem.rstrip("s") in ("util", "helper", "common", "misc")]


def test_image_files_are_opened_in_one_module():
    opening = re.compile(r"\b(?:Image\.open|cv2\.im(?:read|decode)\w*|torchvision\.io|pil_loader)\b")
    for path in FILES:
        if path != PACKAGE / "data" / "images.py":
            assert not opening.search(path.read_text()), f"{path} opens images: use skinlab.data.images"
