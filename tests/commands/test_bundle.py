"""From runs to one file, and what is refused before anything is written."""

import json
import logging
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from skinlab.assessment.cautions import system_cautions
from skinlab.assessment.systems import find_systems
from skinlab.commands import bundle as bundling
from skinlab.data.readers.ham10000 import read_ham10000
from skinlab.errors import UserError
from skinlab.evaluation.calibration.calibrators import Temperature, cross_fit, fit_calibrator
from skinlab.evaluation.calibration.conformal import conformal_thresholds
from skinlab.evaluation.calibration.stated_prevalence import StatedPrevalence
from skinlab.evaluation.ensembles.combination import combine
from skinlab.evaluation.overlap import RowIds, shared_rows
from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.thresholds.choice import choose_threshold
from skinlab.evaluation.thresholds.decision import DecisionSettings, choose_decision
from skinlab.inference.bundle import Bundle, load_bundle, save_bundle
from skinlab.inference.ensembling import combine_members, ensemble
from skinlab.tables.predictions import read_predictions
from tests.command_settings import settings_of
from tests.run_directory import write_run

CLASSES = ["bkl", "mel", "nv"]
FROZEN = {
    "rule": "f1",
    "threshold": 0.3,
    "low": 0.2,
    "high": 0.4,
    "positives": 9,
    "chosen_on": "val, 40 images",
    "rows_sha256": "0",
    "positive": ["mel"],
    "cost_ratio": 1.0,
    "prevalence": None,
    "rows": {},
}


CROSS_FITTED = "val, calibrator cross-fitted"


def cross_fitted(method: str, rows: Predictions) -> Predictions:
    """Return rows with the probabilities of calibrators that were fitted on other groups."""
    return rows.with_probabilities(cross_fit(method, rows.probabilities, rows.target, rows.group))


