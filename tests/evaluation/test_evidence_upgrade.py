from skinlab.evaluation.evidence_upgrade import upgrade_evidence

CHOICE_1 = {"chosen": ["a"], "typical": 0.5, "flatters": 0.1, "worth": 0.2, "agreeing": 3}
CHOICE_2 = {"chosen": ["a"], "candidate_mean": 0.5, "optimism": 0.1, "gain": 0.2, "folds_agreeing": 3}
# Names of classes, settings, sources and facts of a predictions table that are keys of format 1, too.
KEPT = {"seen": 1, "called": 2, "worst": {"over": 3}, "figures": 4, "asked": 5}
FORMAT_1 = {
    "format": 1,
    "asked": {"classes": ["worst", "nv"], "level": 0.95},
    "made": {"command": "python -m skinlab.evaluate", "config": KEPT},
    "systems": [
        {
            "name": "a",
            "support": KEPT,
            "figures": {"auroc_macro": {"value": 0.7}},
            "binary": {"positive": ["worst"], "figures": {}},
            "spread": {"over": "seed", "n": 2, "figures": {}},
            "per_source": {"worst": {"rows": 3, "figures": None}},
            "curves": {"worst": {"roc": KEPT}},
            "optimism": {"rule": "f1", "honest": 0.5},
            "worst": [{"label": "nv", "called": "worst"}],
            "sources": [{"path": "p.csv", "meta": KEPT, "seen": {"images": 3}}],
            "seen": {"images": 3, "train": 1},
        },
        {"name": "b", "binary": None, "spread": None, "per_source": None, "optimism": None},
    ],
    "comparisons": [{"a": "b", "b": "a", "figure": "auroc_macro"}],
    "ensemble": {
        "rival": "none",
        "search": {"figure": "brier", "everyone": 0.6, "considered": 3, "single": CHOICE_1, "subset": CHOICE_1},
    },
}
FORMAT_2 = {
    "format": 2,
    "settings": {"classes": ["worst", "nv"], "level": 0.95},
    "provenance": {"command": "python -m skinlab.evaluate", "config": KEPT},
    "systems": [
        {
            "name": "a",
            "support": KEPT,
            "metrics": {"auroc_macro": {"value": 0.7}},
            "binary": {"positive": ["worst"], "metrics": {}},
            "spread": {"replicate_axis": "seed", "n": 2, "metrics": {}},
            "per_source": {"worst": {"rows": 3, "metrics": None}},
            "curves": {"worst": {"roc": KEPT}},
            "optimism": {"rule": "f1", "held_out": 0.5},
            "worst_mistakes": [{"label": "nv", "predicted": "worst"}],
            "sources": [{"path": "p.csv", "meta": KEPT, "training_overlap": {"images": 3}}],
            "training_overlap": {"images": 3, "train": 1},
        },
        {"name": "b", "binary": None, "spread": None, "per_source": None, "optimism": None},
    ],
    "comparisons": [{"a": "b", "b": "a", "metric": "auroc_macro"}],
    "ensemble": {
        "equal_cost_baseline": "none",
        "search": {"metric": "brier", "all_members": 0.6, "n_candidates": 3, "single": CHOICE_2, "subset": CHOICE_2},
    },
}


def test_keys_of_format_1_are_renamed_and_names_of_classes_and_settings_are_kept():
    assert upgrade_evidence(FORMAT_1) == FORMAT_2


def test_evidence_of_the_present_format_stays_as_it_is():
    assert upgrade_evidence(FORMAT_2) == FORMAT_2


def test_damaged_evidence_of_format_1_keeps_its_values():
    damaged = {"asked": 3, "systems": {"figures": []}, "made": None}
    assert upgrade_evidence(damaged) == {"format": 2, "settings": 3, "systems": {"metrics": []}, "provenance": None}


def test_the_count_of_replaced_labels_is_renamed():
    sources = [{"labels": {"path": "truth.csv", "rows": 6, "overruled": 1}}]
    upgraded = upgrade_evidence({"format": 1, "systems": [{"sources": sources}]})
    assert upgraded["systems"][0]["sources"][0]["labels"] == {"path": "truth.csv", "rows": 6, "replaced": 1}
