"""A bundle from runs: members, calibrator, thresholds and input gate put together, written, or exported."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from skinlab.assessment.sweeps import over_folds, validation_of_members
from skinlab.data.datamodule import loading_processes
from skinlab.errors import UserError, user_errors
from skinlab.evaluation.calibration.calibrators import CALIBRATORS
from skinlab.evaluation.calibration.stated_prevalence import StatedPrevalence
from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.thresholds.choice import is_fixed
from skinlab.evaluation.thresholds.decision import DecisionSettings
from skinlab.evaluation.thresholds.operating import ThresholdSettings
from skinlab.files import claim_file, replacing
from skinlab.inference.bundle import Bundle, load_bundle, save_bundle
from skinlab.inference.bundle_parts import (
    Selection,
    choose_thresholds,
    conformal_of,
    decision_of,
    fit_scale_cautions,
    read_bundle_thresholds,
    read_calibrator_file,
    with_calibrator,
)
from skinlab.inference.ensembling import ensemble
from skinlab.inference.export import write_onnx, write_timm
from skinlab.inference.gate_fitting import GateSplit, fit_run_gate, read_gate_split
from skinlab.inference.member import log_licences
from skinlab.inference.models import model_places, run_of
from skinlab.inference.run_tables import read_validation, validation_paths
from skinlab.report.terminal import predict_by, print_places
from skinlab.runs.provenance import all_training_images
from skinlab.settings.commands.bundle import BundleSettings
from skinlab.settings.outputs import bundle_file
from skinlab.tables.decision import read_decision

log = logging.getLogger(__name__)


def bundle(settings: BundleSettings) -> None:
    """Put the models of ``ckpt`` into the one file ``output``.

    Args:
        settings: of the command.

    Raises:
        UserError: whatever the user has to correct; nothing has been written then.
    """
    output = bundle_file(settings.output, settings.format, overwrite=settings.overwrite)
    places = model_places(settings.ckpt)
    settings = settings.updated({"ckpt": places})  # a sweep is its runs
    with claim_file(output):
        split = check_files(settings)
        models = [load_bundle(place) for place in places]
        bundle = ensemble(models, places, method=settings.combine, weights=settings.weights)
        check_method(bundle, settings, places)
        validation = validation_predictions(bundle, settings)
        bundle = add_calibrator(bundle, settings, validation)
        selection = Selection(bundle, validation, settings.seed, stated_prevalence(bundle, settings, validation))
        bundle = add_thresholds(bundle, settings, selection)
        bundle = add_decision(bundle, settings, selection)
        bundle = add_conformal(bundle, settings, selection)
        if settings.format == "bundle":
            known = all_training_images(places, (model.training_images for model in models)).to_dict()
            bundle = add_gate(replace(bundle, training_images=known), settings, split)
        for sentence in fit_scale_cautions(bundle, bundle.fits):
            log.warning("%s", sentence)
        log_licences(bundle.members)
        write(bundle, settings.format, output)
    log.info("%s of %s", settings.format, " + ".join(member.name for member in bundle.members))
    command = predict_by(output) if settings.format == "bundle" else None
    print_places({settings.format: output, "to predict by it": command})


def check_files(settings: BundleSettings) -> GateSplit | None:
    """Return the split that an input gate is to be fitted on, before any model is loaded.

    Raises:
        UserError: it is missing.
    """
    fits_gate = settings.gate == "fit" or (settings.gate == "auto" and settings.gate_split is not None)
    return read_gate_split(settings.gate_split, settings.ckpt) if settings.format == "bundle" and fits_gate else None


def check_method(bundle: Bundle, settings: BundleSettings, places: list[str]) -> None:
    """Refuse what can't be done with a bundle whose members are combined by its method.

    Raises:
        UserError: a graph of ranks or an overlap, or a calibrator or thresholds beside an overlap.
    """
    if settings.format == "onnx" and bundle.method in ("rank", "overlap"):
        raise UserError(
            f"format=onnx: a graph can't compute the method {bundle.method} of this ensemble; use format=bundle"
        )
    added = (settings.thresholds, settings.conformal, settings.decide)
    if bundle.method == "overlap" and (settings.calibrator != "none" or any(each is not None for each in added)):
        raise UserError(
            f"{places[0]} is an overlap with thresholds of its own; leave out calibrator=, thresholds=, conformal= and "
            "decide="
        )
    if settings.calibrator in CALIBRATORS and settings.calibrator != "none" and bundle.calibrator is not None:
        raise UserError(
            f"calibrator={settings.calibrator}: {places[0]} has a calibrator already; give the runs it was made of"
        )


def validation_predictions(bundle: Bundle, settings: BundleSettings) -> list[Predictions]:
    """Read the members' validation predictions where a calibrator or thresholds are fitted on them; else none.

    Members of several folds have no validation images in common; each gets those out of fold of its seed.
    """
    if settings.calibrator in CALIBRATORS and settings.calibrator != "none":
        setting = f"calibrator={settings.calibrator}"
    elif isinstance(settings.thresholds, list) and not all(map(is_fixed, settings.thresholds)):
        setting = f"thresholds=[{','.join(settings.thresholds)}]"
    elif settings.conformal is not None:
        setting = f"conformal={settings.conformal:g}"
    elif settings.decide is not None and not settings.decide.endswith(".json"):
        setting = f"decide={settings.decide}"
    else:
        return []
    runs = [run_of(place) for place in settings.ckpt]
    known = [run for run in runs if run is not None]
    if len(known) == len(runs) > 1 and over_folds(known):
        log.info("%s: on the images out of fold, each predicted by the network that was not trained on it", setting)
        return validation_of_members(known)
    return read_validation(settings.ckpt, len(bundle.members), bundle.classes, setting)


def listed_validation(settings: BundleSettings) -> str:
    """Return the names of the validation predictions for a message."""
    return ", ".join(map(str, validation_paths(settings.ckpt)))


def add_calibrator(bundle: Bundle, settings: BundleSettings, validation: list[Predictions]) -> Bundle:
    """Return the bundle with the calibrator of ``calibrator=``: fitted, or from a JSON file.

    Raises:
        UserError: it can't be fitted or read.
    """
    chosen = settings.calibrator
    if chosen == "none":
        return bundle
    if chosen not in CALIBRATORS:
        content, gone = read_calibrator_file(chosen, bundle), ("thresholds", "decision", "conformal")
        if "prevalence" in content and validation:
            raise UserError(
                f"calibrator={chosen} is corrected to prevalence={content['prevalence']:g}, which what is chosen on it "
                f"would count again: fit it here, as in calibrator={content['method']}"
            )
        if dropped := [name for name in gone if getattr(bundle, name)]:
            log.warning(
                "calibrator=%s: the model's %s are of other probabilities, and left out", chosen, ", ".join(dropped)
            )
        if validation:
            log.warning(
                "calibrator=%s: the images that it was fitted on are not known; if some are of %s, what is chosen on "
                "these is optimistic: fit it here, as in calibrator=temperature",
                chosen,
                listed_validation(settings),
            )
        new = replace(bundle, calibrator=content, thresholds=[], decision=None, conformal=None)
        return new.with_fit("calibrator", None)
    with user_errors(f"calibrator={chosen} on {listed_validation(settings)}: "):
        return with_calibrator(chosen, bundle, validation, stated_prevalence(bundle, settings, validation))


def positive_classes(bundle: Bundle, settings: BundleSettings) -> list[str]:
    """Return the positive classes of ``positive=``, or the bundle's own."""
    return settings.positive or ([bundle.positive_output] if bundle.positive_output else [])


