"""Each scoring of a run's test is recorded in the run, counted and reported."""

import json
from pathlib import Path

import pytest

from skinlab.assessment.evidence_files import build_evidence, describe_provenance
from skinlab.assessment.openings import FILE, count_openings, open_test, read_openings
from skinlab.assessment.systems import find_systems
from skinlab.commands.ensemble import ensemble
from skinlab.commands.evaluate import evaluate
from skinlab.errors import UserError
from skinlab.evaluation.evidence.settings import EvaluationSettings
from skinlab.report.openings import opening_lines, opening_sentence
from tests.assessment.test_systems import write_run
from tests.command_settings import invocation_of, settings_of
from tests.evidence_schema import validate_evidence

QUICK = ["n_draws=100", "calibration=false", "saliency=false", "compare_by=[]", "thresholds=[]"]


def run_command(command, *words):
    words = [*words, *QUICK]
    command(settings_of(command.__name__, *words), invocation_of(command.__name__, *words))


def evaluated(place, output, split="test"):
    """Return the evidence as the command makes it, without its pages."""
    systems = find_systems([str(place)], split=split)
    provenance = describe_provenance("python -m skinlab.evaluate", {})
    settings = EvaluationSettings(n_draws=100, calibration=False)
    evidence, _ = build_evidence(systems, settings, provenance=provenance)
    open_test(evidence, systems, "evaluate", output)
    return evidence


def metrics_of(run: Path):
    return json.loads((run / "metrics.json").read_text())


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run")


def test_a_run_is_evaluated_on_its_validation_images_unless_the_test_is_named(run, tmp_path, capsys):
    words = [f"predictions={run}", f"output={tmp_path / 'val'}", "split=auto"]
    run_command(evaluate, *words)
    validate_evidence(tmp_path / "val")
    evidence = json.loads((tmp_path / "val" / "evidence.json").read_text())
    (system,) = evidence["systems"]
    assert system["sources"][0]["split"] == "val"
    assert system["test_access"]["openings"] == 0
    assert not (run / FILE).exists()
    assert not [name for name in metrics_of(run) if name.startswith("test/")]
    assert "The test of this run has not been opened." in capsys.readouterr().out


def test_each_opening_is_recorded_counted_and_reported_on_every_page(run, tmp_path, capsys):
    for i in range(2):
        evaluated(run, tmp_path / f"test{i}")
    run_command(evaluate, f"predictions={run}", f"output={tmp_path / 'test2'}", "split=test")
    validate_evidence(tmp_path / "test2")
    evidence = json.loads((tmp_path / "test2" / "evidence.json").read_text())
    openings = read_openings(run)
    assert [each["output"] for each in openings] == [str(tmp_path / f"test{i}") for i in range(3)]
    assert {each["command"] for each in openings} == {"evaluate"}
    assert len({each["test_sha256"] for each in openings}) == 1
    access = evidence["systems"][0]["test_access"]
    assert (access["openings"], access["first"], access["last"]) == (3, openings[0]["time"], openings[-1]["time"])
    words = "The test of this run was opened 3 times"
    for page in ("report.html", "model_card.md"):
        assert words in (tmp_path / "test2" / page).read_text()
    assert words in " ".join(capsys.readouterr().out.split())
    assert metrics_of(run)["test/accuracy"] == evidence["systems"][0]["metrics"]["accuracy"]["value"]


def test_a_refused_evaluation_opens_nothing(run, tmp_path):
    with pytest.raises(UserError, match="reference=nobody"):
        run_command(evaluate, f"predictions={run}", f"output={tmp_path / 'o'}", "split=test", "reference=nobody")
    assert not (run / FILE).exists()


def test_the_table_of_a_run_is_its_test_too(run, tmp_path):
    evidence = evaluated(run / "predictions" / "test.csv", tmp_path / "o")
    assert evidence["systems"][0]["test_access"]["openings"] == len(read_openings(run)) == 1


def test_tables_without_a_run_have_no_record(run, tmp_path):
    table = tmp_path / "test.csv"
    table.write_bytes((run / "predictions" / "test.csv").read_bytes())
    assert evaluated(table, tmp_path / "o")["systems"][0]["test_access"] is None


def test_the_sentence_of_several_systems_counts_each_of_their_runs_once(tmp_path):
    runs = [write_run(tmp_path / name) for name in "ab"]
    systems = find_systems([str(run) for run in runs], split="auto")
    evidence, _ = build_evidence(
        systems, EvaluationSettings(n_draws=100, calibration=False), provenance=describe_provenance("x", {})
    )
    open_test(evidence, systems, "evaluate", tmp_path / "o")
    assert opening_lines(evidence) == ["The test of these 2 runs has not been opened."]
    evidence["systems"].append(evidence["systems"][0])  # such as a member beside its ensemble
    assert opening_lines(evidence) == ["The test of these 2 runs has not been opened."]


