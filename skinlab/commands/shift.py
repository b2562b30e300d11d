"""Probe a model on altered images and on other images than its own, and write what holds and what breaks."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from skinlab.assessment.evidence_files import describe_provenance
from skinlab.assessment.openings import log_openings
from skinlab.battery.artefact_table import read_artefacts
from skinlab.battery.bench import Bench, ImageSet
from skinlab.battery.known_images import known_images
from skinlab.battery.model import Model
from skinlab.battery.places import home_images, outside_images
from skinlab.battery.running import run_probes
from skinlab.battery.trained import threshold_at_home
from skinlab.data.preparation import read_class_names
from skinlab.data.training_images import contents
from skinlab.errors import UserError, user_errors
from skinlab.evaluation.predictions import check_positive
from skinlab.evaluation.shift.form import FORMAT, Condition, Place, ShiftEvidence
from skinlab.evaluation.shift.verdict import verdict
from skinlab.evaluation.shift.yardstick import Yardstick, condition
from skinlab.evaluation.thresholds.frozen import FrozenThreshold
from skinlab.files import claim, write_json, write_text
from skinlab.inference.bundle import Bundle, best_device, load_bundle
from skinlab.inference.models import run_of
from skinlab.phantom.tables import ARTEFACTS as PHANTOM_TABLE
from skinlab.runs.preparation import audit_data
from skinlab.runs.provenance import all_training_images
from skinlab.settings.command import Invocation
from skinlab.settings.commands.shift import ShiftSettings
from skinlab.settings.outputs import output_folder, refuse_existing
from skinlab.settings.part import build
from skinlab.settings.recorded import read_recorded
from skinlab.tables.class_map import class_of_labels, read_class_map
from skinlab.tables.positive import positive_names

log = logging.getLogger(__name__)


def shift(settings: ShiftSettings, invocation: Invocation) -> None:
    """Run the probes of the battery on the model ``ckpt`` and write evidence and report into ``output``.

    Args:
        settings: of the command.
        invocation: its command line is recorded.

    Raises:
        UserError: whatever the user has to correct; nothing has been written then.
    """
    output = output_folder(settings.output)
    refuse_existing(output / "evidence.json", overwrite=settings.overwrite)
    probes = {name: build(part) for name, part in settings.chosen.items()}
    bundle = load_bundle(settings.ckpt)
    run = Path(settings.home).expanduser() if settings.home else run_of(settings.ckpt)
    threshold = find_threshold(settings, bundle, run)
    yardstick = Yardstick(threshold.positive, threshold.threshold, settings.level, settings.seed)
    model = Model(bundle, best_device(settings.device))
    home = home_images(run, settings.split, model, yardstick, threshold, settings.n_images) if run else None
    outside = read_outside(settings, model, yardstick, run)
    artefacts = find_artefacts(settings, run, [each for each in (home, outside) if each is not None])
    with claim(output, "output"):
        (output / "evidence.json").unlink(missing_ok=True)  # of an earlier battery, whose pictures are replaced
        if run is not None and settings.split == "test":
            log_openings([run], "shift", invocation.command, output)
        bench = Bench(model, yardstick, home, outside, settings.seed, run, artefacts)
        results = run_probes(probes, bench, output)
        of_home, of_outside = (unaltered(each) for each in (home, outside))
        evidence: ShiftEvidence = {
            "format": FORMAT,
            "kind": "shift",
            "model": settings.ckpt,
            "classes": bundle.outputs,
            "level": settings.level,
            "seed": settings.seed,
            "provenance": describe_provenance(invocation.command, settings.dump()),
            "threshold": {
                "rule": threshold.rule,
                "value": threshold.threshold,
                "chosen_on": threshold.chosen_on,
                "positive": list(threshold.positive),
            },
            "home": place(home),
            "outside": place(outside),
            "verdict": verdict(results, of_home, of_outside),
            "probes": results,
        }
        write_report(evidence, output)
        write_json(output / "evidence.json", evidence)
    print_verdict(evidence, output)


def find_threshold(settings: ShiftSettings, bundle: Bundle, run: Path | None) -> FrozenThreshold:
    """Return the threshold that is frozen at home, with the classes that it is for.

    Raises:
        UserError: no class is known to be malignant, or there are no images to choose it on.
    """
    classes = bundle.outputs
    positive = settings.positive or positive_names(classes)
    if not positive:
        raise UserError(
            f"positive= is missing: none of the classes {', '.join(classes)} is known to be malignant; name those that "
            f"must not be missed, as in positive=[{classes[-1]}]"
        )
    with user_errors():
        check_positive(positive, classes)
    return threshold_at_home(settings.ckpt, bundle, run, settings.threshold, positive)


def read_outside(settings: ShiftSettings, model: Model, yardstick: Yardstick, run: Path | None) -> ImageSet | None:
    """Return the images of ``data=``; None without one.

    Raises:
        UserError: the data can't be read, a label has no class, or none of its images can be used.
    """
    data = settings.data
    if data is None:
        return None
    classes = model.bundle.classes
    class_map = None if settings.class_map is None else read_class_map(settings.class_map, classes)
    labels = read_class_names(build(data.reader), None, data.label_map)
    class_of = class_of_labels(labels, class_map, classes, data.name)
    known = all_training_images([settings.ckpt], [model.bundle.training_images])
    audited = audit_data(data)
    hashes = contents(bytes(digest).hex() for digest in audited.digests)
    cache = None if data.cache_dir is None else Path(data.cache_dir)
    own = known_images(audited.manifest, hashes, known, run, cache)
    audited.manifest["image_hash"] = [bytes(digest).hex() for digest in audited.digests]
    return outside_images(data.name, audited, class_of, own, model, yardstick, settings.n_images)


def find_artefacts(settings: ShiftSettings, run: Path | None, places: Sequence[ImageSet]) -> pd.DataFrame | None:
    """Return the table of artefacts in images: ``artefacts=``, ``data.artefacts`` of the run, or a phantom's own.

    Raises:
        UserError: it can't be read, or is of other images.
    """
    data = {} if run is None else read_recorded(run, {"data.name": str})["data"]
    phantoms = Path(str(data.get("root"))) / PHANTOM_TABLE if data.get("name") == "phantom" else None
    table = settings.artefacts or data.get("artefacts") or (str(phantoms) if phantoms and phantoms.is_file() else None)
    return None if table is None else read_artefacts(table, [id for each in places for id in each.rows["image_id"]])


def unaltered(images: ImageSet | None) -> Condition | None:
    """Return the metrics of images as they are; None where there are none."""
    return None if images is None else condition(images.name, images.clean, images.yardstick, images.own)


def place(images: ImageSet | None) -> Place | None:
    """Return what is recorded of images."""
    if images is None:
        return None
    support = images.rows["label"].value_counts().sort_index()
    return {
        "name": images.name,
        "images": len(images),
        "groups": int(images.rows["group"].nunique()),
        "support": {str(name): int(n) for name, n in support.items()},
        "left_out": images.left_out,
    }


def write_report(evidence: ShiftEvidence, output: Path) -> None:
    """Write the page."""
    from skinlab.report.shift.page import render_shift  # matplotlib takes its time to import

    write_text(output / "report.html", render_shift(evidence, output))


def print_verdict(evidence: ShiftEvidence, output: Path) -> None:
    """Print the verdict and where the page is."""
    found = evidence["verdict"]
    for line in found["headline"]:
        print(line)
    for title, lines in (
        ("breaks", found["breaks"]),
        ("watch", found["watch"]),
        ("other trainings", found["trainings"]),
        ("not run", found["not_run"]),
    ):
        for line in lines:
            print(f"{title}: {line}")
    if found["holds"]:
        print(f"holds: {', '.join(found['holds'])}")
    print(f"report: {output / 'report.html'}")