@pytest.fixture(scope="module")
def runs(save_classifier: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two runs with checkpoints and validation predictions of the same rows, without split.csv."""
    base = tmp_path_factory.mktemp("runs")
    target = np.arange(40) % 3
    for i, name in enumerate(("test_resnet", "test_efficientnet")):
        run = base / name
        save_classifier(run / "checkpoints" / "best.ckpt", CLASSES, name, i)
        p = np.random.default_rng(i).dirichlet(np.ones(3), 40) + 0.3 * np.eye(3)[target]
        table = pd.DataFrame(p / p.sum(1, keepdims=True), columns=[f"prob_{c}" for c in CLASSES])
        table.insert(0, "label", np.array(CLASSES)[target])
        table.insert(0, "image_id", [f"i{k}" for k in range(40)])
        write_run(run, config=None, metrics=None, val=table)
    return [str(base / "test_resnet"), str(base / "test_efficientnet")]


@pytest.fixture
def output(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "m.bundle"


@pytest.fixture
def make(runs: list[str], output: Path) -> Callable[..., None]:
    def run(**settings: Any) -> None:
        bundling.bundle(settings_of("bundle", **{"ckpt": runs[0], "output": output, "num_workers": 0} | settings))

    return run


def test_without_training_images_there_is_no_gate_and_that_is_told(
    make, output: Path, caplog: pytest.LogCaptureFixture
):
    make()
    assert "no input gate" in caplog.text
    bundle = load_bundle(output)
    assert (bundle.classes, bundle.gate, bundle.calibrator) == (CLASSES, None, None)
    with pytest.raises(UserError, match=r"is no run with a split\.csv"):
        make(gate="fit", overwrite=True)


def test_a_gate_is_fitted_on_a_split_and_kept(make, output: Path, phantom: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("skinlab.inference.gate.MIN_IMAGES", 20)
    table = read_ham10000(phantom)[["path", "group"]].assign(split="train")
    table.to_csv(output.parent / "s.csv", index=False)
    make(gate_split=str(output.parent / "s.csv"))
    first = load_bundle(output).gate
    assert first is not None
    assert "false_alarms" not in first.measured  # nothing was held out
    make(ckpt=str(output), output=str(output.parent / "again.bundle"))
    again = load_bundle(output.parent / "again.bundle").gate
    assert again is not None
    assert again.to_dict() == first.to_dict()
    make(ckpt=str(output), output=str(output.parent / "none.bundle"), gate="none")
    assert load_bundle(output.parent / "none.bundle").gate is None


def test_the_calibrator_is_fitted_on_the_combined_validation_rows(make, runs: list[str], output: Path):
    make(ckpt=runs, combine="weighted", weights=[3, 1], calibrator="temperature")
    tables = [pd.read_csv(Path(run) / "predictions" / "val.csv") for run in runs]
    one, two = (table[[f"prob_{c}" for c in CLASSES]].to_numpy() for table in tables)
    expected = fit_calibrator("temperature", 0.75 * one + 0.25 * two, np.arange(40) % 3).to_dict()
    assert load_bundle(output).calibrator == pytest.approx(expected)


def test_a_calibrator_comes_from_a_file(make, output: Path):
    file = output.parent / "c.json"
    file.write_text(json.dumps(Temperature(2.0).to_dict()))
    make(calibrator=str(file))
    assert load_bundle(output).calibrator == Temperature(2.0).to_dict()
    with pytest.raises(UserError, match="has a calibrator already"):
        make(ckpt=str(output), output=str(output.parent / "x.bundle"), calibrator="temperature")


def test_thresholds_carry_the_classes_they_are_for(make, output: Path, caplog: pytest.LogCaptureFixture):
    file = output.parent / "thresholds.json"
    file.write_text(json.dumps({"run": [FROZEN]}))
    make(thresholds=str(file))
    assert [each.to_dict() for each in load_bundle(output).thresholds] == [FROZEN]
    with caplog.at_level(logging.WARNING):
        make(ckpt=str(output), output=str(output.parent / "m.safetensors"), format="safetensors")
    assert "does not apply the model's thresholds" in caplog.text


def test_a_fixed_threshold_needs_no_validation_images(make, output: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("skinlab.commands.bundle.read_validation", lambda *_: pytest.fail("none are needed"))
    make(thresholds=["p>=0.3"], positive=["mel"])
    (fixed,) = load_bundle(output).thresholds
    assert (fixed.rule, fixed.threshold, fixed.positive, fixed.rows) == ("p>=0.3", 0.3, ["mel"], {})
    with pytest.raises(UserError, match="positive=mole: mole is no class of bkl, mel, nv"):
        make(thresholds=["p>=0.3"], positive=["mole"], overwrite=True)


def test_thresholds_chosen_out_of_fold_for_a_mean_of_models_get_a_warning(
    make, runs: list[str], output: Path, caplog: pytest.LogCaptureFixture
):
    file = output.parent / "thresholds.json"
    file.write_text(json.dumps({"run": [FROZEN | {"chosen_on": "out of fold, 40 images"}]}))
    make(thresholds=str(file))
    assert "less extreme" not in caplog.text  # one model
    make(ckpt=runs, thresholds=str(file), overwrite=True)
    assert "the threshold for f1: chosen out of fold" in caplog.text
    assert "mean of 2 models, which is less extreme" in caplog.text


@pytest.mark.parametrize(
    ("content", "settings", "message"),
    [
        ({"run": [FROZEN]}, {"positive": ["mel"]}, "positive= goes with rules"),
        ({"run": [FROZEN | {"positive": ["melanoma"]}]}, {}, "are not some of the model's bkl, mel, nv"),
        ({"run": [FROZEN | {"positive": None}]}, {}, "is no thresholds.json of an evaluation"),
        ({"a": [FROZEN], "b": [FROZEN]}, {}, "holds thresholds of 2 systems"),
        ({"run": [{"rule": "f1"}]}, {}, "a frozen threshold lacks threshold"),
        ([1], {}, "is no thresholds.json of an evaluation"),
    ],
)
def test_thresholds_that_mean_nothing_are_refused(make, output: Path, content: Any, settings: dict, message: str):
    file = output.parent / "t.json"
    file.write_text(json.dumps(content))
    with pytest.raises(UserError, match=message) as refused:
        make(thresholds=str(file), **settings)
    assert "\n" not in str(refused.value)
    assert not output.exists()


def test_rules_beside_a_calibrator_of_a_file_get_a_warning(make, output: Path, caplog: pytest.LogCaptureFixture):
    file = output.parent / "c.json"
    file.write_text(json.dumps(Temperature(2.0).to_dict()))
    make(calibrator=str(file), conformal=0.8)
    assert "the images that it was fitted on are not known" in caplog.text
    assert load_bundle(output).conformal.chosen_on == "val, 40 lesions"


def test_a_file_s_thresholds_beside_a_calibrator_get_a_warning_with_its_remedy(
    make, output: Path, caplog: pytest.LogCaptureFixture
):
    (output.parent / "t.json").write_text(json.dumps({"run": [FROZEN]}))
    make(thresholds=str(output.parent / "t.json"), calibrator="temperature")
    assert "rules are chosen on those: 'thresholds=[f1]'" in caplog.text


def test_rules_are_chosen_on_combined_and_calibrated_validation_rows(make, runs: list[str], output: Path):
    make(ckpt=runs, calibrator="vector", thresholds=["f1", "cost"], positive=["mel", "bkl"], cost_ratio=4.0)
    bundle = load_bundle(output)
    tables = [read_predictions(Path(run) / "predictions" / "val.csv") for run in runs]
    mean = np.mean([table.probabilities for table in tables], axis=0)
    assert bundle.calibrator == fit_calibrator("vector", mean, tables[0].target).to_dict()
    view = cross_fitted("vector", tables[0].with_probabilities(mean)).binary(["mel", "bkl"])
    for row, rule in zip(bundle.thresholds, ("f1", "cost"), strict=True):
        assert row.threshold == choose_threshold(view.probabilities[:, 1], view.target == 1, rule, cost_ratio=4)
        assert (row.rule, row.positive, row.chosen_on) == (rule, ["mel", "bkl"], f"{CROSS_FITTED}, 40 images")
        assert row.low is row.high is None


def test_rules_of_a_bundle_are_for_the_prevalence_where_it_is_used(make, output: Path):
    settings = {"thresholds": ["cost", "sensitivity>=0.9"], "positive": ["mel"], "overwrite": True}
    found = []
    for prevalence in (None, 0.02):
        make(**settings, prevalence=prevalence)
        found.append(load_bundle(output).thresholds)
    assert [[each.prevalence for each in rows] for rows in found] == [[None, None], [0.02, None]]
    assert found[0][0].threshold < found[1][0].threshold
    assert found[0][1].threshold == found[1][1].threshold


def test_a_calibrator_is_corrected_to_the_prevalence_and_no_rule_counts_it_twice(make, output: Path):
    p = np.random.default_rng(5).dirichlet(np.ones(3), 200)
    make(calibrator="temperature")
    counts, is_mel = np.bincount(np.arange(40) % 3), np.array(CLASSES) == "mel"
    factors = np.where(is_mel, 0.02 / (13 / 40), 0.98 / (27 / 40))
    mass = combine_members(load_bundle(output), p[None]) * factors
    corrected = mass / mass.sum(1, keepdims=True)
    weights = {"cost": np.where(is_mel, 30, 1), "prior:1": 1 / (factors * (counts + 1))}
    for rule, weight in weights.items():
        make(calibrator="temperature", prevalence=0.02, positive=["mel"], cost_ratio=30.0, decide=rule, overwrite=True)
        bundle = load_bundle(output)
        assert combine_members(bundle, p[None]) == pytest.approx(corrected)
        assert bundle.decision is not None
        assert bundle.decision(corrected, CLASSES).tolist() == (corrected * weight).argmax(1).tolist(), rule


def test_rules_are_chosen_on_cross_fitted_probabilities_at_the_prevalence(make, runs: list[str], output: Path):
    make(ckpt=runs[:1], calibrator="temperature", thresholds=["sensitivity>=0.9"], positive=["mel"], prevalence=0.02)
    rows = read_predictions(Path(runs[0]) / "predictions" / "val.csv")
    stated = StatedPrevalence(0.02, np.array(CLASSES) == "mel")
    found = cross_fit("temperature", rows.probabilities, rows.target, rows.group, stated=stated)
    view = rows.with_probabilities(found).binary(["mel"])
    chosen = choose_threshold(view.probabilities[:, 1], view.target == 1, "sensitivity>=0.9")
    assert load_bundle(output).thresholds[0].threshold == chosen


def test_a_prevalence_beside_a_calibrator_needs_to_know_the_positive_classes(make):
    with pytest.raises(UserError, match=r"prevalence=0.02 needs positive classes .* positive=\[bkl\]"):
        make(calibrator="temperature", prevalence=0.02)


def test_a_file_s_calibrator_at_a_prevalence_is_not_corrected_again(make, output: Path):
    make(calibrator="temperature", positive=["mel"], prevalence=0.02)
    (file := output.parent / "c.json").write_text(json.dumps(load_bundle(output).calibrator))
    p = np.random.default_rng(5).dirichlet(np.ones(3), 20)
    before = combine_members(load_bundle(output), p[None])
    make(calibrator=str(file), overwrite=True)
    assert combine_members(load_bundle(output), p[None]) == pytest.approx(before)
    with pytest.raises(UserError, match=r"corrected to prevalence=0\.02.* calibrator=temperature"):
        make(calibrator=str(file), decide="cost", positive=["mel"], prevalence=0.02, overwrite=True)


def test_the_rule_for_the_called_class_is_chosen_on_combined_and_calibrated_validation_rows(
    make, runs: list[str], output: Path
):
    make(ckpt=runs, calibrator="vector", decide="prior:auto", decide_by="f1_macro")
    bundle = load_bundle(output)
    assert bundle.decision is not None
    tables = [read_predictions(Path(run) / "predictions" / "val.csv") for run in runs]
    mean = np.mean([table.probabilities for table in tables], axis=0)
    rows = cross_fitted("vector", tables[0].with_probabilities(mean))
    assert bundle.decision == choose_decision(rows, DecisionSettings("prior:auto", "f1_macro"), CROSS_FITTED)
    file = output.parent / "decision.json"
    file.write_text(json.dumps({"run": bundle.decision.to_dict()}))
    make(decide=str(file), overwrite=True)
    assert load_bundle(output).decision == bundle.decision
    file.write_text(json.dumps({"run": bundle.decision.to_dict() | {"classes": list("abc")}}))
    for decide, message in ((str(file), "is for the classes a, b, c"), ("prior:3", "T from 0 to 1"), ("cost", "mel")):
        with pytest.raises(UserError, match=message):
            make(decide=decide, overwrite=True)


def test_an_overlap_takes_neither_calibrator_nor_thresholds_and_fits_no_graph(make, runs: list[str], output: Path):
    both = ensemble([load_bundle(run) for run in runs], runs)
    overlap = replace(both, method="overlap", learned={"thresholds": [0.3, 0.4]}, positive=["mel"])
    save_bundle(overlap, output)
    there = {"ckpt": str(output), "output": str(output.parent / "again.bundle")}
    for settings in ({"thresholds": ["f1"]}, {"calibrator": "vector"}):
        with pytest.raises(UserError, match="is an overlap with thresholds of its own"):
            make(**there | settings)
    with pytest.raises(UserError, match="a graph can't compute the method overlap of this ensemble"):
        make(**there | {"format": "onnx", "output": str(output.parent / "m.onnx")})
    make(**there)
    unhashed = {"checkpoint_sha256": ""}
    assert load_bundle(output.parent / "again.bundle").meta() | unhashed == overlap.meta() | unhashed


def test_members_are_averaged_within_their_teams_first(runs: list[str]):
    p = np.random.default_rng(0).dirichlet(np.ones(3), (3, 20))
    one, two = (load_bundle(run).members[0] for run in runs)
    three = Bundle((one, two, one), CLASSES, teams=(0, 0, 1))
    teams = np.stack([p[:2].mean(0), p[2]])
    for method in ("mean", "geometric"):
        assert np.array_equal(combine_members(replace(three, method=method), p), combine(teams, method))
    weighted = replace(three, method="weighted", learned={"weights": [0.2, 0.8]})
    assert np.array_equal(combine_members(weighted, p), combine(teams, "weighted", np.array([0.2, 0.8])))
    assert np.array_equal(combine_members(replace(three, members=(one,), teams=()), p[:1]), p[0])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ckpt": None}, "ckpt= is missing"),
        ({"ckpt": []}, "ckpt= is missing"),
        ({"ckpt": "/no/where"}, "no such file or directory"),
        ({"output": None}, r"set output=FILE\.bundle"),
        ({"output": "/no/where/m.bundle"}, "there is no folder /no/where"),
        ({"output": "m.onnx"}, r"the name of a \.bundle file is expected, .* or set format=onnx"),
        ({"format": "onx"}, "did you mean onnx"),
        ({"combine": "median"}, "choose mean, geometric, weighted"),
        ({"combine": "overlap"}, r"skinlab\.ensemble runs=A,B method=overlap"),
        ({"thresholds": ["best"], "positive": ["mel"]}, "threshold rule 'best' is unknown"),
        ({"thresholds": ["f1"]}, "name some, not all, of the classes bkl, mel, nv"),
        ({"thresholds": ["f1"], "positive": ["x"]}, "positive=x: x is no class of"),
        ({"positive": ["mel"]}, "positive= goes with rules"),
        ({"weights": [1]}, "takes no weights"),
        ({"weights": ["x"], "combine": "weighted"}, r"weights\.0=x: a number is expected"),
        ({"weights": 0.5}, "a list is expected"),
        ({"calibrator": "temprature"}, "calibrator=temprature: the calibrator can't be read .No such file"),
        ({"thresholds": "/no/where"}, "thresholds=/no/where: the thresholds.json of an evaluation can't be read"),
        ({"gate": "yes"}, "gate=yes: auto, fit or none is expected"),
        ({"gate_alarms": 0.0}, r"gate_alarms=0\.0: a number above 0"),
        ({"gate_images": 0}, "a number of at least 1"),
        ({"num_workers": -1}, "give auto or a number"),
    ],
)
def test_mistakes_are_refused_before_anything_is_written(make, output: Path, settings: dict, message: str):
    with pytest.raises(UserError, match=message) as refused:
        make(**settings)
    assert "\n" not in str(refused.value)
    assert not list(output.parent.iterdir())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ckpt": [__file__, "/no/where"]}, "ckpt=/no/where: no such file or directory"),
        ({"gate_split": "/no/where.csv"}, r"/no/where\.csv is not there"),
        ({"ckpt": __file__, "gate": "fit"}, "is no run with a split"),
    ],
)
def test_missing_files_are_refused_before_a_model_is_loaded(make, monkeypatch, settings: dict, message: str):
    monkeypatch.setattr(bundling, "load_bundle", lambda *_: pytest.fail("loaded"))
    with pytest.raises(UserError, match=message):
        make(**settings)


@pytest.mark.parametrize("content", ["{}", "[1]", '{"method": "isotonic", "knots": 3, "values": 1, "prior": 2}', "x"])
def test_what_is_no_calibrator_is_refused(make, output: Path, content: str):
    (output.parent / "c.json").write_text(content)
    with pytest.raises(UserError, match="calibrator"):
        make(calibrator=str(output.parent / "c.json"))
    assert not output.exists()


def test_what_exists_stays(make, output: Path):
    output.write_text("precious")
    with pytest.raises(UserError, match="set overwrite=true"):
        make()
    assert output.read_text() == "precious"


def test_the_command_reports_a_mistake_in_one_line(run):
    done = run("bundle", "ckpt=none.ckpt", "output=m.bundle")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ckpt=none.ckpt: no such file")
    assert done.stderr.count("\n") == 1


def test_an_output_that_another_command_writes_is_refused(make, output: Path, monkeypatch: pytest.MonkeyPatch):
    def locked(*_: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr("fcntl.flock", locked)
    with pytest.raises(UserError, match=rf"output={output} is in use by process"):
        make()
    assert not output.exists()


def test_validation_predictions_that_allow_no_threshold_are_named(make, runs, output, tmp_path):
    shutil.copytree(runs[0], run := tmp_path / "run")
    table = run / "predictions" / "val.csv"
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:2]))
    with pytest.raises(UserError, match=re.escape(f" on {table}: ")):
        make(ckpt=str(run), thresholds=["f1"], positive=["mel"])
    assert not output.exists()


def test_conformal_sets_are_chosen_on_the_calibrated_validation_rows(make, runs: list[str], output: Path):
    make(calibrator="temperature", conformal=0.8)
    bundle = load_bundle(output)
    rows = cross_fitted("temperature", read_predictions(Path(runs[0]) / "predictions" / "val.csv"))
    assert bundle.conformal is not None
    assert bundle.conformal.thresholds == conformal_thresholds(rows.probabilities, rows.target, 0.8).tolist()
    assert (bundle.conformal.level, bundle.conformal.chosen_on) == (0.8, f"{CROSS_FITTED}, 40 lesions")
    assert bundle.meta()["conformal"]["groups"] == [14, 13, 13]
    with pytest.raises(UserError, match=r"conformal=0.99 on .*val.csv: a coverage of 0.99 needs 99 lesions"):
        make(conformal=0.99, overwrite=True)


def test_a_bundle_records_what_each_part_was_fitted_on(make, runs: list[str], output: Path, phantom: Path, monkeypatch):
    monkeypatch.setattr("skinlab.inference.gate.MIN_IMAGES", 20)
    split = read_ham10000(phantom)[["path", "group"]].assign(split="train")
    split.to_csv(output.parent / "s.csv", index=False)
    make(calibrator="temperature", conformal=0.8, decide="prior:auto", gate_split=str(output.parent / "s.csv"))
    bundle, rows = load_bundle(output), read_predictions(Path(runs[0]) / "predictions" / "val.csv")
    assert [(fit.what, fit.chosen_on) for fit in bundle.fits] == [
        ("the calibrator temperature", "val, 40 images"),
        ("the input gate", f"train, {len(split)} images"),
        ("the rule prior:auto", f"{CROSS_FITTED}, 40 images"),
        ("the conformal sets", f"{CROSS_FITTED}, 40 lesions"),
    ]
    assert all(shared_rows(rows, fit.rows)[0] == 40 for fit in bundle.fits if fit.what != "the input gate")
    assert shared_rows(RowIds.of(split), bundle.fitted_on["gate"].rows)[0] == len(split)
    assert [each["what"] for each in bundle.meta()["fitted_on"]] == ["the calibrator temperature"]
    file = output.parent / "c.json"
    file.write_text(json.dumps(Temperature(2.0).to_dict()))
    make(ckpt=str(output), calibrator=str(file), gate="none", overwrite=True)
    assert load_bundle(output).fits == []


def test_a_gate_is_not_measured_on_groups_that_it_is_fitted_on(make, output: Path):
    table = pd.DataFrame({"path": ["a", "b", "c"], "group": ["g", "g", "h"], "split": ["train", "val", "test"]})
    table.to_csv(output.parent / "s.csv", index=False)
    with pytest.raises(UserError, match=r"chosen on 1 of these 2 images .*its group g.* split the images by group"):
        make(gate_split=str(output.parent / "s.csv"))


def test_an_evaluation_of_rows_that_a_calibrator_was_fitted_on_is_told(make, runs: list[str], output: Path):
    make(calibrator="temperature")
    table, path = pd.read_csv(Path(runs[0]) / "predictions" / "val.csv"), output.parent / "p.csv"
    for rename, n in ((str, 40), (lambda name: f"other {name}", 0)):
        table.assign(image_id=table["image_id"].map(rename)).to_csv(path, index=False)
        path.with_suffix(".meta.json").write_text(json.dumps(load_bundle(output).meta()))
        (system,) = find_systems([str(path)], split="auto")
        told = [text for text in system_cautions(system) if "chose the calibrator temperature (val, 40 images" in text]
        assert [f"{n} of these 40 images" in text for text in told] == [True] * bool(n)
        assert "fitted_on" not in system.sources[0]["meta"]
