"""A whole training by its command, its run directory, and what a resumed or repeated one gives."""

import os
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from skinlab.cli.config import compose_settings
from skinlab.commands import train as training
from skinlab.commands.train import name_absent_classes, train
from skinlab.data import preparation
from skinlab.errors import UserError
from skinlab.evaluation.metrics.scorer import classification_metrics
from skinlab.evaluation.predictions import table_arrays
from skinlab.files import claim
from skinlab.processes.later import leaves_pages
from skinlab.settings.command import Invocation
from tests.run_directory import assert_same_weights, kill_after, metrics_of, refused

RANDOM = ["model.dropout=0.3", "augment.mixup=0.2", "sampler=weighted"]


@pytest.fixture(scope="module")
def finished(compose_train, tiny, tmp_path_factory) -> Path:
    """A run of two epochs with everything random switched on."""
    run_dir = tmp_path_factory.mktemp("finished") / "run"
    train(compose_train(*tiny, *RANDOM, run_dir=run_dir))
    return run_dir


def test_classes_without_images_in_a_part_are_named_before_the_first_epoch(caplog):
    counts = {"train": [9, 0, 3], "val": [2, 0, 0], "test": [1, 1, 1], "pool": [0, 0, 0]}
    prepared = SimpleNamespace(classes=["bkl", "df", "mel"])
    name_absent_classes(SimpleNamespace(prepared=prepared, class_counts=counts.get, rows=lambda split: counts[split]))
    train_part, val_part = caplog.messages
    assert re.match(r"the train part has no images of df: .*data\.label_map", train_part)
    assert val_part.startswith("the val part has no images of df, mel: ")


def test_run_directory(finished):
    names = {str(path.relative_to(finished)) for path in finished.rglob("*") if path.is_file()}
    wanted = {"config.yaml", "metrics.json", "audit.json", "split.csv", "csv/metrics.csv"}
    wanted |= {"checkpoints/best.ckpt", "checkpoints/last.ckpt"}
    wanted |= {"predictions/val.csv", "predictions/test.csv", "predictions/meta.json"}
    assert wanted <= names
    assert not [name for name in names if name.endswith(".tmp")]


def test_a_job_leaves_its_pages_and_its_command_makes_them_later(compose_train, tiny, tmp_path):
    settings = compose_train(*tiny[:-1], "trainer.max_epochs=1", "evidence.saliency=false", run_dir=tmp_path)
    pages = ("evidence.json", "report.html", "model_card.md", "figures.png")
    train(settings, job := Invocation([], {}, compose_settings, "THIS", pages_later=True))
    assert leaves_pages(tmp_path)
    assert not [name for name in pages if (tmp_path / name).exists()]
    before = {path: path.read_bytes() for path in (tmp_path / "predictions").iterdir()}
    train(settings, replace(job, pages_later=False))
    assert not leaves_pages(tmp_path)
    assert all((tmp_path / name).stat().st_size for name in pages)
    assert before == {path: path.read_bytes() for path in (tmp_path / "predictions").iterdir()}


def test_metrics_are_those_of_the_tables(finished):
    metrics = metrics_of(finished)
    tables = {split: pd.read_csv(finished / "predictions" / f"{split}.csv") for split in ("val", "test")}
    assert all(np.allclose(table.filter(like="prob_").sum(axis=1), 1, atol=1e-5) for table in tables.values())
    for name, value in classification_metrics(*table_arrays(tables["val"])).items():
        written = metrics[f"val/{name}"]
        assert (np.nan if written is None else written) == pytest.approx(value, nan_ok=True), name
    assert not [name for name in metrics if name.startswith("test/")]
    assert metrics["init_used"] == "random"
    assert 0 <= metrics["best/epoch"] < 2


def test_split_has_no_group_on_two_sides(finished):
    split = pd.read_csv(finished / "split.csv", keep_default_na=False)
    assert (split.groupby("group")["split"].nunique() == 1).all()
    assert set(split["split"]) == {"train", "val", "test"}


def test_checkpoint_holds_plain_things_and_loads_by_default(finished):
    from skinlab.models.classifier import Classifier

    module = Classifier.load_from_checkpoint(finished / "checkpoints" / "best.ckpt")
    assert module.hparams["classes"] == ["benign", "malignant"]


def test_two_workers_give_the_weights_of_none(finished, compose_train, tiny, tmp_path):
    train(compose_train(*tiny, *RANDOM, "data.num_workers=2", run_dir=tmp_path / "two"))
    assert_same_weights(finished, tmp_path / "two")


def test_a_finished_run_is_not_repeated_and_refuses_other_settings(finished, compose_train, tiny, caplog):
    before = (finished / "checkpoints" / "last.ckpt").stat().st_mtime_ns
    with caplog.at_level("INFO"):
        train(compose_train(*tiny, *RANDOM, run_dir=finished))
    assert "is finished" in caplog.text
    assert (finished / "checkpoints" / "last.ckpt").stat().st_mtime_ns == before
    with pytest.raises(UserError, match=r"holds a run with loss\."):
        train(compose_train(*tiny, *RANDOM, "loss=focal", run_dir=finished))
    with pytest.raises(UserError, match="already holds a run"):
        train(compose_train(*tiny, *RANDOM, "resume=never", run_dir=finished))


def test_other_classes_are_not_resumed(finished, compose_train, tiny, tmp_path):
    overrides = [word.replace("benign", "mild") for word in tiny]
    overrides.append(f"resume={finished / 'checkpoints' / 'last.ckpt'}")
    with pytest.raises(UserError, match="was trained on the classes"):
        train(compose_train(*overrides, run_dir=tmp_path / "run"))


