"""CONTRIBUTING.md is right: its tree is the package's, and its examples are all that a new part needs."""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"```(?:python|yaml)\n# (append to )?(\S+\.(?:py|yaml))\n(.*?)```", re.DOTALL)
# Name of a new part → the tests that find it.
FOUND_BY = {
    "poly": ["tests/losses/test_every_loss.py", "tests/test_configs.py"],
    "prefixed": ["tests/test_configs.py"],
    "align_uniform": ["tests/selfsup/test_methods.py", "tests/selfsup/test_pretrainer.py"],
    "pseudo_label": ["tests/semisup/test_training.py"],
    "mean_confidence": ["tests/evaluation/metrics/test_registry.py"],
    "smoothing": ["tests/evaluation/calibration/test_calibrators.py"],
    "maximum": ["tests/evaluation/ensembles/test_combination.py"],
    "mirror": ["tests/models/test_prediction.py"],
    "support": ["tests/cli/test_program.py", "tests/cli/test_completion.py", "tests/settings/test_models.py"],
}


def tree() -> str:
    """One line per package: its name, under that of the package it is in, and the first line of its docstring."""
    lines = []
    for path in sorted((ROOT / "skinlab").glob("*/**/__init__.py")):
        name = path.parent.relative_to(ROOT / "skinlab").parts
        text = (ast.get_docstring(ast.parse(path.read_text())) or "").splitlines()[0]
        lines.append(f"{'  ' * len(name) + name[-1] + '/':16} {text}")
    return "\n".join(lines)


def test_the_tree_is_that_of_the_package():
    assert f"skinlab/\n{tree()}\n" in TEXT, f"the tree of CONTRIBUTING.md should be\n{tree()}"


def run_module(folder: Path, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``python -m NAME`` in a folder, with the package that lies there."""
    environment = os.environ | {"PYTHONPATH": str(folder)}
    command = [sys.executable, "-m", name, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_examples_are_all_that_a_new_part_needs(tmp_path):
    for name in ("skinlab", "conf", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for append, name, content in BLOCK.findall(TEXT):
        path = tmp_path / name
        assert path.is_file() == bool(append), name
        path.write_text((path.read_text() if append else "") + "\n\n" * bool(append) + content)
    files = sorted({path for paths in FOUND_BY.values() for path in paths})
    done = run_module(
        tmp_path, "pytest", "-vv", "-p", "no:cacheprovider", "-n", "0", *files, "-k", " or ".join(FOUND_BY)
    )
    assert done.returncode == 0, done.stdout[-4000:]
    for part, paths in FOUND_BY.items():
        for path in paths:
            assert re.search(rf"{path}::\S*\[\S*{part}\S*\] PASSED", done.stdout), f"{path} does not find {part}"
    (tmp_path / "predictions.csv").write_text("image_id,label,prob_nv,prob_mel\na,nv,1,0\nb,nv,0,1\nc,mel,0,1\n")
    done = run_module(tmp_path, "skinlab.support", "predictions=predictions.csv", "output=support.csv")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "support.csv").read_text() == "label,support\nnv,2\nmel,1\n"
