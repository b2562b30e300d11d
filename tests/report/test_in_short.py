"""The first block of a report answers five questions, whatever is compared."""

import shlex

import pytest

from skinlab.cli.command_line import prepare_command_line
from skinlab.cli.config import compose_settings
from skinlab.cli.registry import list_settings
from skinlab.report.card import render_card
from skinlab.report.evidence_tables import comparison_sentence
from skinlab.report.in_short import in_short
from skinlab.report.operating_points import against_best_member
from skinlab.report.page import render_report
from tests.report.conftest import empty_system, evidence_of, interval, system

QUESTIONS = ["Sensitivity for mel", "At which threshold", "How sure", "Better than another system", "On another clinic"]


def one():
    return evidence_of(
        [system("lite0") | {"groups_per_class": {"nv": 12, "mel": 8}, "spread": None, "pooled_folds": None}]
    )


def unpaired():
    found = evidence_of([system("home"), system("away")])
    found["comparisons"] = []
    pair = {"a": "away", "b": "home", "metric": "auroc_macro", "difference": interval(-0.1), "p": 0.01, "p_holm": 0.01}
    pair |= {"class_mix": False, "significant": True, "sentence": "home has a higher macro AUROC."}
    found["unpaired"] = {"classes": ["nv", "mel"], "comparisons": [pair], "metrics": {"home": {}, "away": {}}}
    return found


def test_an_ensemble_is_compared_with_its_best_member():
    found = evidence_of([system("a"), system("b"), system("both")])
    found["ensemble"] = {"members": ["a", "b"]}
    for each, value in zip(found["systems"], (0.5, 0.6, 0.7), strict=True):
        each["binary"]["metrics"]["f1_positive"] = interval(value)
        each["thresholds"] = []
    pair = {"a": "both", "difference": interval(0.1), "p": 0.01, "p_holm": 0.01, "significant": True}
    found["comparisons"] = [
        pair | {"b": name, "metric": metric, "sentence": f"both against {name} by {metric}."}
        for name in ("a", "b")
        for metric in ("pr_auc_macro", "f1_positive")
    ]
    assert against_best_member(found) == [found["comparisons"][3]]
    assert answers(found)["Better than another system"][0] == "both against b by f1_positive."
    assert comparison_sentence(found) == "both against b by f1_positive. 4 of 4 differences are significant."


def answers(evidence):
    lines = in_short(evidence)
    assert len(lines) == 5
    return {line.question: (line.answer, line.command) for line in lines}


def test_of_one_run():
    found = answers(one())
    assert list(found) == QUESTIONS
    assert found["Sensitivity for mel"][0] == (
        "0.700 [0.650, 0.750], specificity 0.700 [0.650, 0.750], F1 0.700 [0.650, 0.750]."
    )
    chosen = "Chosen for sensitivity ≥ 0.95 on val, 40 images (43 positives), applied to test, 30 images."
    assert found["At which threshold"] == (f"p ≥ 0.120 [0.080, 0.200]. {chosen}", "")
    assert found["How sure"][0] == (
        "95\xa0% intervals in brackets, from 30 images (test) of 20 groups (lesions or patients), 8 mel. One "
        "training: of these weights, another training may differ."
    )
    assert found["Better than another system"] == (
        "Not evaluated.",
        "python -m skinlab.evaluate predictions=run/test.csv,OTHER output=DIR",
    )
    assert found["On another clinic"][1].endswith("predictions=run/test.csv,ELSEWHERE unpaired=true output=DIR")


def test_commands_keep_what_reading_the_table_needed_in_a_readable_form():
    whole = one()
    typed = ["predictions=['my tables/a.csv']", "names=['ours']", 'columns.label="my dx"', "label_map={0: nv, 1: mel}"]
    typed += ["labels=truth.csv", 'thresholds=["sensitivity>=0.9"]', "output=a", "overwrite=true", "unpaired=auto"]
    whole["provenance"]["command"] = shlex.join(["python", "-m", "skinlab.evaluate", *typed])
    whole["systems"][0]["sources"][0]["path"] = "my tables/a.csv"
    found = answers(whole)
    assert found["Better than another system"][1] == (
        "python -m skinlab.evaluate 'predictions=my tables/a.csv,OTHER' 'columns.label=\"my dx\"' "
        "'label_map={0: nv, 1: mel}' labels=truth.csv 'thresholds=sensitivity>=0.9' names=ours,OTHER output=DIR"
    )
    elsewhere = found["On another clinic"][1]
    assert "labels=LABELS_OF_BOTH" in elsewhere
    assert "names=ours,ELSEWHERE unpaired=true" in elsewhere


