"""Find the training images of a model and of its initial weights, and check that no run is evaluated on them."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Required, TypedDict

import pandas as pd

from skinlab.data.audit.fingerprint import ImageHashes
from skinlab.data.audit.fingerprint_cache import fingerprints
from skinlab.data.pool import held_out, outside_folds
from skinlab.data.preparation import Prepared
from skinlab.data.training_images import NO_LIST, TrainingImages, contents
from skinlab.errors import UserError, some
from skinlab.models.weights import find_checkpoint
from skinlab.processes.cores import available_cores
from skinlab.runs.backbone_record import NAME, TRAINING_IMAGES, find_init, read_record
from skinlab.settings.recorded import read_recorded
from skinlab.tables.csv_files import read_csv
from skinlab.text import quantity

log = logging.getLogger(__name__)

Provenance = Mapping[str, Any]
SAME_FOLD = "use weights made with the same data.fold and data.split_seed"
POOL = ", or for all folds pretrain on images outside every fold: python -m skinlab.pretrain … pool=pool"
PHANTOM = "phantom"  # whose lesions have names like HAM10000's
NAMES = ("auto", "imagenet", "random")  # weights that were not trained on images of ours


class TrainedOn(TypedDict, total=False):
    """How many images of val and test initial weights were trained on, and their licence, where that is known."""

    init_licence: str
    init_saw_val: int
    init_saw_test: int


class InitFacts(TrainedOn):
    """What a run records of its initial weights."""

    init_used: Required[str]


def weight_provenance(init: str, audit_cache: str | Path | None) -> dict[str, Any]:
    """Return the training images of weights, and of the weights that they started from.

    Args:
        init: as ``model.init``.
        audit_cache: directory of cached image hashes, or None.

    Returns:
        ``method``, ``data`` (name of the data set) and the lists of ``TRAINING_IMAGES``, which may lack; nothing for
        ImageNet's and random weights.
    """
    path = Path(init).expanduser().absolute()
    if init in NAMES:
        return {}
    if record := read_record(path / NAME if path.is_dir() else path):
        return {"files": [NO_LIST]} | record
    run = path.parent.parent
    if path.parent.name == "checkpoints" and (run / "split.csv").exists() and (run / "config.yaml").exists():
        return _provenance_of_run(run, audit_cache)
    return {"unknown": [init]}


def training_images(place: str | Path, carried: Mapping[str, Any] | None = None) -> TrainingImages:
    """Return the training and validation images of a model, with those of its initial weights.

    Args:
        place: as ``ckpt``: a run directory, a checkpoint in one, or a bundle.
        carried: what a bundle records of them; None for other files and for older bundles.

    Raises:
        UserError: there is no such model, or what the bundle carries is damaged.
    """
    path = find_checkpoint(place)
    if carried is None:
        try:
            return TrainingImages.of(weight_provenance(str(path), None))
        except UserError as error:  # a run's files may be damaged; its weights predict all the same
            return TrainingImages.of({"unknown": [str(error)]})
    try:
        return TrainingImages.from_dict(carried)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path}: its record of training images is damaged ({error}); make it again") from None


def all_training_images(places: Sequence[str], carried: Iterable[Mapping[str, Any] | None]) -> TrainingImages:
    """Return the training images of the models of some places together.

    Args:
        places: of the models.
        carried: what each bundle records of them, see :func:`training_images`.
    """
    return TrainingImages.merged(training_images(*each) for each in zip(places, carried, strict=True))


def count_usages(how: Iterable[str], unknown: Iterable[str] = ()) -> dict[str, Any]:
    """Count how :meth:`TrainingImages.usage` says that images were used by a model.

    Returns:
        ``images`` in all, ``train``, ``val`` and ``group``, and the ``unknown``.
    """
    found = Counter(how)
    counts = {kind: found[kind] for kind in ("train", "val", "group")}
    return {"images": found.total()} | counts | {"unknown": list(unknown)}


def _provenance_of_run(run: Path, audit_cache: str | Path | None) -> dict[str, Any]:
    """Return the training images of the checkpoints of a training run, by its ``split.csv`` and ``config.yaml``."""
    config = read_recorded(run, {"model.init": str})
    table = read_csv(run / "split.csv", ("image_id", "path", "group", "split"))
    if "image_hash" not in table:  # of a run before there was such a column
        table["image_hash"] = _read_hashes(table, audit_cache)
    semi = (config.get("semi") or {}).get("name", "none") != "none"
    pool = (table["split"] == "pool") & ~held_out(table) & semi
    learned, chosen = table[(table["split"] == "train") | pool], table[table["split"] == "val"]
    own = {"images": learned["image_hash"], "groups": learned["group"]}
    own |= {"val_images": chosen["image_hash"], "val_groups": chosen["group"]}
    own["files"] = pd.concat([learned, chosen])["file_tail"] if "file_tail" in table else pd.Series([NO_LIST])
    if (gone := (table["image_hash"] == "")).any():
        own["unknown"] = pd.Series([f"{gone.sum()} images of {run}/split.csv that are no longer there"])
    init = str(config["model"]["init"])
    if Path(init).expanduser().is_dir():
        init = find_init(init, config["data"].get("fold"))
    return {"method": "supervised", "data": (config.get("data") or {}).get("name")} | merged(
        own, weight_provenance(init, audit_cache)
    )


def _read_hashes(table: pd.DataFrame, audit_cache: str | Path | None) -> list[str]:
    """Return the content hashes of the files of a table, "" for those that can't be read."""
    cache_dir = None if audit_cache is None else Path(audit_cache)
    records, bad, _ = fingerprints(table["path"].tolist(), cache_dir, available_cores())
    hashes = ImageHashes(table["image_id"], records["digest"]).values()
    return ["" if row in bad else each for row, each in enumerate(hashes)]


