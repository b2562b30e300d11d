"""``skinlab.evaluate`` and ``skinlab.ensemble`` as typed, on runs written by hand."""

import html
import json
import re
import subprocess
import sys

import cv2
import numpy as np
import pandas as pd
import pytest

from tests.evidence_schema import validate_evidence

QUICK = ("n_draws=100", "calibration=false")


def write_table(path, *, seed=0, n=120, signal=1.5, rows="i", classes=("nv", "mel", "bcc")):
    """Predictions of n images, two a lesion."""
    rng = np.random.default_rng(1)
    target = rng.integers(len(classes), size=n)
    logits = signal * np.eye(len(classes))[target] + np.random.default_rng(seed).normal(size=(n, len(classes)))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    frame = pd.DataFrame(p.round(6), columns=[f"prob_{name}" for name in classes])
    frame.insert(0, "label", np.array(classes)[target])
    frame.insert(0, "group", [f"{rows}{k // 2}" for k in range(n)])
    frame.insert(0, "image_id", [f"{rows}{k}" for k in range(n)])
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_csv(path, index=False)
    return path


def test_two_tables_end_in_evidence_pages_and_a_comparison(run, tmp_path):
    a, b = write_table(tmp_path / "good.csv", signal=2.5), write_table(tmp_path / "bad, old.csv", signal=0.2, seed=1)
    b = b.rename(tmp_path / "bad.csv")
    words = ["evaluate", f"predictions={a},{b}", f"output={tmp_path / 'out'}", "positive=[mel,bcc]", "cross_fit=true"]
    words.append("compare_by=[auroc_macro]")
    done = run(*words, *QUICK)
    assert done.returncode == 0, done.stderr
    assert "bad has a lower macro" in " ".join(done.stdout.split())
    assert "of these predictions alone" in done.stdout
    validate_evidence(tmp_path / "out")
    evidence = json.loads((tmp_path / "out" / "evidence.json").read_text())
    assert [system["name"] for system in evidence["systems"]] == ["good", "bad"]
    assert evidence["systems"][0]["thresholds"][0]["applied_to"] == "cross-fitted"
    benefit = evidence["net_benefit"]["differences"]
    assert [row["threshold"] for row in benefit] == [0.05, 0.1, 0.2, 0.3]
    assert benefit[0]["calibrated"] is None  # calibration=false
    assert "Net benefit of bad minus good (prevalence as in the images" in evidence["net_benefit"]["sentences"][0]
    assert "skinlab.evaluate" in evidence["provenance"]["command"]
    assert (tmp_path / "out" / "report.html").read_text().startswith("<!doctype html>")
    assert "good" in (tmp_path / "out" / "model_card.md").read_text()
    thresholds = json.loads((tmp_path / "out" / "thresholds.json").read_text())
    assert set(thresholds) == {"good", "bad"}
    assert [bool(row["rows"]) for row in thresholds["good"]] == [True, *(len(thresholds["good"]) - 1) * [False]]
    again = run(*words, *QUICK)
    assert again.returncode == 2
    assert "overwrite=true" in again.stderr


def test_counts_of_one_are_in_the_singular(run, tmp_path):
    """One melanoma, one group, one difference of the two tables, one image with a source of its own."""
    tables = []
    for name, called in (("a", 0.8), ("b", 0.2)):
        p = np.array([0.9, called, *np.linspace(0.1, 0.3, 10)])
        rows = {"image_id": [f"i{k}" for k in range(12)], "group": ["g1", "g1", *(f"h{k}" for k in range(10))]}
        rows |= {"source": ["x", *11 * ["y"]], "label": ["mel", *11 * ["nv"]], "prob_nv": 1 - p, "prob_mel": p}
        pd.DataFrame(rows).to_csv(tmp_path / f"{name}.csv", index=False)
        tables.append(str(tmp_path / f"{name}.csv"))
    out = tmp_path / "out"
    done = run("evaluate", f"predictions={','.join(tables)}", f"output={out}", "cross_fit=true", *QUICK)
    assert done.returncode == 0, done.stderr
    pages = [html.unescape((out / name).read_text()) for name in ("report.html", "model_card.md", "evidence.json")]
    assert "the decisions differ in 1 group, at least" in pages[0] or "1 group of mel" in pages[0]
    for text in [*pages, done.stdout, done.stderr]:
        words = " ".join(re.sub(r"<[^>]+>", " ", text).split())
        found = re.search(r".{40}\b1 (images|groups|lesions|rows|classes|systems|runs|positives|subgroups)\b", words)
        assert found is None, found and found[0]


