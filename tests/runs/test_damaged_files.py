"""Files of a run that are read again, damaged in several ways: one line that names the file, no traceback."""

import json
import re

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from skinlab.assessment.run_evidence import read_evidence
from skinlab.assessment.sources import source
from skinlab.assessment.systems import open_run
from skinlab.callbacks.safety import AtomicCheckpointIO
from skinlab.data.readers.phantom import read_phantom
from skinlab.errors import UserError
from skinlab.files import claim, write_text
from skinlab.phantom.writer import MARKER
from skinlab.report.run_files import learning_curves, read_metrics, read_predictions
from skinlab.runs.backbone_record import read_record
from skinlab.runs.provenance import weight_provenance
from skinlab.runs.resuming import check_split, find_pretraining, find_resume
from skinlab.runs.run_directory import writing_results
from skinlab.settings.recorded import read_recorded
from skinlab.tracking.fault_tolerant_loggers import CsvLogger

CONFIG = "run_id: a\nseed: 0\ndata: {fold: 0, n_folds: 2}\nmodel: {init: random, freeze_epochs: 0}\n"
CONFIG += "trainer: {max_epochs: 1}\n"
ROWS = "image_id,path,group,split,label,prob_a\n" + 9 * "x,x,x,val,a,0.5\n"
READERS = {
    "config.yaml": [
        read_recorded,
        open_run,
        lambda run: weight_provenance(str(run / "checkpoints" / "best.ckpt"), None),
    ],
    "metrics.json": [open_run, read_metrics],
    "evidence.json": [read_evidence],
    "split.csv": [lambda run: weight_provenance(str(run / "checkpoints" / "best.ckpt"), None)],
    "predictions/val.csv": [lambda run: read_predictions(run / "predictions" / "val.csv")],
    "predictions/meta.json": [lambda run: source(run / "predictions" / "val.csv", [])],
    "csv/metrics.csv": [learning_curves, lambda run: CsvLogger(run / "csv" / "metrics.csv", step=2)],
    "audit.json": [lambda run: check_split("auto", run, "0")],
    "checkpoints/last.ckpt": [
        lambda run: find_resume("auto", run, ["a", "b"]),
        lambda run: find_pretraining("auto", run, {"name": "simclr"}),
    ],
    "checkpoints/best.ckpt": [lambda run: find_resume("auto", run, ["a", "b"])],  # not after the last epoch
}
DAMAGES = {
    "empty": lambda content: b"",
    "binary": lambda content: bytes(range(256)) * 4,
    "zeros": lambda content: b"\0" * len(content),
    "another type": lambda content: b"[]",
    "an empty mapping": lambda content: b"{}",
    "a folder": None,
    "a number": lambda content: b"3",
    "half": lambda content: content[: len(content) // 2],
}


@pytest.fixture
def run(tmp_path):
    files = {
        "config.yaml": CONFIG,
        "metrics.json": json.dumps({"run_id": "a", "best/epoch": 0}),
        "evidence.json": json.dumps({"format": 2, "systems": [], "settings": {"level": 0.9}, "cautions": []}),
        "split.csv": ROWS,
        "predictions/val.csv": ROWS,
        "predictions/meta.json": json.dumps({"classes": ["a"], "training_prior": [1.0]}),
        "csv/metrics.csv": "epoch,step,val/loss\n0,1,0.5\n",
        "audit.json": json.dumps({"split_sha256": "0"}),
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "checkpoints").mkdir()
    for name in ("best", "last"):
        torch.save({}, tmp_path / "checkpoints" / f"{name}.ckpt")
    return tmp_path


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", READERS)
def test_a_damaged_file_is_refused_with_its_place(run, name, damage):
    path = run / name
    content = path.read_bytes()
    if damage == "a folder":
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes(DAMAGES[damage](content))
    for read in READERS[name]:
        if damage == "half" and path.suffix == ".csv":  # a shorter table; what it must hold is compared elsewhere
            continue
        with pytest.raises(UserError, match=re.escape(str(path))) as refused:
            read(run)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize("record", ["not json", "[1]", '{"images": 5}'])
def test_a_damaged_record_within_weights_is_refused(tmp_path, record):
    save_file({"a": np.zeros(1)}, path := tmp_path / "backbone.safetensors", metadata={"skinlab": record})
    with pytest.raises(UserError, match=r"backbone\.safetensors has a damaged record"):
        read_record(path)


@pytest.mark.parametrize("content", ["", "3", "[]", "{}", "null"])
def test_a_damaged_marker_of_a_phantom_is_refused(tmp_path, content):
    (tmp_path / MARKER).write_text(content)
    with pytest.raises(UserError, match=str(tmp_path)):
        read_phantom(tmp_path, n_images=20, image_size=48)


@pytest.mark.parametrize(
    "write",
    [
        lambda run: write_text(run / "predictions" / "val.csv", ""),
        lambda run: AtomicCheckpointIO().save_checkpoint({}, run / "checkpoints" / "last.ckpt"),
        lambda run: CsvLogger(run / "csv" / "metrics.csv"),
        lambda run: writing_results(run).__enter__(),
    ],
)
@pytest.mark.parametrize("taken", [False, True])
def test_a_folder_that_is_removed_in_mid_run_does_not_come_back_without_its_files(tmp_path, write, taken):
    with claim(run := tmp_path / "run"):
        run.rename(tmp_path / "moved")
        if taken:
            run.mkdir()
            (run / ".lock").touch()  # of another process
        with pytest.raises(UserError, match=r"run was removed or renamed .*restore it"):
            write(run)
    assert sorted(path.name for path in tmp_path.rglob("*")) == [".lock", *taken * [".lock"], "moved", *taken * ["run"]]
