"""Every parser of files that a stranger may have made, with a whole example of what it reads."""

from __future__ import annotations

import functools
import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from PIL import Image
from safetensors.torch import save

from skinlab.assessment.openings import count_openings, read_openings
from skinlab.assessment.run_evidence import read_evidence
from skinlab.assessment.sources import fit_cautions, is_ensemble
from skinlab.assessment.submissions import read_log
from skinlab.battery.artefact_table import read_artefacts
from skinlab.cli.config import compose_settings
from skinlab.data.audit.fingerprint_cache import duplicates, fingerprints
from skinlab.data.images import read_image
from skinlab.data.readers.table import read_table
from skinlab.evaluation.predictions import Predictions
from skinlab.fetching.unpack import unpack
from skinlab.inference.bundle import Bundle, load_bundle, save_bundle
from skinlab.inference.gate import STATISTICS, Gate
from skinlab.inference.inputs import find_images
from skinlab.inference.member import Member
from skinlab.models.classifier import Classifier
from skinlab.models.repository import read_repository
from skinlab.models.weight_facts import read_weight_facts
from skinlab.models.weights import read_checkpoint, read_tensors
from skinlab.runs.backbone_record import read_record
from skinlab.settings.base import create
from skinlab.settings.commands.train import TrainSettings
from skinlab.settings.recorded import read_recorded
from skinlab.tables.class_map import read_class_map
from skinlab.tables.csv_files import read_csv
from skinlab.tables.label_table import read_labels
from skinlab.tables.metadata import read_metadata
from skinlab.tables.predictions import read_predictions
from skinlab.tables.thresholds import read_thresholds

PREDICTIONS = (
    "image_id,group,source,fold,split,label,prob_mel,prob_nv\n"
    "a,g1,s,0,val,mel,0.75,0.25\nb,g2,s,0,val,nv,0.125,0.875\nc,g2,t,0,val,nv,0.5,0.5\n"
)
LABELS = "image_id;label;group\na;mel;g1\nb;nv;g2\n"
DATA = "path,label,group,mask_path,split\na.png,mel,g1,,train\nb.png,nv,g2,,val\n"
THRESHOLD = {"rule": "youden", "threshold": 0.5, "low": 0.4, "high": 0.6, "positives": 9, "chosen_on": "val"}
THRESHOLD |= {"rows_sha256": "0f", "positive": ["mel"], "cost_ratio": 1.0, "prevalence": None, "rows": {}}
META = {"classes": ["mel", "nv"], "training_prior": [0.5, 0.5], "positive": ["mel"], "method": "mean"}
META |= {"fitted_on": [{"what": "the calibrator", "chosen_on": "val", "rows": {}}], "fitted_cautions": ["x"]}
EVIDENCE = {
    "format": 1,
    "asked": {"level": 0.95},
    "settings": {"level": 0.9},
    "cautions": [],
    "systems": [{"worst": []}],
}
OPENING = {"time": "2026-01-01T00:00:00", "command": "evaluate", "command_line": "x", "run_id": "0f", "output": None}
SUBMISSION = {"format": 1, "time": "2026-01-01", "file": "a.csv", "sha256": "0f", "images": 3, "called": ["a"]}
RECORD = {"network": "resnet18", "method": "simclr", "images": ["0f"], "groups": ["g"], "inputs": {"mean": [0.5] * 3}}
REPOSITORY = {"architecture": "resnet18", "pretrained_cfg": {"mean": [0.5] * 3, "std": [0.2] * 3, "license": "mit"}}


@dataclass(frozen=True)
class Parser:
    """How a kind of file is read, and a whole one.

    Attributes:
        file: its name.
        read: takes its path.
        example: its content; a file's bytes, or a value of which ``write`` makes them.
        write: None where the example is bytes.
    """

    file: str
    read: Callable[[Path], object]
    example: Callable[[], Any]
    write: Callable[[Any], bytes] | None = None


def _json(content: Any) -> bytes:
    return json.dumps(content).encode()


def _yaml(content: Any) -> bytes:
    return yaml.safe_dump(content).encode()


def _torch(content: Any) -> bytes:
    whole = io.BytesIO()
    torch.save(content, whole)
    return whole.getvalue()


def _safetensors(record: Any) -> bytes:
    return save({"conv.weight": torch.zeros(2)}, metadata={"skinlab": json.dumps(record), "license": "mit"})


def _zip(names: list[str]) -> bytes:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        for name in names:
            archive.writestr(str(name), b"x")
    return whole.getvalue()


def image(kind: str) -> bytes:
    """Return a picture of 24 x 16 pixels in a format of Pillow's."""
    content = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)
    Image.fromarray(pixels).save(content, kind)
    return content.getvalue()


@functools.cache
def classifier() -> Classifier:
    """An untrained network of two classes."""
    return Classifier(
        network={"name": "test_resnet", "dropout": 0.0, "head": "linear"},
        classes=["mel", "nv"],
        inputs={"image_size": 32, "fit": "crop", "mean": [0.5] * 3, "std": [0.25] * 3},
        optimizer={"name": "adamw", "lr": 1e-3, "weight_decay": 0.0, "layer_decay": 1.0},
        scheduler={"name": "cosine", "warmup_epochs": 0.0, "min_ratio": 0.0},
        training_prior=[0.5, 0.5],
    )


