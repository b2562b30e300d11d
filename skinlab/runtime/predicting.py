"""Probabilities for images of any folder or table, from a checkpoint alone."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import track

from skinlab.data.datamodule import loading_processes
from skinlab.data.dataset import ImageDataset, batch_loader
from skinlab.data.images import BadImage, printable
from skinlab.data.manifest import some
from skinlab.data.samplers import Draw, EvalSampler
from skinlab.errors import UserError, nearest
from skinlab.evaluation.predictions import COLUMNS, PREFIX
from skinlab.evaluation.submission import FORMATS, check_format, isic_submission, kaggle_submission
from skinlab.models.bundle import Bundle, best_device, load_bundle
from skinlab.models.inference import predict_probabilities, tta_views
from skinlab.runtime.inputs import find_images
from skinlab.runtime.outcome import DECIMALS
from skinlab.runtime.run_directory import replacing, write_json

log = logging.getLogger(__name__)

NAMED = 20  # bad images that an error names; the rest are counted


def predict(config: dict[str, Any]) -> None:
    """Predict the images of ``input`` with the classifier of ``ckpt`` and write them to ``output``.

    Args:
        config: the resolved config of ``conf/predict.yaml``.

    Raises:
        UserError: whatever a person must mend; nothing has been written then.
    """
    output = check_settings(config)
    device = best_device(config["device"])
    rows = find_images(config["input"], missing_ok=config["on_bad_image"] == "drop")
    bundle = load_bundle(config["ckpt"])
    try:
        check_format(config["format"], bundle.classes, rows["path"].tolist())
    except ValueError as error:
        raise UserError(str(error)) from None
    started = time.perf_counter()
    loader = batch_loader(
        Readable(rows["path"].tolist(), np.full(len(rows), -1), size=bundle.image_size, fit=bundle.fit),
        EvalSampler(len(rows)),
        batch_size=config["batch_size"],
        num_workers=min(config["num_workers"], -(-len(rows) // config["batch_size"])),
    )
    bad: dict[int, str] = {}
    screen = Console(stderr=True)
    batches = track(
        loader, f"predicting {len(rows)} images", console=screen, transient=True, disable=not screen.is_terminal
    )
    probabilities = predict_probabilities(
        bundle.classifier.to(device),
        usable(batches, rows, bad, on_bad_image=config["on_bad_image"]),
        device=device,
        tta=config["tta"],
    )
    seconds = time.perf_counter() - started
    rows = rows.drop(index=list(bad)).reset_index(drop=True)
    write_predictions(config, output, bundle, rows, probabilities)
    log.info("%d images in %.1f s on %s: %s", len(rows), seconds, device.type, output)


class Readable(ImageDataset):
    """Reads images; one that can't be read becomes black, and its batch tells why under ``bad``: row → reason."""

    def batch(self, draws: Sequence[Draw | int]) -> dict[str, Any]:
        """Return a batch of uint8 images, with the reasons of those that can't be read."""
        self.bad: dict[int, str] = {}
        return super().batch(draws) | {"bad": self.bad}

    def _sample(self, visit: Draw) -> Any:
        try:
            return super()._sample(visit)
        except BadImage as error:
            self.bad[visit.row] = error.reason
            return np.zeros((self.size, self.size, 3), np.uint8)


def usable(batches: Any, rows: pd.DataFrame, bad: dict[int, str], *, on_bad_image: str) -> Iterator[dict[str, Any]]:
    """Yield batches less their bad images; from the first one that is an error on, only look for more of them.

    Args:
        batches: of :class:`Readable`.
        rows: with ``path``.
        bad: filled with row → reason.
        on_bad_image: ``error`` or ``drop``.

    Raises:
        UserError: at the end, if there were bad images and they are an error, or there were no others.
    """
    for batch in batches:
        bad |= batch["bad"]
        good = ~np.isin(batch["row"].numpy(), list(batch["bad"]))
        if good.any() and (not bad or on_bad_image == "drop"):
            yield {"image": batch["image"][good]}
    if not bad:
        return
    told = some((f"{printable(rows['path'][row])} {reason}" for row, reason in sorted(bad.items())), NAMED)
    message = f"{len(bad)} of {len(rows)} images can't be read: {told}"
    if on_bad_image == "error":
        raise UserError(f"{message}; mend or remove them, or leave them out: on_bad_image=drop")
    if len(bad) == len(rows):
        raise UserError(f"{message}; no image is left")
    log.warning("%s; left out", message)


