"""Each source is compared with a training without it, and trainings of another kind are refused."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from skinlab.battery.bench import Bench
from skinlab.battery.left_out_source import LeaveOneSourceOut
from skinlab.battery.model import Model
from skinlab.battery.probe import NotRunError
from skinlab.errors import UserError
from tests.run_directory import write_run

CONFIG = {"run_id": "a", "seed": 0, "loss": {"name": "ce"}, "data": {"name": "phantom", "root": "/data", "fold": 0}}


def write_training(run: Path, rows: pd.DataFrame, source: str, network: Path, **data: str) -> None:
    """Write what a training without a source leaves."""
    split = rows.assign(split=np.where(rows["source"] == source, "val", "train"))
    settings = CONFIG["data"] | {"split": "source", "n_folds": 2} | data
    write_run(run, config=CONFIG | {"data": settings}, split=split)
    (run / "checkpoints").mkdir()
    (run / "checkpoints" / "best.ckpt").symlink_to(network)


@pytest.fixture
def rows(disc_rows: pd.DataFrame) -> pd.DataFrame:
    return disc_rows.assign(source=np.where(np.arange(len(disc_rows)) % 2, "a", "b"))


@pytest.fixture
def sweep(rows: pd.DataFrame, checkpoint: Path, tmp_path: Path) -> Path:
    for number, source in enumerate("ab"):
        write_training(tmp_path / "sweep" / str(number), rows, source, checkpoint)
    return tmp_path / "sweep"


@pytest.fixture
def home(bench_of: Callable[..., Bench], rows: pd.DataFrame, tmp_path: Path) -> Bench:
    run = write_run(tmp_path / "run", config=CONFIG | {"data": CONFIG["data"] | {"n_folds": 5}})
    return replace(bench_of(rows=rows), run=run)


def change(run: Path, **settings: object) -> None:
    """Change the recorded config of a run."""
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["data"] |= settings.pop("data", {})
    (run / "config.yaml").write_text(yaml.safe_dump(config | settings))


def test_a_training_that_fails_on_the_source_it_left_out_is_flagged(home: Bench, sweep: Path, monkeypatch):
    def guess(self: Model, images: np.ndarray) -> np.ndarray:
        return np.full((len(images), 2), (0.9, 0.1)) + np.random.default_rng(0).uniform(0, 0.01, (len(images), 1))

    monkeypatch.setattr(Model, "predict", guess)
    probe = LeaveOneSourceOut(str(sweep))
    assert probe.passes(home) == 120
    found = probe.run(home)
    assert [each["name"] for each in found.conditions] == ["a left out"] * 2 + ["b left out"] * 2
    assert {each["dose"] for each in found.conditions} == {"", "at home's case mix"}
    assert all(each["metrics"]["sensitivity"]["value"] == 0 for each in found.conditions)
    assert found.flags[0]["level"] == "breaks"
    assert "left out" in found.flags[0]["sentence"]
    assert found.tables[0]["rows"] == [{"name": "a", "cells": [20, 40]}, {"name": "b", "cells": [20, 40]}]


def test_a_training_that_predicts_as_the_model_is_not_flagged(home: Bench, sweep: Path, monkeypatch):
    monkeypatch.setattr(Model, "predict", lambda _, images: type(home.model).predict(home.model, images))
    (sweep / "1" / "config.yaml").unlink()
    found = LeaveOneSourceOut(str(sweep)).run(home)
    assert found.flags == []
    assert "Of no training left out: b." in found.notes


def test_without_trainings_or_sources_it_is_not_run(home: Bench, sweep: Path, bench_of: Callable[..., Bench]):
    with pytest.raises(NotRunError, match=r"-m sweep=sources data=phantom data\.root=/data .* left_out=SWEEP"):
        LeaveOneSourceOut().passes(home)
    with pytest.raises(NotRunError, match="no source"):
        LeaveOneSourceOut(str(sweep)).passes(bench_of())


def test_a_model_that_lacks_a_source_itself_is_refused(home: Bench, sweep: Path):
    change(home.run, data={"split": "source"})
    with pytest.raises(UserError, match=r"trained without a source itself \(data\.split=source\); .*split=random"):
        LeaveOneSourceOut(str(sweep)).passes(home)


def test_trainings_of_another_kind_are_refused(home: Bench, sweep: Path, rows: pd.DataFrame, checkpoint: Path):
    def refused(message: str) -> None:
        with pytest.raises(UserError, match=message):
            LeaveOneSourceOut(str(sweep)).passes(home)

    write_training(sweep / "2", rows, "a", checkpoint)
    refused("0 and 2 both leave out a; remove one of them")
    change(sweep / "2", data={"split": "random"})
    refused("2 has data.split=random; make it: python -m skinlab.train -m sweep=sources data=phantom")
    (sweep / "2" / "metrics.json").unlink()
    refused("2: this run was not finished; to go on: .*, or remove it")
    (sweep / "2" / "config.yaml").unlink()
    change(sweep / "1", loss={"name": "focal"})
    refused("1 is of another recipe, .*focal.*, than the model, .*ce.*; train with the settings of the model")
    change(sweep / "1", loss={"name": "ce"}, data={"name": "other"})
    refused("1 is of another recipe, .*other")
    change(sweep / "1", data={"name": "phantom"})
    LeaveOneSourceOut(str(sweep)).passes(home)
    split = pd.read_csv(sweep / "1" / "split.csv")
    split[5:].to_csv(sweep / "1" / "split.csv", index=False)
    refused("1 is of other data: its split.csv lacks 5 of the 120 images at home")


def test_a_folder_without_runs_is_refused(home: Bench, tmp_path: Path):
    with pytest.raises(UserError, match="is no folder of runs; make it"):
        LeaveOneSourceOut(str(tmp_path / "nowhere")).passes(home)
