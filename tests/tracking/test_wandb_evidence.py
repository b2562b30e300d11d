"""An evaluation on W&B has the figures of the file; without W&B it is whole all the same."""

import json
import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import wandb

from skinlab.commands.evaluate import evaluate
from skinlab.tracking import wandb_evidence, wandb_run
from tests.command_settings import invocation_of, settings_of


@pytest.fixture
def evaluated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Evaluate two small tables with W&B on; return the folder."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    for name in ("WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    rng = np.random.default_rng(0)
    label = np.repeat(["a", "b"], 30)
    for name in ("x", "y"):
        p = rng.dirichlet([1, 1], 60)
        rows = {"image_id": [f"i{i}" for i in range(60)], "label": label, "prob_a": p[:, 0], "prob_b": p[:, 1]}
        pd.DataFrame(rows).to_csv(tmp_path / f"{name}.csv", index=False)

    def run() -> Path:
        places = {"predictions": [str(tmp_path / f"{name}.csv") for name in "xy"], "output": tmp_path / "out"}
        quick = {"positive": ["b"], "n_draws": 100, "calibration": False, "wandb": True}
        evaluate(settings_of("evaluate", **places, **quick), invocation_of("evaluate"))
        return tmp_path / "out"

    return run


class Recorder:
    lost = False

    def __init__(self):
        self.summary, self.logged, self.ended = {}, {}, None

    def log_summary(self, figures):
        self.summary |= figures

    def log_metrics(self, metrics):
        self.logged |= metrics

    def finish(self, ok):
        self.ended = ok


def test_figures_comparisons_and_report_are_logged(evaluated, monkeypatch):
    recorder, opened = Recorder(), []
    monkeypatch.setattr(wandb_run, "open_wandb", lambda *arguments: opened.append(arguments) or recorder)
    output = evaluated()
    evidence = json.loads((output / "evidence.json").read_text())
    for system in evidence["systems"]:
        figure = system["metrics"]["balanced_accuracy"]
        for end, key in (("", "value"), ("_low", "low"), ("_high", "high")):
            assert recorder.summary[f"{system['name']}/balanced_accuracy{end}"] == figure[key]
    table = recorder.logged["comparisons"]
    assert [row[-1] for row in table.data] == [pair["sentence"] for pair in evidence["comparisons"]]
    first = dict(zip(table.columns, table.data[0], strict=True))
    assert first["operating_point"] == evidence["comparisons"][0]["operating_point"]
    assert first["difference"] == evidence["comparisons"][0]["difference"]["value"]
    assert "report" in recorder.logged
    assert recorder.ended is True
    assert opened[0][1] == output
    assert opened[0][2]["n_draws"] == 100
    assert opened[0][2]["run_id"]


def test_offline_it_is_kept_for_later(evaluated, caplog):
    with caplog.at_level(logging.INFO):
        output = evaluated()
    kept = list((output / "wandb").glob("offline-run-*"))
    assert len(kept) == 1
    assert "wandb sync" in caplog.text
    reports = list(kept[0].rglob("report*.html"))
    assert reports
    assert reports[0].read_text() == (output / "report.html").read_text()
    wandb.teardown()


@pytest.mark.parametrize("place", ["open_wandb", "headline", "tables"])
def test_whatever_fails_costs_a_warning(evaluated, monkeypatch, caplog, place):
    recorder = Recorder()
    monkeypatch.setattr(wandb_run, "open_wandb", lambda *_: recorder)

    def fail(*_):
        raise RuntimeError("no luck\nat all")

    monkeypatch.setattr(wandb_run if place == "open_wandb" else wandb_evidence, place, fail)
    output = evaluated()
    assert (output / "evidence.json").is_file()
    assert "W&B does not have this evaluation (no luck)" in caplog.text
    assert recorder.ended in ((None,) if place == "open_wandb" else (False,))