def test_commands_of_an_ensemble_have_settings_of_an_evaluation_alone():
    whole = one()
    whole["provenance"]["command"] = shlex.join(
        ["python", "-m", "skinlab.ensemble", "runs=['a','b']", "method=rank", "positive=['mel']", "output=e"]
    )
    whole["systems"][0]["thresholds"] = None
    found = answers(whole)
    assert found["At which threshold"][1] == (
        "python -m skinlab.ensemble runs=a,b method=rank positive=mel cross_fit=true output=DIR"
    )
    assert found["On another clinic"][1] == (
        "python -m skinlab.evaluate predictions=run/test.csv,ELSEWHERE positive=mel unpaired=true output=DIR"
    )


@pytest.mark.parametrize("place", ["it's (1), b=c.csv", 'a "quoted", {name}.csv', "plain/a.csv", "$HOME [a]!.csv"])
def test_a_copied_command_composes_to_what_it_says(place):
    whole = one()
    whole["systems"][0]["sources"][0]["path"] = place
    whole["provenance"]["command"] = shlex.join(
        [
            "python",
            "-m",
            "skinlab.evaluate",
            "names=['we']",
            'thresholds=[f1,"p>=0.3"]',
            'columns.label="it\'s a label"',
        ]
    )
    words = shlex.split(answers(whole)["Better than another system"][1])
    assert words[:3] == ["python", "-m", "skinlab.evaluate"]
    settings = compose_settings("evaluate", prepare_command_line(words[3:], list_settings("evaluate")))
    assert settings.predictions == [place, "OTHER"]
    assert settings.names == ["we", "OTHER"]
    assert settings.thresholds == ["f1", "p>=0.3"]
    assert settings.columns["label"] == "it's a label"


def test_of_two_systems_each_has_its_numbers():
    evidence = evidence_of([system("lite0"), system("resnet18")])
    found = answers(evidence)
    assert found["Sensitivity for mel"][0].startswith("lite0 0.700 [0.650, 0.750], specificity")
    assert "; resnet18 0.700" in found["Sensitivity for mel"][0]
    assert found["At which threshold"][0].startswith("lite0 p ≥ 0.120 [0.080, 0.200]; resnet18 p ≥ 0.120")
    assert found["Better than another system"] == ("resnet18 is no worse.", "")
    assert list(found) == [QUESTIONS[3], *QUESTIONS[:3], QUESTIONS[4]]  # what was compared comes first


def test_the_command_of_an_evaluation_is_repeated_with_what_it_lacks():
    whole = one()
    whole["systems"][0] |= {"binary": None, "thresholds": None}
    whole["provenance"]["command"] = "python -m skinlab.evaluate predictions=t.csv 'labels=my labels.csv' output=a"
    assert answers(whole)["At which threshold"][1] == (
        "python -m skinlab.evaluate predictions=t.csv 'labels=my labels.csv' positive=mel cross_fit=true output=DIR"
    )
    whole["systems"][0]["sources"][0]["path"] = "/runs/a/predictions/val.csv"
    whole["provenance"]["command"] = "python -m skinlab.train hydra.run.dir=/runs/a"
    assert answers(whole)["At which threshold"][1].startswith(
        "python -m skinlab.evaluate predictions=/runs/a split=test pos"
    )


def test_without_a_common_threshold_no_rates_stand_side_by_side():
    evidence = evidence_of([system("home"), system("away") | {"thresholds": None}])
    evidence["provenance"]["config"]["output"] = "BOTH"
    found = answers(evidence)
    words, command = found["At which threshold"]
    assert words == (
        "home sensitivity ≥ 0.95, p ≥ 0.120; away no threshold was chosen for it. For all: "
        "apply_thresholds=BOTH/thresholds.json."
    )
    assert command.endswith("apply_thresholds=BOTH/thresholds.json output=DIR")
    rates = found["Sensitivity for mel"][0]
    assert rates.startswith("home 0.700 [0.650, 0.750], specificity")
    assert rates.endswith("; away no threshold was chosen for it: apply_thresholds=BOTH/thresholds.json.")


def test_a_file_of_several_systems_is_not_offered_but_the_command_that_makes_one_of_one():
    evidence = evidence_of([system("a"), system("b"), system("c") | {"thresholds": None}])
    words, command = answers(evidence)["At which threshold"]
    assert words.endswith("For all: apply_thresholds=DIR/thresholds.json.")
    assert command == "python -m skinlab.evaluate predictions=run/test.csv output=DIR"


def test_of_two_data_sets_the_difference_is_the_last_line():
    found = answers(unpaired())
    assert found["On another clinic"] == ("home has a higher macro AUROC.", "")
    assert "other images" in found["Better than another system"][0]
    assert found["How sure"][0].count("30 images") == 2


