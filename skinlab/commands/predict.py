"""Probabilities for images of any folder or table, from a checkpoint alone."""

from __future__ import annotations

import logging
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skinlab.assessment.sweeps import thresholds_of_runs
from skinlab.data.pseudo_labels import COLUMN, balance_caution, log_pseudo_labels, pseudo_label_facts
from skinlab.data.training_images import TrainingImages
from skinlab.errors import UserError, nearest, some, user_errors
from skinlab.evaluation.overlap import FittedOn, RowIds, overlap_cautions
from skinlab.evaluation.predictions import COLUMNS, FLOAT_FORMAT, PREFIX, as_written
from skinlab.evaluation.submission import (
    Confidence,
    check_format,
    class_confidences,
    in_format,
    labelling_confidence,
    pseudo_labels,
)
from skinlab.evaluation.thresholds.choice import is_fixed, parse_rule, positive_score
from skinlab.evaluation.thresholds.decision import Decision
from skinlab.files import claim_file, json_text, replacing
from skinlab.inference.bundle import Bundle, best_device, load_bundle
from skinlab.inference.bundle_parts import fit_scale_cautions
from skinlab.inference.called import called_classes, likeliest, rule_called_by
from skinlab.inference.ensembling import ensemble
from skinlab.inference.explanations import check_explainable, write_explanations
from skinlab.inference.inputs import find_images
from skinlab.inference.member import licences, log_licences
from skinlab.inference.models import model_places, run_of
from skinlab.inference.predict_images import ImagePredictions, predict_images
from skinlab.inference.run_tables import labelled_shares
from skinlab.models.prediction import tta_views
from skinlab.report.terminal import print_images, print_places
from skinlab.report.wording import prediction_overlap_sentence
from skinlab.runs.provenance import all_training_images, count_usages
from skinlab.settings.commands.predict import PredictSettings
from skinlab.settings.outputs import meta_path, pictures_folder, prediction_file
from skinlab.settings.recorded import check_submission_by
from skinlab.tables.decision import read_decision
from skinlab.text import portion, quantity

log = logging.getLogger(__name__)

IN_FORMAT = {  # what a rule for the called class does in formats without a column for it
    "kaggle": "the label is 1 for the positive class",
    "isic": "probabilities are weighted, and rows sum to one again, so that the most probable class is the called one,",
}


def predict(settings: PredictSettings) -> None:
    """Predict the images of ``input`` with the classifier of ``ckpt`` and write them to ``output``.

    Args:
        settings: of the command.

    Raises:
        UserError: whatever the user has to correct; nothing has been written then.
    """
    output = prediction_file(settings.output, overwrite=settings.overwrite)
    folder = pictures_folder(settings.explain, overwrite=settings.overwrite)
    tta_views(settings.tta)  # refuses an unknown name, as the next line a missing file, before images are listed
    places = model_places(settings.ckpt)
    with claim_file(output), claim_file(meta_path(output)):
        device, missing_ok = best_device(settings.device), settings.on_bad_image == "drop"
        rows = find_images(
            settings.input, missing_ok=missing_ok, columns=settings.columns, label_map=settings.label_map
        )
        paths = rows["path"].tolist()
        bundle, known = load(places)
        check_model(bundle, settings, paths)
        bundle = with_run_thresholds(replace(bundle, decision=find_decision(bundle, settings)), settings, places)
        threshold = find_threshold(bundle, settings)

        started = time.perf_counter()
        found = predict_images(bundle, paths, settings, device, tta=settings.tta, gate=settings.gate, known=known)
        seconds = time.perf_counter() - started
        rows = rows[found.read].reset_index(drop=True)
        seen = known.usage(found.hashes, rows.get("group"))

        known_rows, fits = RowIds.of_images(rows, found.hashes), applied_fits(bundle, settings)
        cautions = [*overlap_cautions(known_rows, fits), *(of_scale := fit_scale_cautions(bundle, fits))]
        table = tabulate(rows, found, bundle, threshold, seen)
        counts = count_usages(seen, known.unknown)
        facts = bundle.meta(tta=settings.tta, format=settings.format, images=len(rows))
        facts |= gate_facts(bundle, found) | {"models": [str(Path(each).expanduser().absolute()) for each in places]}
        if threshold is not None:
            facts["threshold"] = threshold = threshold | {"called": int(table["called"].sum())}
        called, rule = called_classes(table, bundle.outputs), rule_called_by(threshold, bundle.decision)
        if shared := [*overlap_cautions(known_rows, bundle.probability_fits), *of_scale]:
            facts["fitted_cautions"] = shared
        if settings.format == "labels":
            table, more = label_pool(table, bundle, known, settings.confidence, run_of(places[0]))
            facts |= more
        elif settings.format != "table":
            positive = 1 if threshold is not None else bundle.positive_output
            table = in_format(table, settings.format, bundle.outputs, bundle.decision, positive)
        facts |= {"training_overlap": counts, "init_licences": licences(bundle.members)}
        write_predictions(table, facts, output)
        if folder is not None:
            write_explanations(bundle, rows, called, found.probabilities, folder, device, rule)
    if threshold is not None:
        log.info("%s", threshold_sentence(threshold, len(rows)))
    if settings.format != "labels":
        cautions.insert(0, prediction_overlap_sentence(counts))
        print_images(rows["image_id"].tolist(), found.probabilities, bundle.outputs, called, rule)
    for sentence in filter(None, cautions):
        log.warning("%s", sentence)
    done, command = f"{quantity(len(rows), 'image')} in {seconds:.1f} s", check_command(table, settings, output)
    print_places({f"{done} on {device.type}": output, "pictures": folder, "to check it": command})