@pytest.mark.slow
def test_killed_twice_and_resumed_equals_uninterrupted(run, tiny, tmp_path):
    overrides = [*tiny, "trainer.max_epochs=4", "model.dropout=0.3", "augment.cutmix=1.0", "model.ema_decay=0.9"]
    assert run("train", *overrides, f"hydra.run.dir={tmp_path / 'whole'}").returncode == 0
    killed = tmp_path / "killed"
    for epochs in (1, 2):
        kill_after(epochs, "train", overrides, killed, delay=0.3)  # the next epoch is under way
    assert run("train", *overrides, f"hydra.run.dir={killed}").returncode == 0
    assert_same_weights(tmp_path / "whole", killed)


def test_a_run_directory_in_use_is_refused(run, tiny, tmp_path):
    with claim(tmp_path / "busy"):
        done = run("train", *tiny, f"hydra.run.dir={tmp_path / 'busy'}")
        assert (tmp_path / "busy" / ".lock").is_file()
    assert done.returncode == 2
    assert f"in use by process {os.getpid()}" in done.stderr


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.fold=2"], "data.fold=2"),
        (["data.n_folds=50"], "too few groups"),
        (["callbacks.monitor=val/f1"], "callbacks.monitor=val/f1"),
        (["callbacks.monitor=test/f1_macro"], "the test chooses nothing"),
        (["data.test_fraction=0", "test=true"], "test=true: the data has no test part"),
        (["model.init=imagenet"], "model.init=imagenet"),
        (["data.classes=[benign, malign]"], "malign"),
        (["resume=/nowhere.ckpt"], "/nowhere.ckpt"),
        (["trainer=gpu"], "no CUDA device"),
        (["data.cache=rma"], "data.cache=rma"),
        (["optimizer.lr=0.0"], "optimizer.lr"),
        (["optimizer.name=adamv"], "optimizer.name=adamv"),
        (["model=timm", "model.name=resnet181"], "(did you mean"),
    ],
)
def test_mistakes_end_before_an_epoch(compose_train, tiny, tmp_path, overrides, message):
    if overrides == ["trainer=gpu"] and torch.cuda.is_available():
        pytest.skip("this machine has one")
    common = [word for word in tiny if not (overrides == ["trainer=gpu"] and word == "trainer=cpu")]
    with refused(re.escape(message), tmp_path / "run"):
        train(compose_train(*common, *overrides, run_dir=tmp_path / "run"))


def test_a_monitor_of_an_unknown_class_is_refused_before_the_images_are_read(
    compose_train, tiny, tmp_path, monkeypatch
):
    monkeypatch.setattr(preparation, "audit", lambda *_, **__: pytest.fail("images read"))
    message = "val/pr_auc/benig: no such metric (did you mean val/pr_auc/benign?); the classes are benign, malignant"
    with pytest.raises(UserError, match=re.escape(message)):
        train(compose_train(*tiny, "callbacks.monitor=val/pr_auc/benig", run_dir=tmp_path / "run"))


def test_missing_weights_and_folds_are_refused_before_the_data_is_read(compose_train, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "build_datamodule", lambda *_: pytest.fail("data read"))
    for override, message in (
        ("model.init=/nowhere.ckpt", "model.init=/nowhere.ckpt: no such file"),
        ("data.fold=2", "data.fold=2 is out of range: with data.n_folds=2 use 0 to 1"),
    ):
        with pytest.raises(UserError, match=message):
            train(compose_train(*tiny, override, run_dir=tmp_path / "run"))


def test_a_loss_that_is_no_number_stops_with_a_diagnosis(compose_train, tiny, tmp_path):
    overrides = [*tiny, "optimizer.lr=1e30", "trainer.gradient_clip_val=0.0"]
    with pytest.raises(UserError, match=r"the loss became nan .*learning rate"):
        train(compose_train(*overrides, run_dir=tmp_path / "run"))


@pytest.mark.ddp
def test_two_processes_train_and_write_one_run(run, tiny, tmp_path):
    overrides = [w for w in tiny if w != "trainer=cpu"]
    overrides += ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", f"hydra.run.dir={tmp_path / 'ddp'}"]
    done = run("train", *overrides)
    assert done.returncode == 0, done.stderr
    metrics = metrics_of(tmp_path / "ddp")
    table = pd.read_csv(tmp_path / "ddp" / "predictions" / "val.csv")
    assert metrics["val/support/benign"] + metrics["val/support/malignant"] == len(table) == table["image_id"].nunique()


def test_a_sweep_runs_each_job_in_its_own_directory_and_outlives_a_bad_one(run, tiny, tmp_path):
    overrides = [*tiny, "trainer.max_epochs=1", "data.fold=0,7", f"hydra.sweep.dir={tmp_path / 'sweep'}"]
    done = run("train", "-m", *overrides)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: 1 of 2 jobs failed: job 2 (data.fold=7): data.fold=7 is out of range")
    log = tmp_path / "sweep" / "1" / "log.txt"
    assert f"(log: {log})" in last
    assert "data.fold=7 is out of range" in log.read_text()
    assert last.endswith(f"hydra.sweep.dir={tmp_path / 'sweep'}")
    assert (tmp_path / "sweep" / "0" / "metrics.json").is_file()
    assert not (tmp_path / "sweep" / "1" / "metrics.json").exists()
