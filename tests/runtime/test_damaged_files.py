"""Files of a run that are read again, damaged in several ways: one line that names the file, no traceback."""

import json
import re

import numpy as np
import pytest
from safetensors.numpy import save_file

from skinlab.data.phantom.writer import MARKER
from skinlab.data.readers.phantom import read_phantom
from skinlab.errors import UserError
from skinlab.report.run_files import learning_curves, read_metrics, read_predictions
from skinlab.runtime.backbone_record import read_record
from skinlab.runtime.recorded import read_recorded
from skinlab.runtime.run_evidence import read_evidence
from skinlab.runtime.seen_images import past_of
from skinlab.runtime.systems import open_run, source

CONFIG = "run_id: a\nseed: 0\ndata: {fold: 0, n_folds: 2}\nmodel: {init: random, freeze_epochs: 0}\n"
CONFIG += "trainer: {max_epochs: 1}\n"
ROWS = "image_id,path,group,split,label,prob_a\n" + 9 * "x,x,x,val,a,0.5\n"
READERS = {
    "config.yaml": [read_recorded, open_run, lambda run: past_of(str(run / "checkpoints" / "best.ckpt"), None)],
    "metrics.json": [open_run, read_metrics],
    "evidence.json": [read_evidence],
    "split.csv": [lambda run: past_of(str(run / "checkpoints" / "best.ckpt"), None)],
    "predictions/val.csv": [lambda run: read_predictions(run / "predictions" / "val.csv")],
    "predictions/meta.json": [lambda run: source(run / "predictions" / "val.csv", [])],
    "csv/metrics.csv": [learning_curves],
}
DAMAGES = {
    "empty": lambda content: b"",
    "binary": lambda content: bytes(range(256)) * 4,
    "zeros": lambda content: b"\0" * len(content),
    "another type": lambda content: b"[]",
    "a number": lambda content: b"3",
    "half": lambda content: content[: len(content) // 2],
}


@pytest.fixture
def run(tmp_path):
    files = {
        "config.yaml": CONFIG,
        "metrics.json": json.dumps({"run_id": "a", "best/monitor": 0.5}),
        "evidence.json": json.dumps({"systems": [], "asked": {"level": 0.9}, "cautions": []}),
        "split.csv": ROWS,
        "predictions/val.csv": ROWS,
        "predictions/meta.json": json.dumps({"classes": ["a"], "training_prior": [1.0]}),
        "csv/metrics.csv": "epoch,step,val/loss\n0,1,0.5\n",
        "checkpoints/best.ckpt": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", READERS)
def test_a_damaged_file_is_refused_with_its_place(run, name, damage):
    path = run / name
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
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
