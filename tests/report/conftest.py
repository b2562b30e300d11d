from __future__ import annotations

from typing import Any

import pytest

CLASSES = ["nv", "mel"]


def interval(value: float | None, width: float = 0.05) -> dict[str, float | None]:
    ends = {"low": -width, "high": width}
    return {"value": value} | {end: None if value is None else value + by for end, by in ends.items()}


def subgroups(value: str, classes: list[str]) -> dict[str, Any]:
    """One subgroup with all that one has, and one with its counts only."""
    counts = dict.fromkeys(classes, 15)
    whole = {"column": "source", "value": value, "rows": 30, "groups": 20, "support": counts, "note": ""}
    whole |= {"groups_per_class": counts, "classes": classes, "compared_classes": classes}
    difference = {"difference": interval(-0.1), "p": 0.01, "p_holm": 0.01}
    whole |= {"metrics": {"balanced_accuracy": interval(0.6)}, "binary": {"sensitivity": interval(0.4)}}
    whole |= {"differences": dict.fromkeys(("balanced_accuracy", "sensitivity"), difference)}
    few = whole | {"value": "few", "metrics": None, "binary": None, "differences": {}, "note": "fewer than 30 images"}
    lowest = {"column": "source", "value": value, "metric": "balanced_accuracy"}
    lowest |= {"sentence": f"Of 1 subgroup source {value} is the lowest.", "p_holm": 0.01}
    return {"columns": ["source"], "subgroups": [whole, few], "compared": 1, "lowest": lowest}


def system(name: str = "lite0", classes: list[str] | None = None) -> dict[str, Any]:
    classes = classes or CLASSES
    metrics = {each: interval(0.6) for each in ("balanced_accuracy", "auroc_macro", "pr_auc_macro", "f1_macro")}
    per_class = ("recall", "specificity", "precision", "npv", "f1", "auroc", "pr_auc", "calibration_slope")
    metrics |= {f"{name}/{each}": interval(0.5) for name in per_class for each in classes}
    grid = [0.0, 0.5, 1.0]
    curve = {"x": grid, "y": grid, "low": [0.0] * 3, "high": [1.0] * 3}
    binary = ("pr_auc_positive", "auroc/positive", "sensitivity", "specificity", "ppv", "npv", "f1_positive")
    at = {each: interval(0.7) for each in ("sensitivity", "specificity", "ppv", "f1_positive")}
    return {
        "name": name,
        "init_used": "imagenet",
        "sources": [{"path": "run/test.csv", "sha256": "ab" * 32, "split": "test", "rows": 30, "meta": {"loss": "ce"}}],
        "rows": 30,
        "groups": 20,
        "support": dict.fromkeys(classes, 10),
        "pooled_folds": ["0", "1"],
        "metrics": metrics,
        "binary": {"positive": classes[1:2], "metrics": {each: interval(0.8) for each in binary}},
        "spread": {
            "replicate_axis": "fold",
            "n": 2,
            "metrics": {"balanced_accuracy": {"mean": 0.6, "sd": 0.01, "values": {"0": 0.59, "1": 0.61}}},
        },
        "confusion": [[7 if i == j else 3 for j in range(len(classes))] for i in range(len(classes))],
        "confusion_shares": [[0.7 if i == j else 0.3 for j in range(len(classes))] for i in range(len(classes))],
        "subgroups": subgroups("vienna", classes),
        "flow": {
            "found": 12345,
            "left_out": {"truncated": 3},
            "kept": 12342,
            "evaluated": "test",
            "parts": [
                {
                    "name": name,
                    "images": 30,
                    "groups": 20,
                    "classes": dict.fromkeys(classes, 15),
                    "evaluated": name == "test",
                }
                for name in ("train", "test")
            ],
        },
        "units": [
            {"unit": "lesion", "rows": 20, "images": 30, "support": dict.fromkeys(classes, 10), "note": ""}
            | {"metrics": {"balanced_accuracy": interval(0.61)}, "binary": {"sensitivity": interval(0.7)}},
            {
                "unit": "patient",
                "rows": 9,
                "images": 30,
                "support": {},
                "metrics": {},
                "binary": {},
                "note": "no positive",
            },
        ],
        "curves": {each: {"roc": curve, "pr": curve} for each in (classes[1], "positive")},
        "reliability": {
            "confidence": [0.6, 0.9],
            "accuracy": [0.5, 0.9],
            "low": [0.4, 0.8],
            "high": [0.6, 1],
            "rows": [9, 21],
        },
        "calibration": {"none": {"log_loss": 0.7, "brier": 0.4, "adaptive_ece": 0.1}},
        "calibration_differences": {"temperature": {"log_loss": interval(-0.1), "brier": interval(-0.02)}},
        "calibration_curve": {
            "probability": [0.1, 0.5],
            "observed": [0.15, 0.4],
            "low": [0.1, 0.3],
            "high": [0.2, 0.5],
            **{"ici": 0.06, "e50": 0.05, "e90": 0.1},
        },
        "thresholds": [
            {"rule": "sensitivity>=0.95", "threshold": 0.12, "low": 0.08, "high": 0.2, "positives": 43}
            | {"chosen_on": "val, 40 images", "applied_to": "test, 30 images"}
            | at
        ],
        "optimism": {"rule": "f1", "same_rows": 0.712, "held_out": 0.655, "how": "chosen on other lesions' rows"},
        "decision_curve": {
            "threshold": [0.1, 0.2],
            "net_benefit": [0.1, 0.05],
            "low": [0.0, 0.0],
            "high": [0.2, 0.1],
            "treat_all": [0.1, 0.0],
        },
        "risk_coverage": {
            "coverage": [0.5, 1.0],
            "risk": [0.1, 0.3],
            "aurc": 0.2,
            "error_rates": [{"coverage": 1.0, "risk": 0.3}],
        },
        "conformal": {
            "level": 0.9,
            "unit": "lesion",
            "coverage": {"overall": {"value": 0.91, "low": 0.88, "high": 0.94}},
            "image_coverage": 0.92,
            "mean_size": 1.3,
            "note": "made on val",
        },
        "worst_mistakes": [
            {"image_id": "ISIC_1", "label": classes[1], "predicted": classes[0], "probability": 0.97, "path": None}
        ],
    }