def merged(*provenances: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    """Merge the training images of weights and of their initial weights.

    >>> merged({"images": ["b"]}, {"images": ["a", "b"], "groups": ["g"]})["images"]
    ['a', 'b']
    """
    return {
        key: sorted({each for provenance in provenances for each in provenance.get(key, ())} - {""})
        for key in TRAINING_IMAGES
    }


def check_training_images(
    init: str, provenance: Provenance, prepared: Prepared, *, allow_seen: bool, data: str = ""
) -> TrainedOn:
    """Count the validation and test images that weights were trained on, themselves or by others of their group.

    Images that chose the best epoch of the weights may validate this run, but not test it.

    Args:
        init: as set, for the error.
        provenance: of the weights.
        prepared: the data to be trained and tested on.
        allow_seen: warn rather than refuse.
        data: name of the data set, for groups that have a name in common by chance.

    Returns:
        ``init_saw_val`` and ``init_saw_test``; empty where no training image is known.

    Raises:
        UserError: there are some, and ``allow_seen`` is false.
    """
    if provenance.get("unknown"):
        log.warning(
            "model.init=%s: the training images of these weights are not known (%s); if images of val or test are "
            "among them, the metrics do not hold for new images",
            init,
            some(provenance["unknown"]),
        )
    if "images" not in provenance:
        return {}
    rows = prepared.manifest
    rows = rows.assign(image_hash=[prepared.image_hashes[each] for each in rows["image_id"]])
    learned = _usage(rows, {key: provenance[key] for key in ("images", "groups")})
    tested = _usage(rows, provenance)
    usages = {"val": learned[rows["split"] == "val"], "test": tested[rows["split"] == "test"]}
    counts = {split: int((how != "").sum()) for split, how in usages.items()}
    if any(counts.values()):
        pool = "" if provenance["method"] == "supervised" or not outside_folds(rows).any() else POOL
        _report(init, provenance, rows["image_id"], usages, None if allow_seen else SAME_FOLD + pool)
    elif (
        rows["group"][rows["split"].isin(usages)].isin(provenance["groups"]).any()
        and not tested.astype(bool).any()
        and not _phantom_and_real(provenance.get("data"), data)
    ):
        log.warning(
            "model.init=%s: no image of this data was used in training (%s), but groups of val or test have the "
            "same names; if the data is the same in another form, the metrics do not hold for new images",
            init,
            provenance["method"],
        )
    return {"init_saw_val": counts["val"], "init_saw_test": counts["test"]}


def _phantom_and_real(theirs: str | None, ours: str) -> bool:
    """Return whether weights were trained on the phantom and are evaluated on other data, or the other way round."""
    return bool(theirs) and theirs != ours and PHANTOM in (theirs, ours)


def _usage(rows: pd.DataFrame, provenance: Provenance) -> pd.Series[str]:
    known = TrainingImages.of(provenance)
    return pd.Series(known.usage(contents(rows["image_hash"]), rows["group"]), index=rows.index, dtype=str)


def _report(
    init: str, provenance: Provenance, ids: pd.Series[str], usages: Mapping[str, pd.Series[str]], remedy: str | None
) -> None:
    """Raise an error with a remedy, or without one log a warning, about images that the weights were trained on."""
    parts = []
    for split, how in usages.items():
        if (how != "").any():
            others = (how == "group").sum()
            by_group = f", {others} of them by other images of their group" if others else ""
            named = ids[how.index][how != ""]
            parts.append(f"{quantity(len(named), f'{split} image')} ({some(named, 2)}){by_group}")
    message = f"model.init={init}: its training ({provenance['method']}) used {' and '.join(parts)}"
    if remedy is not None:
        raise UserError(f"{message}; {remedy}, or accept the leak: model.allow_seen=true")
    log.warning("%s: the metrics of those images do not hold for new ones", message)
