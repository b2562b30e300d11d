"""One training run, from its settings to predictions, metrics and pictures in the run directory."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from skinlab.assessment.evidence_files import PAGES, complete_evidence, describe_provenance, write_pages
from skinlab.assessment.openings import log_openings
from skinlab.assessment.run_evidence import check_wanted, evaluate_run, evidence_messages, read_evidence
from skinlab.callbacks.assembly import build_callbacks, check_monitor, monitor_mode
from skinlab.data.datamodule import SkinDataModule
from skinlab.errors import UserError
from skinlab.evaluation.evidence.form import Evidence
from skinlab.files import is_main_process, write_json
from skinlab.inference.bundle import read_bundle
from skinlab.inference.predict_images import predict_splits
from skinlab.models.classifier import Classifier
from skinlab.models.weights import find_checkpoint, read_checkpoint
from skinlab.processes.later import PAGES_MISSING
from skinlab.report.run_files import read_metrics
from skinlab.report.terminal import KAGGLE, predict_by, print_places, print_results
from skinlab.runs.compilation import check_compiler, compile_network
from skinlab.runs.consistency import cautions
from skinlab.runs.fitting import OTHER_RANKS, claimed, fit, write_config, write_setup
from skinlab.runs.initial_weights import check_init, log_licence
from skinlab.runs.outcome import run_facts, run_metrics, write_predictions
from skinlab.runs.parts import build_classifier, build_datamodule, trainer_arguments
from skinlab.runs.resuming import find_resume, finished_metrics, with_run_id
from skinlab.runs.run_directory import writing_results
from skinlab.settings.command import Invocation
from skinlab.settings.commands.train import TrainSettings
from skinlab.settings.recorded import read_recorded
from skinlab.tracking.loggers import check_loggers, log_outcome, log_run_evidence, run_loggers

log = logging.getLogger(__name__)


def train(settings: TrainSettings, invocation: Invocation | None = None) -> float:
    """Train, then score the best checkpoint on val, and on the test if ``test=true``.

    Args:
        settings: of the command.
        invocation: its command line is recorded; None where there is none.

    Returns:
        The best value of the monitored metric, whose direction is ``best/mode`` of ``metrics.json``.

    Raises:
        UserError: whatever has to be corrected; all that can be known is known before anything is written.
    """
    run_dir, command = Path(settings.run_dir), invocation.command if invocation else "python -m skinlab.train"
    later = invocation is not None and invocation.pages_later and not settings.logger.wandb  # which gets the report
    with claimed(run_dir, settings.trainer):
        check_loggers(settings.logger)
        check_wanted(settings)
        settings = with_run_id(_with_mode(settings), run_dir)
        metrics = finished_metrics(settings, run_dir)
        if metrics is None:
            metrics = _train(settings, run_dir, command, later=later)
        elif is_main_process():
            metrics = _complete(settings, run_dir, command, metrics)
        if is_main_process():
            earlier = invocation.printed if invocation else ""
            printed = read_evidence(Path(earlier)) if earlier else None
            print_results(metrics, run_dir, read_evidence(run_dir), printed, is_later=bool(earlier))
            if settings.data.name == KAGGLE and not (run_dir.parent / "multirun.yaml").is_file():
                print_places({"to predict the challenge's test": predict_by(run_dir, settings.data.model_dump())})
        return float(metrics["best/monitor"])


def _with_mode(settings: TrainSettings) -> TrainSettings:
    """Return the settings with the direction of the monitor instead of ``auto``, as it is recorded."""
    callbacks = settings.callbacks
    return settings.updated({"callbacks.mode": monitor_mode(callbacks.monitor, callbacks.mode)})


def _train(settings: TrainSettings, run_dir: Path, command: str, *, later: bool) -> dict[str, Any]:
    """Prepare the data, build all parts, fit, predict, log, and assess unless that is left; return the metrics."""
    pl.seed_everything(settings.seed, workers=True, verbose=False)
    check_init(settings.model, settings.data.fold)  # before all images are read
    check_compiler(settings)
    datamodule = build_datamodule(settings)
    if "/" in settings.callbacks.monitor.removeprefix("val/"):  # of a class; refused before all images are read
        by_domain = bool(settings.find("loss.domain"))
        check_monitor(settings.callbacks.monitor, datamodule.class_names(), by_domain=by_domain)
    prepared = datamodule.prepared
    check_wanted(settings, prepared.classes, datamodule.rows("val"))
    name_absent_classes(datamodule)
    if settings.test and not len(datamodule.rows("test")):
        raise UserError("test=true: the data has no test part; set data.test_fraction above 0, or leave it out")

    classifier, start = build_classifier(settings, datamodule)
    checkpoint = find_resume(settings.resume, run_dir, prepared.classes)
    frozen = settings.model.freeze_epochs > 0
    arguments = trainer_arguments(settings.trainer, classifier.network, leaves_unused=frozen)
    n_batches = len(datamodule.rows("train")) // datamodule.batch_size or 1
    precision = arguments["precision"]
    settings = compile_network(settings, classifier.network, precision=precision, n_batches=n_batches)
    callbacks = build_callbacks(settings, run_dir, prepared.classes, datamodule.class_counts("val"))
    log_licence(start)
    _announce(settings, datamodule, classifier, start["init_used"])
    write_setup(run_dir, settings, prepared)

    with run_loggers(settings, run_dir, resumed=checkpoint) as loggers:
        trainer = fit(settings, classifier, datamodule, callbacks, loggers, arguments, checkpoint)
        if not trainer.is_global_zero:
            return dict(OTHER_RANKS)
        _check_validated(trainer, run_dir)
        facts = run_facts(settings, trainer, start, prepared.split_hash)
        facts["loss"] = type(classifier.loss).__name__

        with writing_results(run_dir):
            best = read_checkpoint(path := find_checkpoint(run_dir))
            bundle = read_bundle(best, path)
            tables = predict_splits(bundle, datamodule)
            meta = bundle.meta(run_id=settings.run_id, tta="none", loss=facts["loss"])
            write_predictions(run_dir, tables, meta)
            metrics = run_metrics(best, settings, tables["val"], bundle.positive_output) | facts
            write_json(run_dir / "metrics.json", metrics)
            if settings.test:
                metrics = _open_test(run_dir, command)
            log_outcome(loggers, run_dir, metrics, step=trainer.global_step, fit=datamodule.fit)
            mark = run_dir / PAGES_MISSING
            if later:
                mark.touch()
                return metrics
            _draw(run_dir)
            evidence = _write_evidence(run_dir, settings, command)
            log_run_evidence(loggers, run_dir, evidence, step=trainer.global_step)
            mark.unlink(missing_ok=True)
        return metrics


def _check_validated(trainer: pl.Trainer, run_dir: Path) -> None:
    if not (run_dir / "checkpoints" / "best.ckpt").is_file():
        raise UserError(
            f"training ended after {trainer.global_step} steps, before its first validation, so that {run_dir} has "
            "no best epoch; raise trainer.max_steps or trainer.max_time, or set debug=fast for a trial"
        )


def _open_test(run_dir: Path, command: str) -> dict[str, Any]:
    """Score the test of a run, which is recorded there, and return all metrics."""
    log_openings([run_dir], "train", command, run_dir, once=True)
    return read_metrics(run_dir)


def _complete(settings: TrainSettings, run_dir: Path, command: str, metrics: dict[str, Any]) -> dict[str, Any]:
    """Make the pictures and the evidence that a finished run lacks, open its test if wanted, and return the metrics."""
    opens = settings.test and not any(name.startswith("test/") for name in metrics)
    if opens and (run_dir / "predictions" / "test.csv").is_file():
        metrics = _open_test(run_dir, command)
    if opens or not (run_dir / "figures.png").is_file():
        _draw(run_dir)
    if opens or not all((run_dir / name).is_file() for name in ("evidence.json", *PAGES)):
        write_config(run_dir, settings)
        _write_evidence(run_dir, settings, command)
    elif settings.evidence and settings.dump()["evidence"] != read_recorded(run_dir, {"evidence": dict})["evidence"]:
        log.warning(
            "evidence.json was made with other settings and is kept; for the present ones: python -m skinlab.evaluate "
            "predictions=%s output=DIR",
            run_dir,
        )
    (run_dir / PAGES_MISSING).unlink(missing_ok=True)
    return metrics


def _write_evidence(run_dir: Path, settings: TrainSettings, command: str) -> Evidence | None:
    """Write the evidence of a finished run into its directory and return it; None where there is none."""
    if settings.evidence is None:
        return None
    provenance = describe_provenance(command, settings.dump())
    found = evaluate_run(run_dir, settings.evidence, provenance, test=settings.test)
    if found is None:
        return None
    with evidence_messages():
        write_pages(*found, run_dir, settings.evidence.saliency)
    complete_evidence(found[0], run_dir)
    return found[0]


def _draw(run_dir: Path) -> None:
    from skinlab.report.figures import run_figure  # importing matplotlib takes a second

    run_figure(run_dir)


def name_absent_classes(datamodule: SkinDataModule) -> None:
    """Warn of classes without images in a part of the split, before the first epoch."""
    remedies = {
        "train": "the model can't learn them; leave them out of data.classes and the table, merge them by "
        "data.label_map, or move images of them there",
        "val": "the best epoch and the thresholds are chosen without them; another data.fold or data.split_seed may "
        "have some",
        "test": "the test does not measure them; another data.split_seed may have some",
    }
    for split, remedy in remedies.items():
        counts = dict(zip(datamodule.prepared.classes, datamodule.class_counts(split), strict=True))
        if len(datamodule.rows(split)) and (absent := [name for name, n in counts.items() if n == 0]):
            log.warning("the %s part has no images of %s: %s", split, ", ".join(absent), remedy)


def _announce(settings: TrainSettings, datamodule: SkinDataModule, classifier: Classifier, init_used: str) -> None:
    """Log what the user should know before the first epoch."""
    frozen, power = settings.model.freeze_epochs, settings.sampler.power
    if init_used == "random" and frozen > 0:
        log.warning("model.freeze_epochs=%d keeps random weights frozen; set model.init", frozen)
    if power > 0 and getattr(classifier.loss, "corrects_imbalance", False):
        log.warning(
            "%s on top of sampler.power=%g corrects the class skew twice and spoils calibration; choose one",
            type(classifier.loss).__name__,
            power,
        )
    for line in cautions(settings, len(datamodule.rows("train")) // datamodule.batch_size or 1):
        log.warning(line)
    if settings.data.name == "phantom":
        log.info(
            "data=phantom: procedural images, for trying things out. For real ones: "
            "skinlab fetch data=ham10000, then data=ham10000"
        )
    if datamodule.prepared.positive:
        log.info("positive class: %s, of %s", datamodule.prepared.positive, " and ".join(datamodule.prepared.classes))
    rows = {split: len(datamodule.rows(split)) for split in ("train", "val", "test", "pool")}
    log.info(
        "%s: %s; %d classes, training counts %s; split %s",
        settings.data.name,
        ", ".join(f"{n} {split}" for split, n in rows.items() if n),
        len(datamodule.prepared.classes),
        dict(zip(datamodule.prepared.classes, datamodule.class_counts(), strict=True)),
        datamodule.prepared.split_hash[:12],
    )
