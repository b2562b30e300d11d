"""The presets of debug= run on the phantom and show what they are for."""

import pandas as pd
import pytest

from skinlab.commands.pretrain import pretrain
from skinlab.commands.train import train
from tests.run_directory import metrics_of


@pytest.fixture
def small(tiny):
    """A training whose length, loggers and augmentation the preset decides."""
    length = ("trainer.max_epochs=2", "trainer.check_val_every_n_epoch=1")
    return [each for each in tiny if each not in length] + ["model=timm", "model.name=test_resnet"]


def losses(run_dir):
    return pd.read_csv(run_dir / "csv" / "metrics.csv")["train/loss"].dropna().tolist()


def test_fast_trains_two_batches(compose_train, small, tmp_path):
    train(compose_train(*small, "debug=fast", run_dir=tmp_path / "run"))
    assert metrics_of(tmp_path / "run")["train_batches"] == 2


def test_overfit_learns_a_few_images_by_heart(compose_train, small, tmp_path):
    budget = ["data.label_budget=16", "optimizer.lr=3e-3", "trainer.log_every_n_steps=1"]
    train(compose_train(*small, "debug=overfit", *budget, run_dir=tmp_path / "run"))
    found = losses(tmp_path / "run")
    assert found[0] > 0.3
    assert found[-1] < 0.02


@pytest.mark.parametrize("command", [train, pretrain])
def test_profile_leaves_a_table(compose_train, compose_pretrain, small, tmp_path, command):
    if command is train:
        config = compose_train(*small, "debug=profile", run_dir=tmp_path / "run")
    else:
        kept = [each for each in small if each != "evidence=off"]
        config = compose_pretrain(*kept, "ssl=denoise", "ssl.width=16", "debug=profile", run_dir=tmp_path / "run")
    command(config)
    assert "run_training_batch" in (tmp_path / "run" / "fit-profile.txt").read_text()