@functools.cache
def bundle_content() -> Any:
    """The content of a bundle with everything that one may have."""
    n = len(STATISTICS)
    bundle = Bundle(
        (Member(classifier(), 32, "crop", [0.5, 0.5], "0f"),) * 2,
        ["mel", "nv"],
        method="weighted",
        learned={"weights": [0.5, 0.5]},
        calibrator={"method": "temperature", "temperature": 2.0},
        gate=Gate(np.zeros(n), np.ones(n), np.eye(n), 3.0, 0.99),
    )
    whole = io.BytesIO()

    class _Memory:
        def write_bytes(self, content: Any) -> None:
            whole.write(content)

    save_bundle(bundle, _Memory())  # type: ignore[arg-type]
    return torch.load(io.BytesIO(whole.getvalue()), weights_only=True)


@functools.cache
def config() -> dict[str, Any]:
    """The config of a training, as it is recorded."""
    words = ["data=ham10000", "data.root=/data", "model=resnet18", "semi=fixmatch", "logger=wandb"]
    return compose_settings("train", words, "/nowhere").dump() | {"run_id": "0f"}


def _read_config(path: Path) -> object:
    return create(TrainSettings, read_recorded(path.parent))


def _read_meta(path: Path) -> object:
    table = path.parent / "val.csv"
    table.write_text(PREDICTIONS)
    rows: Predictions = read_predictions(table)
    (path.parent / "val.meta.json").write_bytes(path.read_bytes())
    return fit_cautions(table, rows), is_ensemble(path.parents[1])


def _read_table(path: Path) -> object:
    for name in ("a.png", "b.png"):
        (path.parent / name).write_bytes(image("PNG"))
    return read_table(path.parent, path)


def _read_openings(path: Path) -> object:
    return read_openings(path.parent), count_openings([path.parent], {})


def _read_cache(path: Path) -> object:
    """Read both caches of an audit: each is taken, or left and made again."""
    picture = path.parent / "a.png"
    picture.write_bytes(image("PNG"))
    path.chmod(0o600)
    content = path.read_bytes()
    for _ in range(2):
        found = fingerprints([str(picture)], path.parent, 1)[0]
        duplicates(found, path.parent)
        for cache in path.parent.glob("*.bin"):
            cache.write_bytes(content)
    return found


PARSERS = {
    "table": Parser("a.csv", read_csv, lambda: PREDICTIONS.encode()),
    "predictions": Parser("val.csv", read_predictions, lambda: PREDICTIONS.encode()),
    "labels": Parser("a.csv", lambda path: read_labels(str(path), f"labels={path}", {}), lambda: LABELS.encode()),
    "metadata": Parser("a.csv", lambda path: read_metadata(path, {}, str(path)), lambda: LABELS.encode()),
    "data table": Parser("a.csv", _read_table, lambda: DATA.encode()),
    "table of inputs": Parser("a.csv", lambda path: find_images(str(path), missing_ok=True), lambda: DATA.encode()),
    "artefacts": Parser(
        "a.csv", lambda path: read_artefacts(str(path), ["a", "b"]), lambda: b"image_id,ink,hair\na,1,0.5\nb,0,\n"
    ),
    "class map": Parser(
        "a.csv", lambda path: read_class_map(str(path), ["mel", "nv"]), lambda: b"label,class\nm,mel\nn,nv\nx,\n"
    ),
    "class map in YAML": Parser(
        "a.yaml",
        lambda path: read_class_map(str(path), ["mel", "nv"]),
        lambda: {"m": "mel", "n": "nv", "x": None},
        _yaml,
    ),
    "config": Parser("config.yaml", _read_config, config, _yaml),
    "thresholds": Parser(
        "thresholds.json", lambda path: read_thresholds(str(path), "thresholds"), lambda: [THRESHOLD], _json
    ),
    "meta data": Parser("predictions/meta.json", _read_meta, lambda: META, _json),
    "evidence": Parser("evidence.json", lambda path: read_evidence(path.parent), lambda: EVIDENCE, _json),
    "openings": Parser("test_access.jsonl", _read_openings, lambda: OPENING, _json),
    "submissions": Parser("log.jsonl", read_log, lambda: SUBMISSION, _json),
    "repository": Parser("config.json", lambda path: read_repository(path.parent), lambda: REPOSITORY, _json),
    "backbone record": Parser(
        "a.safetensors", lambda path: (read_record(path), read_weight_facts(path)), lambda: RECORD, _safetensors
    ),
    "safetensors": Parser("a.safetensors", read_tensors, lambda: _safetensors(RECORD)),
    "checkpoint": Parser("a.ckpt", read_checkpoint, lambda: _torch({"a": torch.zeros(2), "b": [1, "x"]})),
    "bundle": Parser("a.bundle", load_bundle, bundle_content, _torch),
    "archive": Parser(
        "a.zip", lambda path: unpack(path, path.parent / "to", lambda _: None), lambda: ["a/b.jpg", "a/c.jpg"], _zip
    ),
    "archive's bytes": Parser(
        "a.zip", lambda path: unpack(path, path.parent / "to", lambda _: None), lambda: _zip(["a/b.jpg", "a/c.jpg"])
    ),
    "caches of an audit": Parser("a.bin", _read_cache, lambda: bytes(range(200))),
} | {
    f"image {kind}": Parser(
        f"a.{kind.lower()}", lambda path: (read_image(path), read_image(path, 8)), functools.partial(image, kind)
    )
    for kind in ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP")
}
