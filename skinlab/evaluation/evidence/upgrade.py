"""Bring an ``evidence.json`` of an older version to the present form: renamed keys, and none of the BCa intervals."""

from __future__ import annotations

from typing import Any

RENAMED = {
    "asked": "settings",
    "made": "provenance",
    "figures": "metrics",
    "figure": "metric",
    "seen": "training_overlap",
    "worst": "worst_mistakes",
    "called": "predicted",
    "over": "replicate_axis",
    "honest": "held_out",
    "everyone": "all_members",
    "considered": "n_candidates",
    "typical": "candidate_mean",
    "flatters": "optimism",
    "worth": "gain",
    "agreeing": "folds_agreeing",
    "rival": "equal_cost_baseline",
    "overruled": "replaced",
}
# Blocks that hold renamed keys. All others stay as they are: their keys are names of classes or settings.
BLOCKS = {"systems", "sources", "spread", "binary", "worst", "optimism", "comparisons", "ensemble", "search"}
BLOCKS |= {"single", "pair", "subset", "labels"}
BCA = {"bca_low", "bca_high"}


def upgrade_evidence(evidence: dict[str, Any]) -> dict[str, Any]:
    """Return evidence of any format in the present one.

    >>> upgrade_evidence({"format": 1, "asked": {"level": 0.95}, "systems": [{"worst": [{"called": "nv"}]}]})
    {'format': 2, 'settings': {'level': 0.95}, 'systems': [{'worst_mistakes': [{'predicted': 'nv'}]}]}
    """
    present = evidence if evidence.get("format") == 2 else _rename_keys(evidence) | {"format": 2}
    plain: dict[str, Any] = _without_bca(present)
    return plain


def _without_bca(value: Any) -> Any:
    """Leave out the BCa ends of intervals (beside ``low`` and ``high``), which are no longer computed."""
    if isinstance(value, list):
        return [_without_bca(each) for each in value]
    if not isinstance(value, dict):
        return value
    left_out = BCA if {"low", "high"} <= value.keys() else set()
    return {key: _without_bca(each) for key, each in value.items() if key not in left_out}


def _rename_keys(value: Any) -> Any:
    """Rename the keys of a block, or of each block of a list."""
    if isinstance(value, list):
        return [_rename_keys(each) for each in value]
    if not isinstance(value, dict):
        return value
    block = {RENAMED.get(key, key): _rename_keys(each) if key in BLOCKS else each for key, each in value.items()}
    if "per_source" in block:  # without groups, intervals and differences of today
        block = {key: each for key, each in block.items() if key != "per_source"} | {"subgroups": None, "units": []}
    return block