def empty_system(name: str) -> dict[str, Any]:
    """A system of three images of which nothing could be computed."""
    found = dict.fromkeys(system()) | {"name": name, "rows": 3}
    return found | {"metrics": {}, "support": {}, "curves": {}, "worst_mistakes": [], "sources": []}


def evidence_of(systems: list[dict[str, Any]], classes: list[str] | None = None) -> dict[str, Any]:
    names = [each["name"] for each in systems]
    pair = {"metric": "balanced_accuracy", "difference": interval(0.02), "p": 0.0001, "p_holm": 0.2, "detectable": 0.03}
    return {
        "format": 2,
        "settings": {
            "classes": classes or CLASSES,
            "positive": ["mel"],
            "prevalence": 0.05,
            "cost_ratio": 10.0,
            "n_draws": 2000,
            "level": 0.95,
            "seed": 0,
        },
        "provenance": {
            "command": "python -m skinlab.evaluate predictions=run",
            "config": {"n_draws": 2000},
            "versions": {"skinlab": "0.1.0"},
            "date": "2026-11-22",
        },
        "systems": systems,
        "comparisons": [pair | {"a": names[0], "b": name, "sentence": f"{name} is no worse."} for name in names[1:]],
        "cautions": ["One clinic only."],
    }


def of_different_images() -> dict[str, Any]:
    """Two systems on different images, which are compared over two of the three classes."""
    classes = ["bcc", "mel", "nv"]
    found = evidence_of([system("home", classes), system("away", classes)], classes)
    pair = found["comparisons"].pop() | {"a": "home", "b": "away", "class_mix": False, "difference": interval(-0.066)}
    values = {"home": {"balanced_accuracy": interval(0.518)}, "away": {"balanced_accuracy": interval(0.584)}}
    return found | {"unpaired": {"classes": ["mel", "nv"], "metrics": values, "comparisons": [pair]}}


@pytest.fixture
def evidence() -> dict[str, Any]:
    """Two systems, every block filled."""
    return evidence_of([system("lite0"), system("resnet18")])


@pytest.fixture
def hostile() -> dict[str, Any]:
    """One system whose every name is markup."""
    bad = ["a|b", "<script>alert(1)</script>"]
    found = evidence_of([system("<img src=x onerror=y>", bad)], bad)
    found["systems"][0]["worst_mistakes"][0]["image_id"] = '"><script>'
    found["systems"][0]["subgroups"] = subgroups("<b>", bad)
    found["cautions"] = ["<script>"]
    found["provenance"]["command"] = "--> </style><script>"
    return found
