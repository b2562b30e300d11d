"""The page of a study: whole, alone, and readable whatever is missing."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

import numpy as np
import pytest

from skinlab.report.charts import efficiency_chart, spread_out
from skinlab.report.study_page import HEADLINES, render_study
from skinlab.report.wording import MINUS
from tests.report.test_page import Page

ARMS = ["A", "A+", "D<script>"]


def estimate(value: float | None) -> dict[str, Any]:
    ends = {"low": -0.05, "high": 0.05}
    found = {end: None if value is None else value + by for end, by in ends.items()}
    return {
        "value": value,
        "standard_error": 0.02,
        "degrees_of_freedom": 5.0,
        "trainings_share": 0.4,
        "p": 0.01,
        "p_floor": 0.001,
        "n": 3,
    } | found


def arm(name: str, value: float | None) -> dict[str, Any]:
    return {
        "name": name,
        "trainings": 3,
        "metrics": {"auroc_macro": estimate(value), "brier": estimate(value)},
        "spread": {"auroc_macro": {"sd": 0.01, "values": [value]}, "brier": {"sd": None, "values": [value]}},
    }


@pytest.fixture
def study() -> dict[str, Any]:
    words = {0.1: "10 % of the labels (30 images)", 1.0: "All labels (300 images)"}
    pair = {"a": ARMS[2], "b": "A+", "metric": "auroc_macro", "decides": True, "p_holm": 0.02, "finding": "better"}
    pair |= {"difference": estimate(0.06), "detectable": 0.07}
    return {
        "format": 2,
        "provenance": {
            "command": "python -m skinlab.study",
            "date": "2026-11-22",
            "versions": {},
            "config": {"jobs": 1},
        },
        "settings": {"arms": ARMS, "titles": {name: f"title of {name}" for name in ARMS}, "judge_by": "auroc_macro"}
        | {"level": 0.95, "n_draws": 2000},
        "power": {"sentence": "2,003 test images see 0.03."},
        "runs": {"A_b0.1_f0_s0": {"state": "done", "images": 1234, "seconds": 90.0, "overrides": ["seed=0"]}},
        "budgets": [
            {"budget": 0.1, "name": words[0.1], "labelled": 30, "arms": [arm(name, 0.7) for name in ARMS]},
            {"budget": 1.0, "name": words[1.0], "labelled": 300, "arms": [arm(name, 0.8) for name in ARMS[:2]]},
        ],
        "differences": [pair | {"budget": 0.1}, pair | {"budget": 1.0, "decides": False, "finding": "no evidence"}],
        "verdicts": [{"budget": 0.1, "pool": True, "verdict": "helps", "sentence": "10 %: the pool helps."}],
        "cautions": ["One clinic only."],
    }


def test_the_page_is_complete_and_loads_nothing_from_elsewhere(study):
    text = render_study(study)
    page = Page(text)
    assert len(page.ids) == len(set(page.ids))
    assert all(link.startswith("#") and link[1:] in page.ids for link in page.links)
    assert not re.search(r"https?:|@import|<script", text)
    assert all(url.startswith("#") for url in re.findall(r"url\(([^)]*)\)", text))
    assert len(set(page.rows)) <= 4, "every row of a table is as long as its head"


def test_it_reports_the_study_s_findings(study):
    text = render_study(study)
    for words in ("10 %: the pool helps.", "0.700 [0.650, 0.750]", "+0.060 [+0.010, +0.110]", "One clinic only."):
        assert words in text
    assert f"● D&lt;script&gt; {MINUS} A+" in text
    assert text.count("<svg") == 2 + 2  # a curve a metric, differences of each budget
    assert "A+ 0.700 at 30, 0.800 at 300" in text, "for a screen reader"
    assert "Before the first epoch: 2,003 test images see 0.03." in text


@pytest.mark.parametrize("verdicts", [[], ["helps"], ["no evidence"], ["helps", "no evidence"], ["helps", "hurts"]])
def test_the_headline_is_that_of_the_verdicts(study, verdicts):
    study["verdicts"] = [{"budget": 1, "pool": True, "verdict": each, "sentence": each} for each in verdicts]
    expected = HEADLINES.get(frozenset(verdicts), "The unlabeled pool helps and hurts")
    study["verdicts"] += [{"budget": 1, "pool": False, "verdict": "helps", "sentence": "Nothing is left for a pool."}]
    assert f"<h1>{expected}</h1>" in render_study(study)


def test_what_is_not_known_is_a_dash_and_nothing_at_all_still_a_page(study):
    missing = copy.deepcopy(study)
    missing["budgets"][0]["arms"][0] = arm("A", None)
    missing["differences"][0]["difference"] = estimate(None)
    text = render_study(missing)
    assert not re.search(r"\bnan\b|\bNone\b", re.sub(r"(?s)<svg.*?</svg>|<style>.*?</style>", "", text))
    assert not re.search(r'[ "](nan|NaN)', "".join(re.findall(r"(?s)<svg.*?</svg>", text)))
    empty = study | {"budgets": [], "differences": [], "verdicts": [], "runs": {}, "cautions": [], "power": {}}
    assert "There is no verdict" in render_study(json.loads(json.dumps(empty)))


def test_charts_take_their_colours_from_the_page(study):
    svg = "".join(re.findall(r"(?s)<svg.*?</svg>", render_study(study)))
    assert {"var(--s1)", "var(--s2)", "var(--s3)"} <= set(re.findall(r"var\(--s\d\)", svg))
    assert not re.search(r"(fill|stroke): ?(#|black|white|rgb)", svg)


def test_names_at_the_ends_of_lines_keep_their_distance_and_order():
    rng = np.random.default_rng(0)
    for _ in range(50):
        heights = rng.random(6)
        placed = spread_out(heights, 0.08)
        order = np.argsort(heights)
        assert (np.diff(placed[order]) > 0.08 - 1e-6).all()
    assert np.isnan(spread_out([np.nan, 0.5], 0.1)[0])


def test_the_name_of_a_line_is_written_where_the_line_ends():
    line = {"labelled": [300, 1200, 6000], **{end: [0.7, 0.8, 0.9] for end in ("value", "low", "high")}}
    short = {key: values[:2] for key, values in line.items()}
    svg = efficiency_chart([("whole", line), ("short", short)], "AUROC", "chart", "AUROC of two arms")
    at = {name: float(x) for x, name in re.findall(r'<text[^>]* x="([\d.]+)"[^>]*>([^<]+)<', svg)}
    assert at["1,200"] < at["short"] < at["6,000"] < at["whole"]