def test_frozen_thresholds_are_applied_to_other_rows_only(run, tmp_path):
    old, new = write_table(tmp_path / "old.csv"), write_table(tmp_path / "new.csv", rows="n", seed=3)
    common = ["positive=[mel]", *QUICK]
    first = run("evaluate", f"predictions={old}", f"output={tmp_path / 'a'}", "cross_fit=true", *common)
    assert first.returncode == 0, first.stderr
    frozen = f"apply_thresholds={tmp_path / 'a' / 'thresholds.json'}"
    applied = run("evaluate", f"predictions={new}", f"output={tmp_path / 'b'}", frozen, *common)
    assert applied.returncode == 0, applied.stderr
    rows = json.loads((tmp_path / "b" / "evidence.json").read_text())["systems"][0]["thresholds"]
    assert rows[0]["chosen_on"] == "old, 120 images"
    refused = run("evaluate", f"predictions={old}", f"output={tmp_path / 'c'}", frozen, *common)
    assert refused.returncode == 2
    assert "which is optimistic: choose it on images of other lesions" in refused.stderr


def test_a_rule_for_the_called_class_is_frozen_and_applied_to_other_rows_only(run, tmp_path):
    old, new = write_table(tmp_path / "old.csv"), write_table(tmp_path / "new.csv", rows="n", seed=3)
    chosen = run(
        "evaluate", f"predictions={old}", f"output={tmp_path / 'a'}", "cross_fit=true", "decide=prior:1", *QUICK
    )
    assert chosen.returncode == 0, chosen.stderr
    (frozen,) = json.loads((tmp_path / "a" / "decision.json").read_text()).values()
    counts = pd.read_csv(old)["label"].value_counts() + 1  # smoothed, so that an absent class has a weight
    expected = np.array([1 / counts[name] for name in frozen["classes"]])
    np.testing.assert_allclose(frozen["weights"] / np.sum(frozen["weights"]), expected / expected.sum())
    rule = f"apply_decision={tmp_path / 'a' / 'decision.json'}"
    applied = run("evaluate", f"predictions={new}", f"output={tmp_path / 'b'}", rule, *QUICK)
    assert applied.returncode == 0, applied.stderr
    validate_evidence(tmp_path / "b")
    block = json.loads((tmp_path / "b" / "evidence.json").read_text())["systems"][0]["decision"]
    table = pd.read_csv(new)
    product = table[[f"prob_{name}" for name in frozen["classes"]]].to_numpy() * frozen["weights"]
    called = np.array(frozen["classes"])[product.argmax(1)]
    assert block["metrics"]["accuracy"]["value"] == pytest.approx((called == table["label"]).mean())
    refused = run("evaluate", f"predictions={old}", f"output={tmp_path / 'c'}", rule, *QUICK)
    assert refused.returncode == 2
    assert "optimistic" in refused.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["predictions=null"], "predictions= is missing"),
        (["predictions=none.csv"], "none.csv: no such file"),
        (["predictions={a}", "positive=[mle]"], "positive=mle: mle is no class of"),
        (["predictions={a}", "split=tset"], "split=tset: auto, val or test is expected"),
        (["predictions={a}", "n_draws=10"], "n_draws=10"),
        (["predictions={a}", "level=95.0"], "level=95.0"),
        (["predictions={a}", "threshold=0.3"], "threshold: the config has no such key (did you mean thresholds?)"),
        (["predictions={a}", "thresholds=[best]"], "threshold rule 'best' is unknown"),
        (["predictions={a},{b}", "compare_by=[pr_auc]", *QUICK], "pr_auc is no metric"),
        (["predictions={a},{b}", "reference=c", *QUICK], "reference=c is none of the systems"),
        (
            ["predictions={a},{other}", "unpaired=false", *QUICK],
            "other.csv) has no row for 120 images that a (",
        ),
        (
            ["predictions={a}", "apply_decision={a}", "decide=prior:1"],
            "decide=prior:1 chooses a rule, and apply_decision=",
        ),
        (["predictions={a}", "apply_thresholds={a}"], "the thresholds.json of an evaluation"),
    ],
)
def test_mistakes_end_with_one_line(run, tmp_path, words, message):
    places = {
        name: write_table(tmp_path / f"{name}.csv", rows=name[0] if name == "other" else "i")
        for name in ("a", "b", "other")
    }
    done = run("evaluate", *(word.format(**places) for word in words), f"output={tmp_path / 'out'}")
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("method", ["mean", "weighted", "overlap"])
def test_an_ensemble_is_judged_against_its_members(run, tmp_path, method):
    tables = ",".join(str(write_table(tmp_path / f"m{k}.csv", seed=k)) for k in range(3))
    out = tmp_path / "out"
    words = [f"runs={tables}", f"output={out}", f"method={method}", "positive=[mel]", "max_size=2"]
    done = run("ensemble", *words, *QUICK)
    assert done.returncode == 0, done.stderr
    validate_evidence(out)
    evidence = json.loads((out / "evidence.json").read_text())
    assert [system["name"] for system in evidence["systems"]] == ["m0", "m1", "m2", f"{method} of 3"]
    facts = evidence["ensemble"]
    assert len(facts["diversity"]) == 3
    assert (facts["search"] is not None) == (method == "mean")
    assert "cost" in facts["equal_cost_baseline"]
    assert {each["b"] for each in evidence["comparisons"]} | {each["a"] for each in evidence["comparisons"]} >= {
        "m0",
        "m2",
    }
    (table,) = (out / "predictions").glob("*.csv")
    again = run("evaluate", f"predictions={table}", f"output={tmp_path / 'again'}", *QUICK)
    assert again.returncode == 0, again.stderr
    if method == "mean":
        members = [pd.read_csv(tmp_path / f"m{k}.csv")["prob_mel"] for k in range(3)]
        assert np.allclose(pd.read_csv(table)["prob_mel"], np.mean(members, axis=0), atol=1e-5)


