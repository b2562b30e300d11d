"""A built wheel carries conf and runs from any folder."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

REPO = Path(__file__).parents[1]


def test_a_wheel_runs_from_any_folder(tmp_path):
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", tmp_path, REPO]
    subprocess.run(build, check=True)
    (wheel,) = tmp_path.glob("skinlab-*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "skinlab.train", "--cfg", "job", "model=effnet_b3"],
        cwd=elsewhere,
        env=os.environ | {"PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "name: efficientnet_b3" in done.stdout, done.stderr
    where = "import skinlab.cli.config as c; print(c.config_directory())"
    found = subprocess.run(
        [sys.executable, "-c", where], cwd=elsewhere, env=os.environ | {"PYTHONPATH": str(tmp_path / "site")},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert Path(found.stdout.strip()) == tmp_path / "site" / "skinlab" / "conf"