def check_command(table: pd.DataFrame, settings: PredictSettings, output: Path) -> str | None:
    """Return the command that checks a submission, and warn of one that calls no image; None for other formats."""
    if settings.format != "kaggle":
        return None
    if not table["label"].any():
        log.warning("no image is called 1, so that F1 is 0: set threshold=f1, or a lower number, and overwrite=true")
    return check_submission_by(output, settings.ckpt)


def load(places: Sequence[str]) -> tuple[Bundle, TrainingImages]:
    """Return the models of some places as one, and their training images together.

    Raises:
        UserError: one can't be read, or they don't fit together.
    """
    models = [load_bundle(place) for place in places]
    if len(places) > 1:
        log.info("the mean of the probabilities of %d models: %s", len(places), some(places, 5))
    bundle = ensemble(models, places)
    log_licences(bundle.members)
    return bundle, all_training_images(places, (model.training_images for model in models))


def check_model(bundle: Bundle, settings: PredictSettings, paths: Sequence[str]) -> None:
    """Refuse what the model can't do, before anything is predicted.

    Raises:
        UserError: ``gate=error`` without an input gate, a format for other classes or names, or a confidence of a
            class that it lacks.
    """
    if settings.gate == "error" and bundle.gate is None:
        place = ",".join(settings.ckpt)
        raise UserError(
            f"gate=error: {place} has no input gate; make a bundle with one, and predict by it: "
            f"python -m skinlab.bundle ckpt={place} output=FILE.bundle gate=fit"
        )
    if settings.explain is not None:
        check_explainable(bundle)
    with user_errors():
        check_format(settings.format, bundle.outputs, paths)
        class_confidences(settings.confidence, bundle.outputs)


def find_threshold(bundle: Bundle, settings: PredictSettings) -> dict[str, Any] | None:
    """Return the threshold of ``threshold=``: its ``value``, the classes ``positive`` and what is known of it.

    Without one ``format=kaggle`` takes the bundle's rule for the called class, and else 0.5.

    Raises:
        UserError: the bundle has no such rule, or a number or a format does not fit the positive classes.
    """
    chosen, names, positive = settings.threshold, bundle.outputs, bundle.positive_output
    if chosen is None and (settings.format != "kaggle" or bundle.decision is not None):
        return None
    known = {each.rule for each in bundle.thresholds}
    if isinstance(chosen, str) and is_fixed(chosen) and chosen not in known and len(names) == 2:
        with user_errors():
            chosen = parse_rule(chosen)[1]
    if isinstance(chosen, str):
        threshold = _threshold_of_rule(chosen, bundle, settings)
    elif len(names) != 2:
        raise UserError(f"threshold={chosen}: a number needs a model of two classes, this has {', '.join(names)}")
    else:
        threshold = {"value": 0.5 if chosen is None else chosen, "positive": [positive]}
    positives = threshold["positive"]
    kind = "class" if len(positives) == 1 else "the classes"
    log.info("calls of %s %s: p ≥ %.4g", kind, " or ".join(positives), threshold["value"])
    return threshold