def test_many_systems_are_compared_with_the_best_and_not_in_pairs(run, tmp_path):
    tables = ",".join(str(write_table(tmp_path / f"m{k:02}.csv", seed=k)) for k in range(13))
    out = tmp_path / "out"
    done = run("evaluate", f"predictions={tables}", f"output={out}", "compare_by=[balanced_accuracy,brier]", *QUICK)
    assert done.returncode == 0, done.stderr
    validate_evidence(out)
    evidence = json.loads((out / "evidence.json").read_text())
    assert evidence["comparisons"] == []
    assert [each["metric"] for each in evidence["best"]] == ["balanced_accuracy", "brier"]
    page, card = (out / "report.html").read_text(), (out / "model_card.md").read_text()
    for each in evidence["best"]:
        assert each["sentence"] in " ".join(done.stdout.split())
        assert each["sentence"] in card
    assert "Which system may be the best" in page
    assert "Holm" not in page
    words = ["reference=m00", "overwrite=true", "compare_by=[balanced_accuracy]"]
    done = run("evaluate", f"predictions={tables}", f"output={out}", *words, *QUICK)
    assert done.returncode == 0, done.stderr
    assert len(json.loads((out / "evidence.json").read_text())["comparisons"]) == 12


def test_an_ensemble_of_one_is_refused(run, tmp_path):
    table = write_table(tmp_path / "m.csv")
    done = run("ensemble", f"runs={table}", f"output={tmp_path / 'out'}")
    assert done.returncode == 2
    assert "takes two or more" in done.stderr


