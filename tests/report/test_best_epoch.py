"""The best epoch is named with its metric, and another epoch only where its balanced accuracy is clearly higher."""

import pytest

from skinlab.report.run_files import best_epoch_words, better_epoch
from skinlab.report.terminal import print_results
from tests.report.conftest import evidence_of, system

METRICS = {"best/epoch": 0, "best/mode": "min", "monitor": "val/loss", "max_epochs": 9}
METRICS |= {f"val/{name}": value for name, value in {"recall/a": 0.5, "recall/b": 0.7}.items()}
METRICS |= {"val/support/a": 100, "val/support/b": 84, "val/support/c": 0}


@pytest.fixture
def run(tmp_path):
    (tmp_path / "csv").mkdir()
    return tmp_path


def log_epochs(run, *values):
    rows = "".join(f"{epoch},{value}\n" for epoch, value in enumerate(values))
    (run / "csv" / "metrics.csv").write_text(f"epoch,val/balanced_accuracy\n{rows}")


def test_the_best_epoch_is_named_with_its_metric_and_the_number_of_epochs(run):
    assert best_epoch_words(METRICS, run) == "best epoch 1 of 9, by val/loss (lowest)"
    log_epochs(run, 0.6, 0.6)  # patience ran out
    assert best_epoch_words(METRICS, run) == "best epoch 1 of 2, by val/loss (lowest)"
    assert best_epoch_words({"best/epoch": 1}, run) == "best epoch 2 of 2"  # of an older version
    last = {"best/epoch": 1, "monitor": "epoch", "best/mode": "max"}
    assert best_epoch_words(last, run) == "best epoch 2 of 2, the last"


def test_a_clearly_better_epoch_is_named_with_the_setting_that_chooses_it(run):
    log_epochs(run, 0.6, 0.63, 0.65)  # the standard error is 0.035
    assert better_epoch(METRICS, run) == (
        "by val/balanced_accuracy epoch 3 is better: 0.650 against 0.600, more than a standard error (0.035); "
        "to choose the epoch by it: callbacks.monitor=val/balanced_accuracy"
    )
    log_epochs(run, 0.6, 0.63)
    assert better_epoch(METRICS, run) == ""


def test_without_a_log_or_with_that_monitor_there_is_nothing_to_name(run):
    assert better_epoch(METRICS, run) == ""
    log_epochs(run, 0.6, 0.9)
    assert better_epoch(METRICS | {"monitor": "val/balanced_accuracy"}, run) == ""
    assert better_epoch({"best/epoch": 0, "monitor": "val/loss"}, run) == ""


def test_a_job_of_a_sweep_does_not_offer_to_open_its_test(tmp_path, capsys):
    run, metrics = tmp_path / "0", {"val/balanced_accuracy": 0.5, "best/epoch": 0, "init_used": "random"}
    (run / "predictions").mkdir(parents=True)
    (run / "predictions" / "test.csv").touch()
    print_results(metrics, run)
    assert "to open the test" in capsys.readouterr().out
    (tmp_path / "multirun.yaml").touch()
    print_results(metrics, run)
    assert "to open the test" not in capsys.readouterr().out


def test_a_later_job_without_evidence_prints_its_headline_alone(tmp_path, capsys):
    metrics = {"val/balanced_accuracy": 0.5, "val/support/mel": 9, "best/epoch": 0, "init_used": "random"}
    print_results(metrics, tmp_path, is_later=True)
    printed = capsys.readouterr().out
    assert "Balanced accuracy" in printed
    assert "AP of mel" not in printed
    assert "run: " not in printed


def test_the_title_says_which_part_has_intervals(run, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    metrics = {f"{split}/balanced_accuracy": 0.5 for split in ("val", "test")} | {
        "best/epoch": 0,
        "init_used": "random",
    }
    print_results(metrics, run, evidence_of([system()]))
    assert "from random weights, test with 95% intervals" in capsys.readouterr().out