def test_one_command_opens_the_runs_of_a_sweep_once(tmp_path):
    folder = tmp_path / "sweep"
    for fold in range(3):
        write_run(folder / str(fold), fold=fold)
    evaluated(folder / "0", tmp_path / "first")
    access = evaluated(folder, tmp_path / "all")["systems"][0]["test_access"]
    assert (access["runs"], access["openings"], access["folder_openings"]) == (3, 2, 2)
    assert [len(read_openings(folder / str(fold))) for fold in range(3)] == [2, 1, 1]
    access = count_openings([(folder / "1").absolute()], {})
    assert (access["openings"], access["folder_runs"], access["folder_openings"]) == (1, 3, 2)
    assert "Together with the runs beside it" in opening_sentence(access)


def test_rules_chosen_out_of_fold_for_the_mean_of_the_folds_models_get_a_caution(tmp_path):
    for fold in range(3):
        write_run(tmp_path / "sweep" / str(fold), fold=fold)
    settings = EvaluationSettings(n_draws=100, calibration=False, rules=["f1"], decide="thresholds")
    for place, split, wanted in (("sweep", "test", 1), ("sweep/0", "test", 0), ("sweep", "val", 0)):
        systems = find_systems([str(tmp_path / place)], split=split)
        evidence, _ = build_evidence(systems, settings, provenance=describe_provenance("evaluate", {}))
        found = [text for text in evidence["cautions"] if "the mean of 3 models" in text]
        assert len(found) == wanted
        assert all("the threshold for f1, the rule thresholds: chosen out of fold" in text for text in found)


def test_runs_with_other_test_images_are_not_counted_together(run, tmp_path):
    other = write_run(tmp_path / "other")
    table = other / "predictions" / "test.csv"
    table.write_text(table.read_text().replace("i0,", "j0,"))
    evaluated(other / "predictions" / "test.csv", tmp_path / "o")
    assert count_openings([run.absolute()], {})["folder_openings"] == 0


def test_metrics_of_the_test_from_before_the_record_are_an_opening_at_an_unknown_time(run, tmp_path):
    (run / "metrics.json").write_text(json.dumps(metrics_of(run) | {"test/accuracy": 0.5}))
    access = evaluated(run, tmp_path / "val", "auto")["systems"][0]["test_access"]
    assert (access["openings"], access["unknown_time"], access["first"]) == (1, 1, None)
    assert opening_sentence(access) == "The test of this run was opened once, at an unknown time."
    access = evaluated(run, tmp_path / "test")["systems"][0]["test_access"]
    assert (access["openings"], access["unknown_time"]) == (2, 1)
    assert [each["time"] is None for each in read_openings(run)] == [True, False]


def test_a_line_that_was_cut_off_counts_and_costs_no_other(run, tmp_path):
    evaluated(run, tmp_path / "a")
    text = (run / FILE).read_text()
    (run / FILE).write_text(text[: len(text) // 2])
    access = evaluated(run, tmp_path / "b")["systems"][0]["test_access"]
    assert (access["openings"], access["unknown_time"]) == (2, 1)


def test_a_run_that_can_t_be_written_costs_a_warning_and_counts(run, tmp_path, caplog):
    (run / FILE).mkdir()  # as root, no permission hinders a test
    before = (run / "metrics.json").read_bytes()
    access = evaluated(run, tmp_path / "o")["systems"][0]["test_access"]
    assert access["openings"] == 1
    assert (run / "metrics.json").read_bytes() == before
    assert len([text for text in caplog.messages if FILE in text]) == 1


def test_an_ensemble_learns_nothing_on_the_test(tmp_path):
    folders = [tmp_path / model for model in ("resnet18", "resnet34")]
    for folder in folders:
        for fold in range(3):
            write_run(folder / str(fold), fold=fold, model=folder.name)
    words = [f"runs=[{folders[0]},{folders[1]}]", "bundle=false", "split=test", f"output={tmp_path / 'o'}"]
    for more in (["method=mean"], ["method=weighted", "search=null"], ["method=overlap", "search=null"]):
        with pytest.raises(UserError, match=r"it would learn on the test; set .*search=null"):
            run_command(ensemble, *words, *more)


def test_an_ensemble_opens_the_test_of_its_members(tmp_path):
    runs = [write_run(tmp_path / model, model=model) for model in ("resnet18", "resnet34")]
    words = [f"runs=[{runs[0]},{runs[1]}]", "bundle=false", "search=null"]
    run_command(ensemble, *words, f"output={tmp_path / 'test'}", "split=test")
    assert [len(read_openings(run)) for run in runs] == [1, 1]
    systems = json.loads((tmp_path / "test" / "evidence.json").read_text())["systems"]
    assert [each["test_access"]["openings"] for each in systems] == [1, 1, 1]