@pytest.mark.parametrize("module", ["evaluate", "ensemble"])
def test_tables_are_judged_without_torch(module):
    script = f"import sys, skinlab.commands.{module}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_what_is_no_image_is_left_out_of_the_report(tmp_path, caplog):
    from skinlab.assessment.evidence_files import worst_images

    cv2.imwrite(str(tmp_path / "good.png"), np.full((40, 60, 3), 90, np.uint8))
    (tmp_path / "bad.jpg").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"
    )  # Pillow would run Ghostscript
    names = {"good": "good.png", "bad": "bad.jpg", "gone": "gone.jpg"}
    worst = [{"image_id": image_id, "path": str(tmp_path / name)} for image_id, name in names.items()]
    assert list(worst_images({"systems": [{"worst_mistakes": worst}]})) == ["good"]
    assert "the report shows bad without its image" in caplog.text


def test_subgroups_come_from_a_table_of_metadata(run, tmp_path):
    table, metadata = write_table(tmp_path / "p.csv", n=240), tmp_path / "m.csv"
    ages = "\n".join(f"i{k}.jpg,{20 + 60 * (k // 2 % 2)},{'f' if k // 2 % 3 else 'm'},{k}" for k in range(240))
    metadata.write_text(f"image,age_approx,sex,n\n{ages}\n")
    words = ["evaluate", f"predictions={table}", f"output={tmp_path / 'out'}", "positive=[mel]", *QUICK]
    refused = run(*words, f"metadata={metadata}", "subgroups=[skin_tone]")
    assert (refused.returncode, "subgroups=skin_tone: the images have no" in refused.stderr) == (2, True)
    done = run(*words, f"metadata={metadata}", "age_bands=[50]")
    assert done.returncode == 0, done.stderr
    validate_evidence(tmp_path / "out")
    (system,) = json.loads((tmp_path / "out" / "evidence.json").read_text())["systems"]
    lowest = system["subgroups"]["lowest"]
    assert lowest["sentence"].startswith("Of 4 subgroups")
    assert ("Of 4 subgroups" in " ".join(done.stdout.split())) == (lowest["p_holm"] < 0.05)
    found = [(each["column"], each["value"], each["rows"]) for each in system["subgroups"]["subgroups"]]
    assert found == [("age", "0-49", 120), ("age", "50+", 120), ("sex", "f", 160), ("sex", "m", 80)]
    for name in ("report.html", "model_card.md"):
        assert "50+" in (tmp_path / "out" / name).read_text()


def test_paired_comparisons_and_class_tables_are_at_the_rules_of_the_headline(run, tmp_path):
    a, b = (
        write_table(tmp_path / f"{name}.csv", signal=2, seed=seed, classes=("nv", "mel"))
        for name, seed in (("a", 0), ("b", 1))
    )
    words = [f"predictions={a},{b}", f"output={tmp_path / 'out'}", *QUICK, "cross_fit=true", "decide=thresholds"]
    done = run("evaluate", *words, "thresholds=[sensitivity>=0.9]", "compare_by=[sensitivity,f1_macro,auroc_macro]")
    assert done.returncode == 0, done.stderr
    validate_evidence(tmp_path / "out")
    evidence = json.loads((tmp_path / "out" / "evidence.json").read_text())
    first, second = evidence["systems"]
    found = {pair["metric"]: pair for pair in evidence["comparisons"]}
    for metric, values in (
        ("sensitivity", [each["thresholds"][0]["sensitivity"]["value"] for each in (first, second)]),
        ("f1_macro", [each["decision"]["metrics"]["f1_macro"]["value"] for each in (first, second)]),
        ("auroc_macro", [each["metrics"]["auroc_macro"]["value"] for each in (first, second)]),
    ):
        assert found[metric]["difference"]["value"] == pytest.approx(values[1] - values[0]), metric
    assert found["sensitivity"]["operating_point"] == "sensitivity ≥ 0.9, cross-fitted"
    assert found["f1_macro"]["operating_point"] == "called class, thresholds, cross-fitted"
    assert found["auroc_macro"]["operating_point"] == ""
    page = (tmp_path / "out" / "report.html").read_text()
    assert "F1 are those of the called class, thresholds, cross-fitted (no threshold)" in page
    assert "Predicted is the called class, thresholds, cross-fitted." in page
    recall = first["decision"]["metrics"]["recall/nv"]["value"]
    table = page.partition("Metrics of each class")[2].partition("</table>")[0]
    assert f"{recall:.3f}" in table


