"""What a training says of itself beside its metrics."""

import copy
import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

from skinlab.assessment.evidence_files import evidence_folder
from skinlab.assessment.openings import read_openings
from skinlab.assessment.run_evidence import evaluate_run, read_evidence
from skinlab.cli.api import Result
from skinlab.commands.evaluate import evaluate
from skinlab.commands.train import train
from skinlab.errors import UserError
from skinlab.evaluation.metrics.scorer import Scorer
from skinlab.evaluation.statistics.bootstrap import Resampler, bootstrap
from skinlab.processes.signals import Stopped
from skinlab.report.terminal import print_results
from skinlab.tables.predictions import read_predictions
from tests.command_settings import invocation_of, settings_of
from tests.evidence_schema import validate_evidence

QUICK = ["trainer.max_epochs=1", "trainer.limit_train_batches=2", "evidence.n_draws=200", "evidence.calibration=false"]


@pytest.fixture(scope="module")
def words(tiny) -> list[str]:
    return [word for word in tiny if word != "evidence=off"] + QUICK


def evaluated(*given: str) -> None:
    words = [*given, "n_draws=100", "calibration=false", "saliency=false"]
    evaluate(settings_of("evaluate", *words), invocation_of("evaluate", *words))


@pytest.fixture(scope="module")
def finished(compose_train, words, tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("reported") / "run"
    train(compose_train(*words, run_dir=run_dir))
    return run_dir


def test_a_run_ends_in_the_evidence_of_its_validation_rows_and_scores_no_test_rows(finished):
    validate_evidence(finished)
    (system,) = json.loads((finished / "evidence.json").read_text())["systems"]
    assert system["sources"][0]["split"] == "val"
    assert system["thresholds"][0]["applied_to"] == "cross-fitted"
    assert (finished / "predictions" / "test.csv").is_file()
    for name in ("metrics.json", "csv/metrics.csv", "report.html", "model_card.md"):
        assert "test/" not in (finished / name).read_text().replace("/test/", "")
    assert "The test of this run has not been opened." in (finished / "report.html").read_text()
    assert not (finished / "test_access.jsonl").exists()


def test_a_final_run_ends_in_the_evidence_of_its_test_rows(finished, compose_train, words, tmp_path, capsys):
    finished = Path(shutil.copytree(finished, tmp_path / "run"))
    validation = finished / "predictions" / "val.csv"
    before = validation.stat().st_mtime_ns
    for _ in range(2):  # the second time nothing is opened
        train(compose_train(*words, "test=true", run_dir=finished))
    assert validation.stat().st_mtime_ns == before
    (opening,) = read_openings(finished)
    assert (opening["command"], opening["output"]) == ("train", str(finished))
    shown = " ".join(capsys.readouterr().out.split())
    assert f"The test of this run was opened once, {opening['time'][:10]}" in shown
    validate_evidence(finished)
    evidence = json.loads((finished / "evidence.json").read_text())
    (system,) = evidence["systems"]
    assert system["sources"][0]["split"] == "test"
    assert evidence["provenance"]["config"]["trainer"]["max_epochs"] == 1
    rows = read_predictions(finished / "predictions" / "test.csv")
    scorer = Scorer(rows.probabilities, rows.target, rows.classes)
    draws = bootstrap(scorer, Resampler(rows.group, rows.target), n_draws=200, seed=0)
    expected = draws.interval("brier", 0.95)
    written = system["metrics"]["brier"]
    assert (written["value"], written["low"], written["high"]) == (expected.value, expected.low, expected.high)
    assert written["value"] == json.loads((finished / "metrics.json").read_text())["test/brier"]
    assert system["thresholds"][0]["chosen_on"].startswith("val, ")
    assert all(each["path"] for each in system["worst_mistakes"])


def test_its_report_has_the_saliency_maps(finished):
    page = (finished / "report.html").read_text()
    assert page.count("Grad-CAM of") == page.count("predicted as <strong>") > 0
    assert (finished / "model_card.md").is_file()
    assert (finished / "thresholds.json").is_file()


@pytest.mark.parametrize(
    ("gone", "killed"),
    [
        (["figures.png", "report.html"], False),
        pytest.param(["evidence.json"], False, marks=pytest.mark.slow),
        pytest.param([], True, marks=pytest.mark.slow),  # in the midst of its results, whichever are there
    ],
)
def test_what_a_kill_left_out_is_made_by_the_same_command(finished, compose_train, words, capsys, caplog, gone, killed):
    before, mark = {path.name for path in finished.iterdir()}, finished / ".unfinished"
    evidence = (finished / "evidence.json").read_bytes()
    for name in gone:
        (finished / name).unlink()
    if killed:
        mark.touch()
    train(compose_train(*words, run_dir=finished))
    assert {path.name for path in finished.iterdir()} == before
    if not killed:
        assert (finished / "evidence.json").read_bytes() == evidence
    assert re.search(r"Macro AUROC\W+[\d.]+ \[[\d.]+, [\d.]+\]", capsys.readouterr().out)
    assert "other settings" not in caplog.text


def test_evidence_of_other_settings_stays(finished, compose_train, words, caplog):
    before = (finished / "evidence.json").read_bytes()
    train(compose_train(*words, "evidence.level=0.9", run_dir=finished))
    assert (finished / "evidence.json").read_bytes() == before
    assert "evidence.json was made with other settings and is kept" in caplog.text


def test_an_evaluation_that_was_killed_is_repeated(finished, tmp_path, monkeypatch):
    words = f"predictions={finished}", f"output={tmp_path / 'o'}"
    whole, replace = ["evidence.json", "model_card.md", "report.html", "thresholds.json"], Path.replace

    def killed(self, target):
        if target.name == "evidence.json":
            raise Stopped(143)
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(Stopped):
            evaluated(*words)
    assert sorted(path.name for path in (tmp_path / "o").iterdir()) == whole[1:]
    evaluated(*words)
    assert sorted(path.name for path in (tmp_path / "o").iterdir()) == whole
    with pytest.raises(UserError, match=r"evidence\.json exists"):
        evaluated(*words)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(Stopped):
            evaluated(*words, "overwrite=true")
    assert sorted(path.name for path in (tmp_path / "o").iterdir()) == whole[1:], "no former evidence beside new pages"


def test_a_training_s_evidence_may_be_replaced_by_an_evaluation_but_not_twice(finished, tmp_path):
    run = shutil.copytree(finished, tmp_path / "run")
    evaluated(f"predictions={run}", f"output={run}")
    with pytest.raises(UserError, match="overwrite=true"):
        evaluated(f"predictions={run}", f"output={run}")


def test_batches_that_were_left_out_are_said(finished):
    metrics = json.loads((finished / "metrics.json").read_text())
    assert metrics["train_batches"] == 2 < metrics["train_batches_available"]
    assert "val_batches" not in metrics
    limited = (
        f"run: trained on 2 of {metrics['train_batches_available']} batches an epoch (trainer.limit_train_batches)."
    )
    assert limited in json.loads((finished / "evidence.json").read_text())["cautions"]
    assert limited in (finished / "report.html").read_text()


def test_a_test_part_of_one_class_leaves_the_evidence_of_the_validation_part(finished, compose_train, words, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    test, meta = run / "predictions" / "test.csv", run / "predictions" / "meta.json"
    table = pd.read_csv(test)
    table[table["label"] == "benign"].to_csv(test, index=False)
    split = pd.read_csv(run / "split.csv")
    split[(split["split"] != "test") | (split["label"] == "benign")].to_csv(run / "split.csv", index=False)
    meta.write_text(json.dumps(json.loads(meta.read_text()) | {"training_prior": [1.0, 0.0]}))
    evidence, _ = evaluate_run(run, compose_train(*words, run_dir=run).evidence, {"command": "train"}, test=True)
    assert not (run / "test_access.jsonl").exists()
    assert evidence["systems"][0]["sources"][0]["split"] == "val"
    assert "the test images can't be judged (run: " in evidence["cautions"][0]
    assert any("had no training images of malignant" in text for text in evidence["cautions"])
    print_results(json.loads((run / "metrics.json").read_text()), run, evidence)


def test_a_job_prints_its_headline_and_the_cautions_that_no_earlier_job_of_its_sweep_has_printed(finished, capsys):
    metrics, evidence = json.loads((finished / "metrics.json").read_text()), read_evidence(finished)
    common = evidence["cautions"]
    assert any(each.startswith("run: ") for each in common)
    printed = copy.deepcopy(evidence)
    printed["systems"][0]["name"], printed["cautions"] = "S/0", [each.replace("run", "S/0") for each in common]
    evidence["cautions"] = [*common, "run: one class is never predicted"]
    print_results(metrics, finished, evidence, printed)
    text = capsys.readouterr().out
    assert "Balanced accuracy" in text
    assert "AP of" not in text
    assert [line for line in text.splitlines() if line.startswith("!")] == ["! run: one class is never predicted"]
    assert text.endswith(f"report: {finished}/report.html\n")
    assert len(text.splitlines()) <= 20


def test_rows_that_allow_no_interval_cost_a_warning(finished, compose_train, words, monkeypatch, caplog):
    from skinlab.assessment import run_evidence

    def one_group(*_, **__):
        raise ValueError("all 3 images are of one group")

    monkeypatch.setattr(run_evidence, "build_evidence", one_group)
    assert evaluate_run(finished, compose_train(*words, run_dir=finished).evidence, {}) is None
    assert "no evidence.json: all 3 images are of one group" in caplog.text


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("evidence.positive=[mle]", "positive=mle: name one of the two classes benign, malignant"),
        ("evidence.level=95.0", "evidence.level=95.0"),
        ("evidence.thresholds=[best]", "threshold rule 'best' is unknown"),
    ],
)
def test_mistakes_end_before_an_epoch(compose_train, words, tmp_path, override, message):
    with pytest.raises(UserError, match=re.escape(message)):
        train(compose_train(*words, override, run_dir=tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_settings_of_the_evidence_make_no_other_recipe(finished):
    from skinlab.assessment.systems import open_run
    from skinlab.settings.recipes import recipe_of

    assert not [key for key in recipe_of(open_run(finished).config) if key.startswith("evidence")]


def test_evidence_of_format_1_is_read_under_the_present_names(tmp_path):
    figures = {"auroc_macro": {"value": 0.7}}
    content = {"format": 1, "asked": {"level": 0.9}, "made": {"command": "python -m skinlab.train"}, "cautions": []}
    (tmp_path / "evidence.json").write_text(json.dumps(content | {"systems": [{"figures": figures}]}))
    for found in (read_evidence(tmp_path), Result(tmp_path).evidence):
        assert (found["format"], found["settings"], found["systems"]) == (2, {"level": 0.9}, [{"metrics": figures}])
    assert evidence_folder(str(tmp_path), "python -m skinlab.evaluate", overwrite=False) == tmp_path
