"""The audit command: what it writes, what it says, and what it does without."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from skinlab.cli.config import compose_settings
from skinlab.commands.audit import audit, counts_table
from skinlab.data.audit.checks import AuditFailed
from skinlab.data.readers.ham10000 import read_ham10000
from skinlab.errors import UserError
from skinlab.settings.commands.audit import AuditSettings
from tests.command_settings import invocation_of

WITHOUT_TORCH = """
import runpy, sys
from skinlab.commands import audit
sys.argv = ["skinlab.audit", *sys.argv[1:]]
runpy.run_module("skinlab.audit", run_name="__main__")
assert "torch" not in sys.modules
"""


@pytest.fixture
def settings(phantom: Path, shared_tmp: Path, tmp_path: Path) -> AuditSettings:
    overrides = ["data=ham10000", f"data.root={phantom}", f"data.cache_dir={shared_tmp / 'cache'}", "data.n_folds=2"]
    overrides += ["data.num_workers=0", "data.classes=[akiec,bcc,bkl,df,mel,nv,vasc]"]
    return compose_settings("audit", overrides, tmp_path / "run")


def run_audit(settings: AuditSettings) -> None:
    audit(settings, invocation_of("audit"))


def folder_reader(root: Path) -> dict[str, Any]:
    generator = np.random.default_rng(0)
    for name in [f"{label}/{i}.png" for label in ("mel", "nv") for i in range(6)]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(root / name), cv2.resize(generator.integers(0, 256, (5, 5, 3), np.uint8), (40, 40)))
    return {"_target_": "skinlab.data.readers.folder.read_folder", "_partial_": True, "root": str(root)}


def test_the_command_needs_no_torch(phantom: Path, shared_tmp: Path, tmp_path: Path):
    overrides = ["data=ham10000", f"data.root={phantom}", f"data.cache_dir={shared_tmp / 'cache'}", "data.n_folds=2"]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, *overrides],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (run_dir,) = (tmp_path / "runs").iterdir()
    assert run_dir.name.endswith("_audit_ham10000")
    assert {path.name for path in run_dir.iterdir()} == {"audit.json", "split.csv"}
    assert "160 of 160 images" in done.stdout
    assert "images by label" in done.stdout
    assert f"audit: {run_dir}" in done.stdout


def test_the_split_and_its_hash_are_those_a_training_would_use(settings: AuditSettings):
    run_audit(settings)
    run_dir = Path(settings.run_dir)
    report = json.loads((run_dir / "audit.json").read_text())
    split = pd.read_csv(run_dir / "split.csv", keep_default_na=False)
    assert len(split) == report["kept"] == 160
    assert set(split["split"]) == {"train", "val", "test"}
    assert split.groupby("group")["split"].nunique().max() == 1
    assert len(report["split_sha256"]) == 64


def test_a_contact_sheet_has_a_row_for_every_class(settings: AuditSettings, tmp_path: Path):
    run_audit(settings.updated({"contact_sheet": str(tmp_path / "sheet.png")}))
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet.shape[0] > 7 * 128
    assert sheet.shape[1] >= 8 * 128


def test_what_fails_an_audit_is_written_down_and_reported(
    settings: AuditSettings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    settings = settings.updated({"data.reader": folder_reader(tmp_path / "images"), "data.classes": None})
    (tmp_path / "images" / "nv" / "3.png").write_bytes(b"no image")
    with pytest.raises(AuditFailed, match=r"3\.png"):
        run_audit(settings)
    report = json.loads((tmp_path / "run" / "audit.json").read_text())
    assert [bad["image_id"] for bad in report["bad_images"]] == ["nv/3.png"]
    assert not (tmp_path / "run" / "split.csv").exists()
    assert "problem: 1 of 12 images" in capsys.readouterr().out
    run_audit(settings.updated({"data.on_bad_image": "drop"}))
    assert len(pd.read_csv(tmp_path / "run" / "split.csv")) == 11


def test_mistakes_are_reported_before_anything_is_written(settings: AuditSettings, tmp_path: Path):
    for values, overrides in (
        ({"contact_sheet": "sheet.gif"}, "a PNG or JPEG file is expected"),
        ({"contact_sheet": "/no/where/sheet.png"}, "there is no folder /no/where"),
        ({"data.num_workers": -2}, r"data\.num_workers=-2: give auto or a number"),
    ):
        with pytest.raises(UserError, match=overrides):
            run_audit(settings.updated(values))
    assert not (tmp_path / "run" / "audit.json").exists()
    (tmp_path / "run").mkdir(exist_ok=True)
    (tmp_path / "run" / "config.yaml").touch()
    with pytest.raises(UserError, match="holds a training run"):
        run_audit(settings)


def test_the_counts_add_up(phantom: Path):
    manifest = read_ham10000(phantom).assign(split="train")
    manifest.loc[:9, ["split", "label"]] = ["pool", ""]
    console = Console(width=100)
    with console.capture() as capture:
        console.print(counts_table(manifest, "label"))
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in capture.get().splitlines() if "│" in line]
    assert rows[0] == ["unlabeled", "0", "10", "10", str(manifest["group"][:10].nunique())]
    assert rows[-1] == ["all", "150", "10", "160", str(manifest["group"].nunique())]
    assert sum(int(row[3]) for row in rows[:-1]) == 160