def test_unpaired_comparisons_are_at_the_rules_of_the_headline(run, tmp_path):
    home, away = write_table(tmp_path / "home.csv", signal=3), write_table(tmp_path / "away.csv", rows="x", signal=0.3)
    words = [f"predictions={home},{away}", f"output={tmp_path / 'out'}", *QUICK, "cross_fit=true", "decide=prior:auto"]
    words.append("positive=[mel]")
    done = run("evaluate", *words, "thresholds=[sensitivity>=0.9]", "compare_by=[sensitivity,f1_macro]")
    assert done.returncode == 0, done.stderr
    validate_evidence(tmp_path / "out")
    evidence = json.loads((tmp_path / "out" / "evidence.json").read_text())
    for system in evidence["systems"]:
        found = evidence["unpaired"]["metrics"][system["name"]]
        for name in ("sensitivity", "specificity"):
            assert found[name]["value"] == pytest.approx(system["thresholds"][0][name]["value"])
        assert found["f1_macro"]["value"] == pytest.approx(system["decision"]["metrics"]["f1_macro"]["value"])
    points = [pair["operating_point"] for pair in evidence["unpaired"]["comparisons"]]
    assert points == ["sensitivity ≥ 0.9, cross-fitted", "called class, prior:auto, cross-fitted"]
    assert "sensitivity (sensitivity ≥ 0.9, cross-fitted)" in evidence["unpaired"]["comparisons"][0]["sentence"]
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Macro F1 (called class, prior:auto, cross-fitted)" in page


def test_two_sets_of_images_are_compared_unpaired(run, tmp_path):
    home, away = write_table(tmp_path / "home.csv", signal=3), write_table(tmp_path / "away.csv", rows="x", signal=0.3)
    words = ["evaluate", f"predictions={home},{away}", f"output={tmp_path / 'out'}", "n_draws=300", "calibration=false"]
    claim = ["endpoint=auroc_macro", "hypothesis=noninferiority", "margin=0.05", "reference=home"]
    done = run(*words[:2], f"output={tmp_path / 'claim'}", *QUICK, *claim)
    assert "Primary endpoint: no evidence that away is not inferior to home by 0.05" in " ".join(done.stdout.split())
    assert "100 bootstrap samples can't give 5 comparisons a p under 0.05" in " ".join(done.stdout.split())
    again = write_table(tmp_path / "again.csv", signal=2)
    refused = run("evaluate", f"predictions={home},{again}", *words[2:], "unpaired=true")
    assert "home and again share 120 images (first: i0, by id)" in refused.stderr
    for place, meta in ((home, {}), (away, {"calibrator": {"method": "vector"}})):
        place.with_suffix(".meta.json").write_text(json.dumps({"classes": ["nv", "mel", "bcc"]} | meta))
    done = run(*words)
    assert done.returncode == 0, done.stderr
    assert "home has a higher balanced accuracy on its images than away" in " ".join(done.stdout.split())
    validate_evidence(tmp_path / "out")
    evidence = json.loads((tmp_path / "out" / "evidence.json").read_text())
    assert evidence["comparisons"] == []
    assert len(evidence["unpaired"]["comparisons"]) == 5
    assert "The probabilities of away are calibrated, those of home are not" in " ".join(done.stdout.split())
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Comparison on different images" in page
    assert "evaluated on the same images" not in page


