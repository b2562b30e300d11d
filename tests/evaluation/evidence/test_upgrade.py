import pytest

from skinlab.evaluation.evidence.upgrade import upgrade_evidence

CHOICE_1 = {"chosen": ["a"], "typical": 0.5, "flatters": 0.1, "worth": 0.2, "agreeing": 3}
CHOICE_2 = {"chosen": ["a"], "candidate_mean": 0.5, "optimism": 0.1, "gain": 0.2, "folds_agreeing": 3}
SEARCH_1 = {"figure": "brier", "everyone": 0.6, "considered": 3, "single": CHOICE_1, "subset": CHOICE_1}
SEARCH_2 = {"metric": "brier", "all_members": 0.6, "n_candidates": 3, "single": CHOICE_2, "subset": CHOICE_2}
# Names of classes, settings, sources and facts of a predictions table that are keys of format 1, too.
KEPT = {"seen": 1, "called": 2, "worst": {"over": 3}, "figures": 4, "asked": 5}
UNUSED = {"name": "b", "binary": None, "spread": None, "subgroups": None, "optimism": None, "support": KEPT}
BLOCKS = [
    ({"asked": {"classes": ["worst", "nv"]}}, {"settings": {"classes": ["worst", "nv"]}}),
    ({"made": {"config": KEPT}}, {"provenance": {"config": KEPT}}),
    ({"comparisons": [{"a": "b", "figure": "auroc_macro"}]}, {"comparisons": [{"a": "b", "metric": "auroc_macro"}]}),
    ({"ensemble": {"rival": "x", "search": SEARCH_1}}, {"ensemble": {"equal_cost_baseline": "x", "search": SEARCH_2}}),
    (
        {"asked": 3, "systems": {"figures": []}, "made": None},
        {"settings": 3, "systems": {"metrics": []}, "provenance": None},
    ),
]
SYSTEMS = [
    (UNUSED, UNUSED),
    ({"figures": {"auroc_macro": {"value": 0.7}}}, {"metrics": {"auroc_macro": {"value": 0.7}}}),
    ({"binary": {"positive": ["worst"], "figures": {}}}, {"binary": {"positive": ["worst"], "metrics": {}}}),
    ({"spread": {"over": "seed", "figures": {}}}, {"spread": {"replicate_axis": "seed", "metrics": {}}}),
    ({"per_source": {"worst": {"figures": None}}}, {"subgroups": None, "units": []}),
    ({"curves": {"worst": {"roc": KEPT}}}, {"curves": {"worst": {"roc": KEPT}}}),
    ({"optimism": {"rule": "f1", "honest": 0.5}}, {"optimism": {"rule": "f1", "held_out": 0.5}}),
    ({"worst": [{"called": "worst"}]}, {"worst_mistakes": [{"predicted": "worst"}]}),
    (
        {"sources": [{"meta": KEPT, "seen": {"train": 3}}]},
        {"sources": [{"meta": KEPT, "training_overlap": {"train": 3}}]},
    ),
    ({"sources": [{"labels": {"rows": 6, "overruled": 1}}]}, {"sources": [{"labels": {"rows": 6, "replaced": 1}}]}),
    ({"seen": {"images": 3, "train": 1}}, {"training_overlap": {"images": 3, "train": 1}}),
]


@pytest.mark.parametrize(("old", "new"), BLOCKS + [({"systems": [a]}, {"systems": [b]}) for a, b in SYSTEMS])
def test_keys_of_format_1_are_renamed_and_names_of_classes_and_settings_are_kept(old, new):
    assert upgrade_evidence({"format": 1} | old) == {"format": 2} | new
    assert upgrade_evidence({"format": 2} | new) == {"format": 2} | new


def test_bca_intervals_of_older_evidence_are_left_out():
    interval = {"value": 0.7, "low": 0.6, "high": 0.8}
    old = interval | {"bca_low": 0.61, "bca_high": 0.79}
    blocks = [{"metrics": {"auroc_macro": each, "recall/bca_low": each}} for each in (old, interval)]
    for version in ({"format": 1}, {"format": 2}):
        found = upgrade_evidence(version | {"systems": [blocks[0]], "comparisons": [{"difference": old}]})
        assert found == {"format": 2, "systems": [blocks[1]], "comparisons": [{"difference": interval}]}
