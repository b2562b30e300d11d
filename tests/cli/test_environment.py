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


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that takes nothing is needed")
@pytest.mark.parametrize("words", [["skinlab", "--version"], ["skinlab.train", "--version"], ["skinlab", "--help"]])
def test_an_output_that_takes_nothing_gets_one_line(words: list[str]):
    with Path("/dev/full").open("w") as full:
        found = subprocess.run([sys.executable, "-m", *words], cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True)
    assert found.returncode == 2
    assert found.stderr == "error: the output can't be written: No space left on device; write it elsewhere\n"