def test_a_fixed_threshold_needs_no_images_to_be_chosen_on(run, tmp_path):
    a, b = write_table(tmp_path / "a.csv"), write_table(tmp_path / "b.csv", seed=2)
    common = ["positive=[mel]", "thresholds=[p>=0.3]", "net_benefit_at=[]", *QUICK]
    done = run(
        "evaluate", f"predictions={a},{b}", f"output={tmp_path / 'out'}", "expect={n: 100, prevalence: 0.1}", *common
    )
    assert done.returncode == 0, done.stderr
    shown = " ".join(done.stdout.split())
    assert "Sensitivity (mel; p ≥ 0.3)" in shown
    assert "cross-fit it" not in shown
    validate_evidence(tmp_path / "out")
    evidence = json.loads((tmp_path / "out" / "evidence.json").read_text())
    first, table = evidence["systems"][0], pd.read_csv(a)
    (row,) = first["thresholds"]
    assert row["sensitivity"]["value"] == pytest.approx((table["prob_mel"] >= 0.3)[table["label"] == "mel"].mean())
    assert first["expectation"]["at_thresholds"][0]["rule"] == "p>=0.3"
    report = (tmp_path / "out" / "report.html").read_text()
    assert "Fixed beforehand, applied to" in report
    assert "p \N{GREATER-THAN OR EQUAL TO} 0.3, fixed beforehand" in report
    frozen = f"apply_thresholds={tmp_path / 'first.json'}"
    content = json.loads((tmp_path / "out" / "thresholds.json").read_text())
    (tmp_path / "first.json").write_text(json.dumps({"a": content["a"]}))
    again = run("evaluate", f"predictions={a}", f"output={tmp_path / 'again'}", frozen, *common[2:])
    assert again.returncode == 0, again.stderr
    number = run("evaluate", f"predictions={a}", f"output={tmp_path / 'no'}", "thresholds=[0.3]")
    assert (number.returncode, "is written p>=0.3" in number.stderr) == (2, True)


def test_a_vendor_s_spreadsheet_is_evaluated_by_patient(run, tmp_path):
    table = pd.read_csv(write_table(tmp_path / "a.csv", n=160, classes=("nv", "mel"))).drop(
        columns=["group", "prob_nv"]
    )
    known = pd.DataFrame({"File name": table["image_id"] + ".JPG", "Patient number": [k // 4 for k in range(160)]})
    known["Age (years)"] = 20 + np.arange(160) % 60
    known.to_csv(tmp_path / "patients.csv", index=False)
    columns = ["columns.patient=Patient number", 'columns.age="Age (years)"']
    table.to_csv(tmp_path / "vendor.csv", index=False)
    words = [f"predictions={tmp_path / 'vendor.csv'}", f"metadata={tmp_path / 'patients.csv'}", "units=[patient]"]
    done = run("evaluate", *words, *columns, "thresholds=[p>=0.3]", f"output={tmp_path / 'out'}", *QUICK)
    assert done.returncode == 0, done.stderr
    system, *_ = (evidence := json.loads((tmp_path / "out" / "evidence.json").read_text()))["systems"]
    score, truth = table["prob_mel"].to_numpy().reshape(-1, 4).max(1), (table["label"] == "mel").to_numpy()
    called = score >= 0.3
    (patient,) = system["units"]
    assert (system["groups"], patient["rows"], patient["each_image_a_lesion"]) == (40, 40, True)
    positive = truth.reshape(-1, 4).any(1)
    assert patient["binary"]["sensitivity"]["value"] == pytest.approx(called[positive].mean())
    assert any("images of one patient are a group" in text for text in evidence["cautions"])
    assert not any("No two images share a group" in text for text in evidence["cautions"])
    assert {each["column"] for each in system["subgroups"]["subgroups"]} == {"age"}
    same = run(
        "evaluate",
        *words,
        "columns.group=Patient number",
        "columns.patient=Patient number",
        f"output={tmp_path / 'b'}",
        *QUICK,
    )
    assert same.returncode == 0, same.stderr
    wrong = run("evaluate", *words, "columns.patient=Patient numbr", f"output={tmp_path / 'c'}", *QUICK)
    assert (wrong.returncode, "did you mean Patient number" in wrong.stderr) == (2, True)