def _threshold_of_rule(rule: str, bundle: Bundle, settings: PredictSettings) -> dict[str, Any]:
    known, place = {row.rule: row for row in bundle.thresholds}, ",".join(settings.ckpt)
    if rule not in known:
        rules = f"choose {', '.join(known)}{nearest(rule, known)}, or make" if known else "make"
        source = "RUN" if place.endswith(".bundle") else shlex.quote(place)
        raise UserError(
            f"threshold={rule}: {place} has no such rule; {rules} a bundle of its run with one, and predict "
            f"by it: python -m skinlab.bundle ckpt={source} output=FILE.bundle 'thresholds=[{rule}]' "
            f"'positive=[{bundle.positive_output or 'A,B'}]'"
        )
    row, positive = known[rule], bundle.positive_output
    if settings.format == "kaggle" and row.positive != [positive]:
        raise UserError(
            f"threshold={rule} is for {', '.join(row.positive)}; format=kaggle needs one for {positive}: make a bundle "
            f"with it, python -m skinlab.bundle ckpt=RUN output=FILE.bundle 'thresholds=[{rule}]' "
            f"'positive=[{positive}]'"
        )
    kept = ("rule", "low", "high", "positive", "chosen_on", "rows_sha256", "cost_ratio", "prevalence")
    return {key: getattr(row, key) for key in kept} | {"value": row.threshold}


def with_run_thresholds(bundle: Bundle, settings: PredictSettings, places: Sequence[str]) -> Bundle:
    """Return the model with the thresholds of its runs, where ``threshold=`` is a rule and it has none of its own.

    Raises:
        UserError: they can't be read, or are of other weights.
    """
    runs = [run_of(place) for place in places]
    if not isinstance(settings.threshold, str) or bundle.thresholds or None in runs:
        return bundle
    found = thresholds_of_runs([run for run in runs if run is not None], settings.threshold, bundle.sha256)
    return replace(bundle, thresholds=found)


def threshold_sentence(threshold: Mapping[str, Any], n: int) -> str:
    """Return the threshold that was applied, its interval and its rows, and the images called positive, of ``n``."""
    low, high, rule = (threshold.get(key) for key in ("low", "high", "rule"))
    span = "" if low is None else f" ({low:.4f} to {high:.4f})"
    where = f", {'' if is_fixed(rule) else 'chosen on '}{threshold['chosen_on']}" if rule else ""
    return (
        f"threshold {f'{rule} = ' if rule else ''}{threshold['value']:.4f}{span}{where}: "
        f"{portion(threshold['called'], n, 'image', 'is')} called {' or '.join(threshold['positive'])}"
    )


def find_decision(bundle: Bundle, settings: PredictSettings) -> Decision | None:
    """Return the rule for the called class of ``decide=``; None where there is none, or ``threshold=`` calls instead.

    A line of the log says what it does to a format without called classes.

    Raises:
        UserError: the file can't be read, or its rule is for other classes than the model's.
    """
    if settings.threshold is not None:
        return None
    decision = _chosen_decision(bundle, settings)
    if decision is not None and decision.rule != "argmax" and settings.format != "table":
        log.info(
            "format=%s: %s by the rule %s; decide=argmax leaves it out",
            settings.format,
            *(IN_FORMAT[settings.format], decision.rule),
        )
    return decision


