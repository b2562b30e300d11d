"""A run goes on with the images and labels that it began with, or not at all."""

import shutil
from pathlib import Path

import pytest
import torch

from skinlab.commands import train as training
from skinlab.commands.train import train
from skinlab.errors import UserError
from skinlab.processes.signals import Stopped
from skinlab.runs.parts import build_datamodule
from skinlab.runs.resuming import check_other_run, check_split
from skinlab.settings.base import create
from skinlab.settings.commands.train import TrainSettings
from skinlab.settings.recorded import read_recorded
from tests.run_directory import assert_same_weights, metrics_of

SMALL = ["model=timm", "model.name=test_resnet", "trainer.max_epochs=1", "data.label_budget=0.4"]


@pytest.fixture(scope="module")
def table(compose_train, tiny, tmp_path_factory) -> Path:
    """An expert's answers about nine images of the pool."""
    path = tmp_path_factory.mktemp("table") / "labels.csv"
    pool = build_datamodule(compose_train(*tiny, *SMALL)).rows("pool").head(9)
    pool.assign(label=pool["hidden_label"])[["image_id", "label"]].to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def overrides(tiny, table) -> list[str]:
    return [*tiny, *SMALL, f"data.labels={table}"]


@pytest.fixture(scope="module")
def finished(compose_train, overrides, tmp_path_factory) -> Path:
    run_dir = tmp_path_factory.mktemp("finished") / "run"
    train(compose_train(*overrides, run_dir=run_dir))
    return run_dir


@pytest.mark.parametrize("epochs", [1, 2], ids=["finished", "to be continued"])
def test_answers_that_have_changed_in_their_file_are_noticed(
    finished, compose_train, overrides, table, tmp_path, epochs
):
    run_dir, before = tmp_path / "run", table.read_text()
    shutil.copytree(finished, run_dir)
    then = metrics_of(run_dir)["split_sha256"]
    config = compose_train(*overrides, f"trainer.max_epochs={epochs}", run_dir=run_dir)
    table.write_text(before.rpartition("\n")[0].rpartition("\n")[0] + "\n")  # one answer less
    try:
        with pytest.raises(UserError, match=f"on the split {then[:12]}, the data now gives [0-9a-f]+: ") as message:
            train(config)
    finally:
        table.write_text(before)
    assert len(str(message.value).splitlines()) == 1
    assert "data.labels" in str(message.value)
    assert (run_dir / "split.csv").read_bytes() == (finished / "split.csv").read_bytes()
    train(config)
    assert metrics_of(run_dir)["max_epochs"] == epochs


def test_the_data_may_move(finished, compose_train, overrides, phantom, tmp_path, caplog):
    run_dir = tmp_path / "run"
    shutil.copytree(finished, run_dir)
    shutil.copytree(phantom, tmp_path / "moved")
    moved = [word for word in overrides if not word.startswith("data.root")] + [f"data.root={tmp_path / 'moved'}"]
    with caplog.at_level("INFO"):
        train(compose_train(*moved, run_dir=run_dir))
    assert "is finished" in caplog.text
    train(compose_train(*moved, "trainer.max_epochs=2", run_dir=run_dir))
    assert metrics_of(run_dir)["split_sha256"] == metrics_of(finished)["split_sha256"]


def test_a_finished_run_outlives_its_data(finished, compose_train, overrides, tmp_path, caplog):
    gone = [word for word in overrides if not word.startswith("data.root")] + [f"data.root={tmp_path / 'gone'}"]
    with caplog.at_level("INFO"):
        train(compose_train(*gone, run_dir=finished))
    assert "is not known" in caplog.text
    assert "is finished" in caplog.text


def test_a_checkpoint_of_another_run_is_held_to_its_split(finished, tmp_path):
    file, now = str(finished / "checkpoints" / "last.ckpt"), metrics_of(finished)["split_sha256"]
    check_split(file, tmp_path, now)
    with pytest.raises(UserError, match="the data now gives 00000000"):
        check_split(file, tmp_path, "0" * 64)
    check_split("auto", tmp_path, "0" * 64)  # nothing there to go on with
    check_split("never", finished, "0" * 64)
    shutil.copy(file, tmp_path / "last.ckpt")
    check_split(str(tmp_path / "last.ckpt"), tmp_path, "0" * 64)


def test_a_checkpoint_of_another_run_is_held_to_its_settings_and_leaves_epochs_to_train(finished, tmp_path):
    recorded = create(TrainSettings, read_recorded(finished) | {"resume": str(finished / "checkpoints" / "last.ckpt")})
    more = recorded.updated({"trainer.max_epochs": 2})
    check_other_run(more, tmp_path)
    check_other_run(recorded.updated({"resume": "auto"}), tmp_path)
    with pytest.raises(UserError, match=r"last\.ckpt has been trained for 1 epoch: raise trainer\.max_epochs"):
        check_other_run(recorded, tmp_path)
    clipped = more.updated({"trainer.gradient_clip_val": 0.1})
    with pytest.raises(UserError, match=r"holds a run with trainer\.gradient_clip_val=1\.0, now it is 0\.1"):
        check_other_run(clipped, tmp_path)


def test_a_run_whose_patience_has_run_out_trains_no_further_epoch(compose_train, tiny, tmp_path, monkeypatch, caplog):
    def killed(*_):
        raise Stopped(143)

    patient = ["callbacks.patience=1", "optimizer.lr=1e-12", "logger=[]", "trainer.max_epochs=5"]
    config = compose_train(*tiny, *SMALL[:2], *patient, run_dir=tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr(training, "run_metrics", killed)
        with pytest.raises(Stopped):
            train(config)
    shutil.copytree(tmp_path / "run", tmp_path / "before")
    with caplog.at_level("INFO"):
        train(config)
    assert "callbacks.patience=1 ran out in epoch 1" in caplog.text
    assert_same_weights(tmp_path / "before", tmp_path / "run")
    metrics = metrics_of(tmp_path / "run")
    assert metrics["best/epoch"] == 0
    assert not {"steps_trained", "train_batches"} & metrics.keys()


@pytest.mark.parametrize("damage", [{"state_dict": {"a": 5}}, {"loops": {}}, {"global_step": "x"}])
def test_a_checkpoint_that_does_not_fit_its_run_is_refused_in_one_line(
    finished, compose_train, overrides, tmp_path, damage
):
    shutil.copytree(finished, run_dir := tmp_path / "run")
    path = run_dir / "checkpoints" / "last.ckpt"
    torch.save(torch.load(path, weights_only=True) | damage, path)
    with pytest.raises(UserError, match=r"^checkpoint .*last\.ckpt is damaged .*; restore it, or") as refused:
        train(compose_train(*overrides, "trainer.max_epochs=2", run_dir=run_dir))
    assert len(str(refused.value).splitlines()) == 1
