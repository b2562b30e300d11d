"""The table at the end of a sweep."""

import json

import pytest

from skinlab.cli.sweeps.failures import JobFailedError
from skinlab.cli.sweeps.job import JobResult
from skinlab.cli.sweeps.sweep import Sweep, ending_in_table


@pytest.mark.parametrize(("mode", "order"), [("max", ["focal", "ce", "ldam"]), ("min", ["ce", "focal", "ldam"])])
def test_a_sweep_ends_in_a_table_the_best_first(tmp_path, capsys, mode, order):
    sweep = Sweep(3, str(tmp_path), remedy="to go on: THIS")
    for number, (loss, value, code) in enumerate([("ce", 0.25, 0), ("ldam", None, 2), ("focal", 0.5, 0)]):
        folder = tmp_path / str(number)
        folder.mkdir()
        if value is not None:
            content = {"best/monitor": value, "best/mode": mode, "best/epoch": 3, "monitor": "val/x"}
            (folder / "metrics.json").write_text(json.dumps(content))
            (folder / "evidence.json").write_text(json.dumps({"cautions": [f"{loss} was trained for a minute"]}))
        reason = "no counts" if code else ""
        sweep.jobs.append(JobResult(number + 1, folder, [f"loss={loss}", "seed=1"], code, 65.0, reason))
    with pytest.raises(JobFailedError) as failed, ending_in_table("train", sweep):
        pass
    assert str(failed.value) == (
        "1 of 3 jobs failed: job 2 (loss=ldam): no counts; finished jobs are kept; to go on: THIS"
    )
    assert failed.value.code == 2
    printed = capsys.readouterr().out
    assert "2 of 3 jobs finished, the best by val/x first" in printed
    assert sorted(order, key=lambda loss: printed.index(f"loss={loss}")) == order
    assert "seed=1" not in printed, "what all jobs share"
    assert "exit code 2" in printed
    assert "1:05" in printed
    assert f"skinlab.evaluate predictions={tmp_path} output={tmp_path}/evaluation" in printed
    best = f"best run: {tmp_path}/{2 if mode == 'max' else 0}\n! {order[0]} was trained for a minute\n"
    assert best in printed
    header = next(line for line in printed.splitlines() if "job " in line)
    assert header.split()[-2] == "folder"


def test_a_sweep_without_a_finished_job_names_no_best_one(tmp_path, capsys):
    sweep = Sweep(1, str(tmp_path), [JobResult(1, tmp_path / "0", ["seed=1"], 2, 5.0, "no counts")])
    with pytest.raises(JobFailedError), ending_in_table("train", sweep):
        pass
    printed = capsys.readouterr().out
    assert "0 of 1 jobs finished\n" in "".join(line.strip() + "\n" for line in printed.splitlines())
    assert "best run" not in printed


@pytest.mark.parametrize(
    ("monitor", "overrides", "warned"),
    [
        ("val/loss", ["loss=ce", "loss=focal"], True),
        ("val/loss", ["loss.gamma=1", "loss.gamma=2"], True),
        ("val/loss", ["sampler=none", "sampler=weighted"], True),
        ("val/loss", ["seed=1", "seed=2"], False),
        ("val/pr_auc_macro", ["loss=ce", "loss=focal"], False),
    ],
)
def test_values_of_different_losses_are_not_compared(tmp_path, capsys, monitor, overrides, warned):
    content = {"best/monitor": 0.5, "best/mode": "min", "best/epoch": 3, "monitor": monitor}
    (tmp_path / "metrics.json").write_text(json.dumps(content))
    sweep = Sweep(2, str(tmp_path), [JobResult(1, tmp_path, [each], 0, 1.0) for each in overrides])
    with ending_in_table("train", sweep):
        pass
    assert ("does not compare losses or samplers" in capsys.readouterr().out) == warned


def test_jobs_of_different_losses_are_in_the_order_of_their_balanced_accuracy(tmp_path, capsys):
    sweep = Sweep(2, str(tmp_path))
    for number, (loss, value, accuracy) in enumerate([("focal", 0.1, 0.4), ("ce", 0.9, 0.6)]):
        content = {"best/monitor": value, "best/mode": "min", "best/epoch": 3, "monitor": "val/loss"}
        (tmp_path / str(number)).mkdir()
        content |= {"val/balanced_accuracy": accuracy}
        (tmp_path / str(number) / "metrics.json").write_text(json.dumps(content))
        sweep.jobs.append(JobResult(number + 1, tmp_path / str(number), [f"loss={loss}"], 0, 1.0))
    with ending_in_table("train", sweep):
        pass
    printed = capsys.readouterr().out
    assert "2 of 2 jobs finished, the best by val/balanced_accuracy first" in printed
    assert printed.index("loss=ce") < printed.index("loss=focal")
    assert "0.600" in printed
    assert "! val/loss does not compare losses or samplers: the order is by val/balanced_accuracy" in printed


def test_folds_are_not_ranked_since_they_have_other_validation_images(tmp_path, capsys):
    sweep = Sweep(2, str(tmp_path))
    for number, value in enumerate([0.4, 0.1]):
        content = {"best/monitor": value, "best/mode": "min", "best/epoch": 3, "monitor": "val/loss"}
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "metrics.json").write_text(json.dumps(content))
        sweep.jobs.append(JobResult(number + 1, tmp_path / str(number), ["loss=ce", f"data.fold={number}"], 0, 1.0))
    with ending_in_table("train", sweep):
        pass
    printed = capsys.readouterr().out
    assert "2 of 2 jobs finished\n" in "".join(line.strip() + "\n" for line in printed.splitlines())
    assert printed.index("data.fold=0") < printed.index("data.fold=1")
    assert "best run" not in printed
    assert f"to evaluate the folds together: python -m skinlab.evaluate predictions={tmp_path} output=" in printed
