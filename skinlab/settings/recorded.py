"""The recorded config of a run, and what a command line changes beside it; read before torch is imported."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from skinlab.errors import UserError
from skinlab.json_files import Keys, form_fault
from skinlab.settings.plain import YAML_ERRORS, check_plain

# What every command that trains records.
REQUIRED: Keys = {"run_id": str, "trainer.max_epochs": int, "model.freeze_epochs": int}
# The methods of pretrainings that were recorded before config.yaml named their classes.
METHODS = {
    "simclr": "skinlab.selfsup.simclr.SimCLR",
    "byol": "skinlab.selfsup.byol.BYOL",
    "simsiam": "skinlab.selfsup.simsiam.SimSiam",
    "barlow_twins": "skinlab.selfsup.barlow_twins.BarlowTwins",
    "vicreg": "skinlab.selfsup.vicreg.VICReg",
    "moco": "skinlab.selfsup.moco.MoCo",
    "dino": "skinlab.selfsup.dino.DINO",
    "denoise": "skinlab.selfsup.denoise.Denoise",
}
# Settings that earlier versions did not have, with the value that says what these did.
ADDED = {
    "data.colour_constancy": "none",
    "data.artefacts": None,
    "data.split": "random",
    "augment.amplitude_mix": 0.0,
    "model.keep_head": False,
    "model.swa_epochs": 0,
    "sampler.by_source": False,
}
BACKBONE = "backbone.safetensors"  # of a finished pretraining
UNFINISHED = ".unfinished"  # while the results of a run are written
REMEDY = "restore it, or choose another run directory"


def holds_run(run_dir: Path) -> bool:
    """Return whether a directory holds a run: a checkpoint or metrics; a start that trained no step left neither."""
    return (run_dir / "metrics.json").exists() or any((run_dir / "checkpoints").glob("*.ckpt"))


def is_finished(run_dir: Path) -> bool:
    """Return whether a run has written all its results."""
    return (run_dir / "metrics.json").exists() and not (run_dir / UNFINISHED).exists()


def is_training(run_dir: Path) -> bool:
    """Return whether a directory is that of a training, not of a pretraining or something else."""
    return (run_dir / "config.yaml").is_file() and "loss" in read_recorded(run_dir, {})


def is_pretraining(run_dir: Path) -> bool:
    """Return whether a directory is that of a pretraining."""
    return (run_dir / "config.yaml").is_file() and "ssl" in read_recorded(run_dir, {})


def how_to_finish(run_dir: Path) -> str:
    """Return that a run was not finished, and the command that goes on with it."""
    if not holds_run(run_dir):  # its config is not read by the command that starts it anew
        return "this run was stopped before its first checkpoint; start it again by the command that started it"
    command = "pretrain" if is_pretraining(run_dir) else "train"
    words = ["python", "-m", f"skinlab.{command}", f"hydra.run.dir={run_dir}"]
    return f"this run was not finished; to go on: {shlex.join(words)}"


def unfinished_pretraining(place: Path) -> str:
    """Return why a directory of a pretraining has no backbone, and what to do; "" for any other directory."""
    if not is_pretraining(place) or (place / BACKBONE).is_file():
        return ""
    checkpoint = max((place / "checkpoints").glob("*.ckpt"), key=lambda path: path.name == "last.ckpt", default=None)
    return how_to_finish(place) + (f", or give {checkpoint}" if checkpoint else "")


def read_recorded(run_dir: Path, keys: Keys = REQUIRED) -> dict[str, Any]:
    """Return the config that a run was started with.

    Args:
        run_dir: of the run.
        keys: what it must have, with the type of each value.

    Raises:
        UserError: its file is missing, can't be read, is damaged, or is no config of a run.
    """
    path = run_dir / "config.yaml"
    try:
        recorded: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        check_plain(recorded)
    except UserError as error:
        raise UserError(f"{path}: {error}, or {REMEDY}") from None
    except YAML_ERRORS as error:
        reason = getattr(error, "strerror", None) or (str(error).splitlines() or ["it is empty"])[0]
        raise UserError(f"{path} can't be read ({reason}); {REMEDY}") from None
    if fault := form_fault(recorded, keys):
        raise UserError(f"{path} is damaged ({fault}); {REMEDY}")
    return _upgraded({str(key): value for key, value in recorded.items()})


def recorded_plugins(place: Path) -> list[str]:
    """Return the plugins of the runs that a place belongs to or holds; none where no config of a run can be read.

    Args:
        place: a run directory, a file in one, or a folder of runs.
    """
    names: list[str] = []
    for run in _runs_at(place):
        with contextlib.suppress(UserError):  # reported by whoever needs the config
            recorded = read_recorded(run, {"run_id": str})["plugins"]
            names += map(str, recorded if isinstance(recorded, list) else [])
    return list(dict.fromkeys(names))


def recorded_data(place: Path) -> str:
    """Return the overrides of the data of the first run that a place belongs to or holds; "" where there is none.

    Args:
        place: a run directory, a file in one, or a folder of runs.
    """
    for run in _runs_at(place):
        with contextlib.suppress(UserError):  # reported by whoever needs the config
            data = read_recorded(run, {"data.name": str, "data.root": str})["data"]
            return shlex.join([f"data={data['name']}", f"data.root={data['root']}"])
    return ""


def check_submission_by(file: Path, ckpt: Sequence[str]) -> str:
    """Return the command that checks a submission by what its model predicted out of fold.

    Args:
        file: the submission.
        ckpt: its models, as they were set.
    """
    place, known = Path(ckpt[0]), len(ckpt) == 1
    if place.suffix == ".bundle":  # an ensemble's lies in the folder of its predictions
        place, known = place.parent, known and (place.expanduser().parent / "predictions").is_dir()
    data = recorded_data(place.expanduser())
    data = data if data.startswith("data=dsm2025 ") else "data=dsm2025 data.root=DIR"
    words = ["python", "-m", "skinlab.submit", f"check={file}", f"predictions={place if known else 'SWEEP'}"]
    return f"{shlex.join(words)} {data}"


def _runs_at(place: Path) -> list[Path]:
    """Return the runs that a place, a run directory, a file in one or a folder of runs, belongs to or holds."""
    near = [place, *place.absolute().parents[:2]] if place.is_file() else [place]
    found = [run for run in near if (run / "config.yaml").is_file()]
    return found or [path.parent for depth in ("*", "*/*") for path in sorted(place.glob(f"{depth}/config.yaml"))]


def _upgraded(config: dict[str, Any]) -> dict[str, Any]:
    """Return a recorded config in the present form.

    There were no plugins, every training scored its test, pretrainings had their views in ``augment``, and their
    methods were known by name instead of by ``_target_``; settings of :data:`ADDED` were not there.
    """
    augment, ssl = config.get("augment"), config.get("ssl")
    config.setdefault("plugins", [])
    for name, value in ADDED.items():
        group, _, setting = name.partition(".")
        if isinstance(config.get(group), dict):
            config[group].setdefault(setting, value)
    if "loss" in config:  # a training, not a pretraining
        config.setdefault("test", False)
    if isinstance(ssl, Mapping) and "_target_" not in ssl and ssl.get("name") in METHODS:
        config["ssl"] = {"_target_": METHODS[ssl["name"]], **ssl}
    if "ssl" not in config or not isinstance(augment, Mapping) or not isinstance(augment.get("views"), Mapping):
        return config
    shared = {name: augment[name] for name in ("transform", "lesion_pairs") if name in augment}
    return {key: value for key, value in config.items() if key != "augment"} | {"views": shared | augment["views"]}


def leaves(node: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted name and the value of every setting below a node.

    >>> list(leaves({"a": {"b": 1, "c": [2]}, "d": {}}))
    [('a.b', 1), ('a.c', [2])]
    """
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from leaves(value, f"{place}.{key}" if place else str(key))
    else:
        yield place, node
