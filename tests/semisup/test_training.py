"""Training with the pool by its command: its log, its batches, and what a resumed run gives."""

import re
from pathlib import Path

import pandas as pd
import pytest

from skinlab.cli.registry import call
from skinlab.commands.train import train
from skinlab.models.strategy import Strategy
from skinlab.runs.semisupervision import pool_settings
from skinlab.settings.part import build
from tests.choices import choices
from tests.command_settings import invocation_of
from tests.run_directory import assert_same_weights, kill_after, metrics_of, refused

POOL = ["data.label_budget=0.5", "semi.pool_ratio=1", "data.batch_size=8"]
# Half of the phantom's labels are hidden, and guesses of a young network still accepted.
FIXMATCH = ["semi=fixmatch", *POOL, "semi.threshold=0.5", "semi.least_threshold=0.5"]


@pytest.fixture(scope="module")
def finished(compose_train, tiny, tmp_path_factory) -> Path:
    run_dir = tmp_path_factory.mktemp("semi") / "run"
    train(compose_train(*tiny, *FIXMATCH, run_dir=run_dir))
    return run_dir


@pytest.mark.parametrize("name", [name for name in choices("semi") if name != "none"])
def test_every_strategy_is_built_from_its_config(compose_train, name):
    semi = compose_train(f"semi={name}").semi
    strategy = build(semi.strategy, **({"prior": [0.5, 0.5]} if "prior" in semi.model_fields_set else {}))
    assert isinstance(strategy, Strategy)


def test_without_a_strategy_there_is_no_pool_part(compose_train):
    assert pool_settings(compose_train().semi) == {}


def test_the_log_counts_the_pool_and_how_right_it_was(finished):
    table = pd.read_csv(finished / "semi.csv", keep_default_na=False, na_values={"precision": [""]})
    split = pd.read_csv(finished / "split.csv", keep_default_na=False)
    steps = (split["split"] == "train").sum() // 8
    assert table["epoch"].tolist() == [0, 0, 1, 1]
    assert table.groupby("epoch")["judged"].sum().tolist() == [8 * steps] * 2
    assert (table["accepted"] <= table["judged"]).all()
    assert table["accepted"].sum() > 0
    assert (table["known"] == table["accepted"]).all()  # all of the phantom's labels are known
    logged = pd.read_csv(finished / "csv" / "metrics.csv")
    sums = table.groupby("epoch")[["judged", "accepted", "right"]].sum()
    assert logged["semi/accepted"].dropna().tolist() == pytest.approx((sums["accepted"] / sums["judged"]).tolist())
    assert logged["semi/precision"].dropna().tolist() == pytest.approx((sums["right"] / sums["accepted"]).tolist())
    assert "val/loss" in metrics_of(finished)


def test_two_workers_give_the_weights_of_none(finished, compose_train, tiny, tmp_path):
    train(compose_train(*tiny, *FIXMATCH, "data.num_workers=2", run_dir=tmp_path / "two"))
    assert_same_weights(finished, tmp_path / "two")


@pytest.mark.slow
def test_killed_and_resumed_equals_uninterrupted(run, tiny, tmp_path):
    words = [*tiny, "semi=mean_teacher", *POOL, "trainer.max_epochs=3", "trainer.accumulate_grad_batches=2"]
    assert run("train", *words, f"hydra.run.dir={tmp_path / 'whole'}").returncode == 0
    killed = tmp_path / "killed"
    kill_after(1, "train", words, killed)
    assert run("train", *words, f"hydra.run.dir={killed}").returncode == 0
    assert_same_weights(tmp_path / "whole", killed)
    tables = [pd.read_csv(folder / "semi.csv") for folder in (tmp_path / "whole", killed)]
    pd.testing.assert_frame_equal(*tables)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["semi=fixmatch"], "semi=fixmatch: the data has no unlabeled images"),
        ([*FIXMATCH, "semi.prior=[0.2, 0.3, 0.5]"], "semi.prior has 3 shares for 2 classes"),
        ([*FIXMATCH, "semi.pool_ratio=0"], "semi.pool_ratio=0"),
        ([*FIXMATCH, "semi.pool_ratio=40"], "lower data.batch_size or semi.pool_ratio"),
        ([*FIXMATCH, "augment.mixup=0.2"], "augment.mixup=0.2"),
        ([*FIXMATCH, "semi.momentum=2.0"], "semi.momentum=2.0"),
        (["semi=mean_teacher", *POOL, "model.ema_decay=0.9"], "set model.ema_decay=0"),
    ],
)
def test_mistakes_end_before_an_epoch(compose_train, tiny, tmp_path, words, message):
    with refused(re.escape(message), tmp_path / "run"):
        call("train", compose_train(*tiny, *words, run_dir=tmp_path / "run"), invocation_of("train"))