def stated_prevalence(
    bundle: Bundle, settings: BundleSettings, validation: list[Predictions]
) -> StatedPrevalence | None:
    """Return the prevalence that a calibrator which is fitted here is corrected to; None without one.

    Raises:
        UserError: the positive classes are not known, or the validation images are all positive, or none is.
    """
    if settings.prevalence is None or settings.calibrator == "none" or settings.calibrator not in CALIBRATORS:
        return None
    stated = StatedPrevalence.of(settings.prevalence, validation[0], positive_classes(bundle, settings))
    if stated is None:
        raise UserError(
            f"prevalence={settings.prevalence:g} needs positive classes with validation images, and others: name them, "
            f"as in positive=[{bundle.classes[0]}]"
        )
    return stated


def add_thresholds(bundle: Bundle, settings: BundleSettings, selection: Selection) -> Bundle:
    """Return the bundle with the thresholds of ``thresholds=``: chosen by rules, or from an evaluation's file.

    Raises:
        UserError: they can't be chosen or read.
    """
    chosen = settings.thresholds
    if chosen is None:
        return bundle
    if isinstance(chosen, str):
        thresholds = read_bundle_thresholds(chosen, bundle)
    else:
        with user_errors(f"thresholds=[{','.join(chosen)}] on {listed_validation(settings)}: "):
            choice = ThresholdSettings(
                chosen,
                settings.cost_ratio,
                prevalence=settings.prevalence,
                seed=settings.seed,
                positive=positive_classes(bundle, settings),
            )
            thresholds = choose_thresholds(selection, choice)
    return replace(bundle, thresholds=thresholds)