def _chosen_decision(bundle: Bundle, settings: PredictSettings) -> Decision | None:
    chosen, own = settings.decide, Path(settings.ckpt[0]).expanduser() / "decision.json"
    if chosen == "argmax":
        return Decision("argmax", "", bundle.outputs, [1.0] * len(bundle.outputs))
    if chosen == "auto" and (len(settings.ckpt) > 1 or not own.is_file()):
        return bundle.decision
    decision = read_decision(own if chosen == "auto" else chosen, "decide")
    with user_errors(f"decide={chosen}: "):
        decision(np.full((1, len(bundle.outputs)), 0.5), bundle.outputs)
    return decision


def applied_fits(bundle: Bundle, settings: PredictSettings) -> list[FittedOn]:
    """Return what the predictions depend on and is fitted on known rows; of the thresholds, the one that is applied."""
    unused = {f"the threshold for {each.rule}" for each in bundle.thresholds if each.rule != settings.threshold}
    return [fit for fit in bundle.fits if fit.what not in unused]


def tabulate(
    rows: pd.DataFrame,
    found: ImagePredictions,
    bundle: Bundle,
    threshold: Mapping[str, Any] | None,
    seen: np.ndarray,
) -> pd.DataFrame:
    """Return the table of ``format=table``: probabilities and, where there are any, gate, called, set, seen."""
    outputs = bundle.outputs
    columns = [name for name in COLUMNS if name in rows]
    probabilities = as_written(found.probabilities)
    table = rows[columns].join(pd.DataFrame(probabilities, columns=[PREFIX + name for name in outputs]))
    if found.distance_ratio is not None:
        table["gate"] = np.round(found.distance_ratio, 6)
    if threshold is not None:
        score = positive_score(probabilities, outputs, threshold["positive"])
        table["called"] = (score >= threshold["value"]).astype(np.int64)
        table["called_class"] = np.asarray(outputs, object)[
            likeliest(probabilities, outputs, threshold["positive"], table["called"].to_numpy() == 1)
        ]
    elif bundle.decision is not None:
        called = bundle.decision(probabilities, outputs)
        table["called"] = np.asarray(outputs, object)[called]
    if bundle.conformal is not None:
        table["set"] = bundle.conformal.names(probabilities, outputs)
    if seen.any():
        table["seen"] = seen
    return table.assign(path=rows["path"])


def gate_facts(bundle: Bundle, found: ImagePredictions) -> dict[str, Any]:
    """Return what is recorded of the input gate, where one has looked at the images."""
    if found.distance_ratio is None or bundle.gate is None:
        return {}
    return {"gate": bundle.gate.facts() | {"warned": int((found.distance_ratio > 1).sum())}}


def label_pool(
    table: pd.DataFrame, bundle: Bundle, known: TrainingImages, confidence: Confidence, run: Path | None
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return the pseudo-labels of the images that the model does not know, and what is recorded of them.

    Args:
        table: predictions.
        bundle: that made them.
        known: images that it was trained on or chosen by.
        confidence: from which an image is labelled.
        run: the first one behind the model, by whose labelled images the labels are judged; None for a bundle.

    Raises:
        UserError: no image is predicted with that confidence.
    """
    new = table if "seen" not in table else table[table["seen"] == ""]
    with user_errors():
        labels = pseudo_labels(new, confidence)
    remedy = labelling_confidence(new, confidence, set(bundle.outputs) - set(labels["label"]))
    log_pseudo_labels(labels["label"], bundle.outputs, len(table) - len(new), remedy)
    if run is not None and (run / "split.csv").is_file():
        shares = labelled_shares(run, bundle.classes)
        if caution := balance_caution(labels["label"], bundle.classes, bundle.training_prior, shares):
            log.warning("%s", caution)
    facts = pseudo_label_facts(known, confidence, len(labels))
    return labels.assign(**{COLUMN: str(bundle.meta()["checkpoint_sha256"])[:16]}), facts


def write_predictions(table: pd.DataFrame, facts: Mapping[str, Any], output: Path) -> None:
    """Write predictions and their ``.meta.json``, both or none."""
    with replacing(output) as temporary:
        table.to_csv(temporary, index=False, float_format=FLOAT_FORMAT)
        with replacing(meta_path(output)) as beside:
            beside.write_text(json_text(facts), encoding="utf-8")
            output.unlink(missing_ok=True)  # an earlier table must never lie beside these facts
