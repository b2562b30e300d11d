"""A Python without skinlab's packages is named in one line."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("words", [["skinlab.evaluate"], ["skinlab.train", "--version"], ["skinlab", "--version"]])
def test_a_python_without_the_packages_gets_one_line(words: list[str]):
    # -S leaves out site-packages, as a Python outside .venv has none of ours.
    found = subprocess.run(
        [sys.executable, "-S", "-m", *words], cwd=ROOT, capture_output=True, text=True, env={"PYTHONPATH": str(ROOT)}
    )
    assert found.returncode == 2
    assert len(found.stderr.splitlines()) == 1
    assert "does not have skinlab's packages: run `source .venv/bin/activate`" in found.stderr