def test_a_fixed_threshold_is_applied_to_all_systems():
    evidence = evidence_of([system("lite0"), system("resnet18")])
    for each in evidence["systems"]:
        row = {name: value for name, value in each["thresholds"][0].items() if name != "chosen_on"}
        each["thresholds"] = [row | {"rule": "p>=0.3", "applied_to": f"{each['name']}, 30 images"}]
    words, _ = answers(evidence)["At which threshold"]
    assert words == "p ≥ 0.3. Fixed beforehand, applied to lite0, 30 images; resnet18, 30 images."


def test_of_a_table_of_unknown_origin_nothing_is_said_of_trainings():
    table = one()["systems"][0] | {"init_used": None}
    table["sources"] = [table["sources"][0] | {"meta": {}, "path": "theirs.csv", "split": "theirs"}]
    evidence = evidence_of([table, table | {"name": "other"}])
    evidence["comparisons"] = [pair | {"claim": "predictions"} for pair in evidence["comparisons"]]
    answer = answers(evidence)["How sure"][0]
    assert answer.endswith(
        "from 30 images of 20 groups (lesions or patients), 8 mel. Of these predictions alone: how they "
        "were made is not known."
    )
    assert "of these weights" in render_report(evidence_of([system("a"), system("b")]))
    page = render_report(evidence)
    assert "and of these predictions alone" in page
    assert "of these weights" not in page


def test_groups_are_named_by_their_unit():
    evidence = one()
    evidence["systems"][0]["group_unit"] = "lesion"
    assert "30 images (test) of 20 lesions, 8 mel." in answers(evidence)["How sure"][0]
    page = render_report(evidence)
    assert "30 images of 20 lesions" in page
    assert "nv 10 (33.3\xa0%, 12 lesions)" in page
    assert "lesions or patients" not in page
    assert "patients or lesions" not in page
    assert "30 images of 20 lesions" in render_card(evidence)


def test_the_primary_endpoint_is_reported_before_others_and_significant_ones_before_the_rest():
    evidence = evidence_of([system("lite0"), system("resnet18")])
    (pair,) = evidence["comparisons"]
    evidence["comparisons"] = [pair, pair | {"significant": True, "sentence": "clear."}]
    assert answers(evidence)["Better than another system"][0] == "clear. 1 of 2 comparisons is significant."
    evidence["comparisons"].append(pair | {"role": "primary", "sentence": "Primary endpoint: x."})
    assert answers(evidence)["Better than another system"][0] == "Primary endpoint: x."


def test_what_a_question_needs_is_named():
    many = evidence_of([system(f"s{i}") for i in range(5)])
    assert answers(many)["Sensitivity for mel"][0].endswith("; 2 more below.")
    malignant = evidence_of([system("x", ["nv", "bcc", "mel"])], ["nv", "bcc", "mel"])
    malignant["systems"][0]["binary"]["positive"] = ["bcc", "mel"]
    assert "For mel alone, as the most probable class: 0.500" in answers(malignant)["Sensitivity for bcc, mel"][0]
    whole = one()
    whole["systems"][0] |= {"binary": None, "thresholds": None}
    found = answers(whole)
    assert found["Sensitivity for mel"][0].startswith("0.500")
    assert found["At which threshold"] == (
        "None: the most probable class counts.",
        "python -m skinlab.evaluate predictions=run positive=mel cross_fit=true output=DIR",
    )
    whole = one()
    whole["systems"][0]["thresholds"] = None
    assert answers(whole)["At which threshold"] == (
        "p ≥ 0.5: no threshold was chosen.",
        "python -m skinlab.evaluate predictions=run cross_fit=true output=DIR",
    )
    assert len(answers(evidence_of([empty_system("x")], ["a", "b"]))) == 5


def test_training_images_and_missing_intervals_are_named_where_the_reader_asks_how_sure():
    evidence = one()
    evidence["systems"][0]["training_overlap"] = {"images": 30, "train": 4, "val": 0}
    evidence["systems"][0]["thresholds"][0]["sensitivity"] = {
        "value": 1.0,
        "low": None,
        "high": None,
        "note": "no interval: 3 groups of mel, at least 5 are needed",
    }
    answer = answers(evidence)["How sure"][0]
    assert answer.startswith("4 of 30 images were trained on by this model")
    assert answer.endswith("Sensitivity: no interval: 3 groups of mel, at least 5 are needed.")


@pytest.mark.parametrize("made", [one, unpaired])
def test_it_is_the_first_section_of_the_page(made):
    text = render_report(made())
    assert text.index('id="short"') < text.index('id="settings"')
    for question in QUESTIONS:
        assert f"<dt>{question}</dt>" in text