def add_decision(bundle: Bundle, settings: BundleSettings, selection: Selection) -> Bundle:
    """Return the bundle with the rule for the called class of ``decide=``: chosen, or from an evaluation's file.

    Raises:
        UserError: it can't be chosen or read, or is for other classes.
    """
    chosen = settings.decide
    if chosen is None:
        return bundle
    if chosen.endswith(".json"):
        decision = read_decision(chosen, "decide")
        if set(decision.classes) != set(bundle.classes):
            raise UserError(
                f"decide={chosen} is for the classes {', '.join(decision.classes)}, not the model's "
                f"{', '.join(bundle.classes)}; give the file of an evaluation of this model"
            )
        return replace(bundle, decision=decision)
    how = DecisionSettings(
        chosen,
        settings.decide_by,
        settings.cost_ratio,
        positive_classes(bundle, settings),
        seed=settings.seed,
        prevalence=settings.prevalence,
    )
    with user_errors(f"decide={chosen} on {listed_validation(settings)}: "):
        return replace(bundle, decision=decision_of(selection, how))


def add_conformal(bundle: Bundle, settings: BundleSettings, selection: Selection) -> Bundle:
    """Return the bundle with conformal sets of the coverage ``conformal=``, chosen on the validation predictions.

    Raises:
        UserError: they can't be chosen.
    """
    if settings.conformal is None:
        return bundle
    with user_errors(f"conformal={settings.conformal:g} on {listed_validation(settings)}: "):
        return replace(bundle, conformal=conformal_of(settings.conformal, selection))


def add_gate(bundle: Bundle, settings: BundleSettings, split: GateSplit | None) -> Bundle:
    """Return the bundle with the input gate of ``gate=``, fitted on ``split`` or the training images of the first run.

    Raises:
        UserError: ``gate=fit``, and there is no split or its images are not there.
    """
    if settings.gate == "none":
        return replace(bundle, gate=None).with_fit("gate", None)
    if split is None and bundle.gate is not None:
        return bundle
    try:
        gate, fit = fit_run_gate(
            split or read_gate_split(None, settings.ckpt),
            alarms=settings.gate_alarms,
            limit=settings.gate_images,
            num_workers=loading_processes(settings.num_workers),
            seed=settings.seed,
        )
    except UserError as error:
        if split is not None:
            raise
        log.warning("no input gate, so predict will not warn of images unlike the training images: %s", error)
        return bundle
    return replace(bundle, gate=gate).with_fit("gate", fit)


def write(bundle: Bundle, format_: str, output: Path) -> None:
    """Write the bundle in its format, and warn of what the format leaves out."""
    with replacing(output) as temporary:
        if format_ == "bundle":
            save_bundle(bundle, temporary)
        elif format_ == "safetensors":
            write_timm(bundle, temporary)
        else:
            log.info("onnx: largest difference from torch %.1e", write_onnx(bundle, temporary))
    left_out = [name for name in ("calibrator", "thresholds", "decision", "conformal", "gate") if getattr(bundle, name)]
    if format_ != "bundle" and left_out:
        log.warning("%s does not apply the model's %s; format=bundle does", output, ", ".join(left_out))