def check_settings(config: dict[str, Any]) -> Path:
    """Refuse settings that make no sense, and return where the predictions go.

    Raises:
        UserError: a setting is missing or out of range, or the output can't be written there.
    """
    for name, words in (("ckpt", "RUN_OR_FILE"), ("input", "FOLDER_OR_CSV_OR_IMAGE"), ("output", "FILE.csv")):
        if not isinstance(config[name], str) or not config[name]:
            raise UserError(f"{name}= is missing or no name: say {name}={words}")
    for name, options in (("format", FORMATS), ("on_bad_image", ("error", "drop"))):
        if config[name] not in options:
            hint = nearest(config[name], options)
            raise UserError(f"{name}={config[name]}: choose {', '.join(options)}{hint}")
    tta_views(config["tta"])
    if config["batch_size"] < 1:
        raise UserError(f"batch_size={config['batch_size']}: must be at least 1")
    if config["num_workers"] != "auto" and (not isinstance(config["num_workers"], int) or config["num_workers"] < 0):
        raise UserError(f"num_workers={config['num_workers']}: give auto or a number of processes, 0 or more")
    config["num_workers"] = loading_processes(config["num_workers"])
    if not 0 <= config["threshold"] <= 1:
        raise UserError(f"threshold={config['threshold']}: a probability from 0 to 1 is expected")
    if config["threshold"] != 0.5 and config["format"] != "kaggle":
        raise UserError(f"threshold={config['threshold']} is for format=kaggle; other formats hold the probabilities")
    return check_output(config["output"], overwrite=config["overwrite"])


def check_output(place: str, *, overwrite: bool) -> Path:
    """Return the file to write.

    Raises:
        UserError: it is no CSV, its folder is missing or locked, or it or its ``.meta.json`` is there already.
    """
    output = Path(place).expanduser().absolute()
    if output.suffix.lower() != ".csv" or output.is_dir():
        raise UserError(f"output={place}: the name of a CSV file is expected, such as output=predictions.csv")
    if not output.parent.is_dir():
        raise UserError(f"output={place}: there is no folder {output.parent}; make it or choose another")
    if not os.access(output.parent, os.W_OK):
        raise UserError(f"output={place}: {output.parent} can't be written; choose another folder")
    for path in (output, meta_path(output)):
        if path.exists() and not overwrite:
            raise UserError(f"{path} exists; choose another output= or say overwrite=true")
    return output


def meta_path(output: Path) -> Path:
    """Return where the facts about a predictions file lie: beside it."""
    return output.with_suffix(".meta.json")


def write_predictions(
    config: dict[str, Any], output: Path, bundle: Bundle, rows: pd.DataFrame, probabilities: np.ndarray
) -> None:
    """Write predictions and their ``.meta.json``, both or none."""
    columns = [name for name in COLUMNS if name in rows]
    names = [PREFIX + name for name in bundle.classes]
    table = rows[columns].join(pd.DataFrame(np.round(probabilities, 6), columns=names))
    facts = {"tta": config["tta"], "format": config["format"], "images": len(rows)}
    files = rows["path"].tolist()
    if config["format"] == "kaggle":
        table = kaggle_submission(table, files, config["threshold"])
        facts["threshold"] = config["threshold"]
    elif config["format"] == "isic":
        table = isic_submission(table, files)
    with replacing(output) as temporary:
        table.to_csv(temporary, index=False, float_format=DECIMALS)
        write_json(meta_path(output), bundle.meta(**facts))
