import base64
import math
import random
import re
from html.parser import HTMLParser

import pytest

from skinlab.report import charts
from skinlab.report.card import render_card
from skinlab.report.comparisons import comparison_section
from skinlab.report.headlines import leading
from skinlab.report.page import render_report
from skinlab.report.wording import DASH, MINUS
from tests.report.conftest import empty_system, evidence_of, interval, of_different_images, system

VOID = {"meta", "img", "br", "link", "input", "hr"}
SECTIONS = {
    "curves": "curves",
    "confusion": "confusion",
    "thresholds": "thresholds",
    "decision_curve": "decision",
    "units": "units",
    "subgroups": "subgroups",
    "worst_mistakes": "mistakes",
}


class Page(HTMLParser):
    """Checks that elements close in order, and keeps what the tests ask about."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.ids, self.links, self.words = [], [], [], [], []
        self.attributes, self.rows = [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs.items()]
        self.ids += [attrs["id"]] if "id" in attrs else []
        self.links += [attrs[name] for name in ("href", "src") if name in attrs]
        if tag == "tr":
            self.rows.append(0)
        if tag in ("td", "th"):
            self.rows[-1] += 1
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def alone(evidence):
    """Leave one system, with the curves of one class."""
    del evidence["systems"][1]
    (first,) = evidence["systems"]
    first["curves"] = {"mel": first["curves"]["mel"]}
    return evidence["systems"]


@pytest.fixture
def undrawn(monkeypatch):
    """Leave the charts blank, where they don't matter."""
    for name in ("dots_chart", "curve_chart", "reliability_chart", "decision_chart", "risk_coverage_chart"):
        monkeypatch.setattr(charts, name, lambda *args, **settings: "chart")


def headings(text):
    return re.findall(r'<h3 id="s1-(\w+)"', text)


def test_the_page_is_complete_and_loads_nothing_from_elsewhere(evidence):
    text = render_report(evidence)
    page = Page(text)
    assert len(page.ids) == len(set(page.ids))
    assert all(link.removeprefix("#") in page.ids for link in page.links if link.startswith("#"))
    assert all(link.startswith("#") for link in page.links)
    assert not re.search(r"https?:|@import|<script", text)
    assert all(url.startswith("#") for url in re.findall(r"url\(([^)]*)\)", text))


def test_every_block_is_there(evidence):
    text = render_report(evidence)
    names = "headline data classes curves confusion thresholds calibration decision abstention units subgroups mistakes"
    assert headings(text) == names.split()
    assert {"settings", "comparison", "s1", "s2", "cautions", "provenance"} <= set(Page(text).ids)
    for words in ("0.600", "between 0.550 and 0.650", "resnet18 is no worse.", "One clinic only.", "≤ 0.001"):
        assert words in text
    assert "F1 would be 0.712" in text
    assert "sensitivity ≥ 0.95" in text
    assert "43 positives (0.080 to 0.200)" in text
    assert "all images 30.0\xa0%" in text
    assert (
        text.count("<svg") == 11 + 1 + 2 * 13
    )  # beside each other, their difference; curves and charts of each system


@pytest.mark.usefixtures("undrawn")
def test_the_name_of_a_file_is_no_split(evidence):
    (first,) = alone(evidence)
    first["sources"][0] |= {"path": "submission.csv", "split": "submission"}
    assert "<dt>Split</dt><dd>not known (30 images)</dd>" in render_report(evidence)
    assert "submission.csv (split not known, 30 images)" in render_card(evidence)
    first["sources"][0] |= {"path": "whole.csv", "split": "val"}
    assert "<dt>Split</dt><dd>val (30 images)</dd>" in render_report(evidence)


def test_f1_of_the_positive_is_in_the_headline_and_side_by_side(evidence):
    text = render_report(evidence)
    assert text.count("<dt>F1 of the positive class<small> at sensitivity") == 2
    assert "<strong>F1, positive (sensitivity ≥ 0.95)</strong>" in text


@pytest.mark.parametrize("block", SECTIONS)
@pytest.mark.usefixtures("undrawn")
def test_a_null_block_is_left_out(evidence, block):
    (first,) = alone(evidence)
    first[block] = {} if block == "curves" else None
    text = render_report(evidence)
    assert SECTIONS[block] not in headings(text)
    Page(text)


@pytest.mark.usefixtures("undrawn")
def test_training_images_are_reported_before_the_comparison_and_the_metrics(evidence):
    evidence["systems"][0]["training_overlap"] = {"images": 9, "train": 4, "val": 0}
    text = render_report(evidence)
    places = [found.start() for found in re.finditer("4 of 9 images were trained on by this model", text)]
    comparison, first, side = (text.index(f'id="{name}"') for name in ("comparison", "s1", "comparison-title"))
    assert places[0] < comparison < side < places[1] < text.index("Side by side") < first < places[2]


@pytest.mark.usefixtures("undrawn")
def test_sections_of_several_blocks_go_with_the_last(evidence):
    (first,) = alone(evidence)
    first["reliability"] = first["risk_coverage"] = None
    assert {"calibration", "abstention"} <= set(headings(render_report(evidence)))
    first["calibration"] = first["conformal"] = None
    first["metrics"] = {k: v for k, v in first["metrics"].items() if not k.startswith("calibration")}
    assert not {"calibration", "abstention"} & set(headings(render_report(evidence)))


@pytest.mark.usefixtures("undrawn")
def test_with_hardly_anything():
    only = empty_system("x") | {"metrics": {"balanced_accuracy": {"value": None, "low": None, "high": None}}}
    text = render_report(evidence_of([only], ["a", "b"]))
    assert headings(text) == ["headline", "data"]
    assert "comparison" not in Page(text).ids
    assert f'<dd class="big">{DASH}</dd>' in text


@pytest.mark.parametrize("missing", [None, math.nan])
def test_what_is_not_known_is_a_dash(evidence, missing):
    first = evidence["systems"][0]
    evidence["systems"][1] |= {"curves": {}, "reliability": None, "decision_curve": None, "risk_coverage": None}
    first["metrics"]["recall/mel"] = {"value": missing, "low": missing, "high": missing}
    first["metrics"]["balanced_accuracy"] = missing
    first["calibration"]["none"]["log_loss"] = missing
    first["reliability"]["accuracy"][0] = missing
    first["curves"]["mel"]["pr"]["y"] = [missing] * 3
    evidence["comparisons"][0]["difference"] = {"value": missing, "low": missing, "high": missing}
    text = render_report(evidence)
    assert text.count(f'<td class="n">{DASH}</td>') >= 3
    assert not re.search(r"\bnan\b|\bNone\b", re.sub(r"(?s)<svg.*?</svg>|<style>.*?</style>", "", text))
    assert not re.search(r'[ "](nan|NaN)', "".join(re.findall(r"(?s)<svg.*?</svg>", text)))


def test_names_are_text(hostile):
    text = render_report(hostile)
    page = Page(text)
    assert "script" not in page.tags
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    words = "".join(page.words)
    for name in ("<script>alert(1)</script>", "<img src=x onerror=y>", "--> </style><script>"):
        assert name in words


@pytest.mark.usefixtures("undrawn")
def test_pictures_lie_in_the_page(evidence):
    alone(evidence)
    jpeg, png = b"\xff\xd8\xff\x00", b"\x89PNG\x00"
    expected = {"jpeg": jpeg, "png": png}
    expected = [f"data:image/{k};base64,{base64.b64encode(v).decode()}" for k, v in expected.items()]
    evidence["systems"][0]["worst_mistakes"][0]["saliency"] = expected[1]
    text = render_report(evidence, {"ISIC_1": jpeg, "ISIC_2": jpeg})
    sources = [link for link in Page(text).links if not link.startswith("#")]
    assert sources == expected
    assert all(value for tag, name, value in Page(text).attributes if (tag, name) == ("img", "alt"))


def test_charts_take_their_colours_from_the_page(evidence):
    text = render_report(evidence)
    svg = "".join(re.findall(r"(?s)<svg.*?</svg>", text))
    assert "currentColor" in svg
    assert "var(--s1)" in svg
    assert "var(--s2)" in svg
    assert not re.search(r"(fill|stroke): ?(#|black|white|rgb)", svg)
    defined = set(re.findall(r"(--\w+):", text)) | {"--share", "--columns", "--series"}
    assert set(re.findall(r"var\((--\w+)\)", text)) <= defined
    assert svg.count('role="img"') == text.count("<svg") == len(re.findall(r'<svg [^>]*aria-label="[^"]', svg))


@pytest.mark.usefixtures("undrawn")
def test_tables_are_readable_by_ear(evidence):
    alone(evidence)
    page = Page(render_report(evidence))
    scopes = [value for tag, name, value in page.attributes if (tag, name) == ("th", "scope")]
    assert len(scopes) == page.tags.count("th")
    assert set(scopes) == {"col", "row"}


@pytest.mark.usefixtures("undrawn")
def test_the_order_of_systems_does_not_change_their_metrics(evidence):
    second = evidence["systems"][1]
    second["metrics"]["balanced_accuracy"] = {"value": 0.123, "low": 0.1, "high": 0.2}
    text = render_report(evidence)
    assert "0.123" in text[text.index('id="s2"') :]
    assert "0.123" not in text[text.index('id="s1"') : text.index('id="s2"')]


@pytest.mark.usefixtures("undrawn")
def test_of_many_comparisons_the_clear_ones_are_listed_first(evidence):
    (pair,) = evidence["comparisons"]
    evidence["comparisons"] = [pair | {"p_holm": p, "sentence": f"sentence {p}"} for p in (0.01, *[None, 0.3] * 4)]
    text = render_report(evidence)
    assert "<summary>8 comparisons without a clear difference" in text
    assert text.index("sentence 0.01") < text.index("<summary>8") < text.index("sentence 0.3")


@pytest.mark.usefixtures("undrawn")
def test_differences_and_the_endpoint_are_at_the_operating_point_of_the_comparison(evidence):
    (pair,) = evidence["comparisons"]
    at = {"metric": "sensitivity", "operating_point": "p ≥ 0.3, fixed beforehand", "role": "primary"}
    evidence["comparisons"] = [pair | at]
    evidence["settings"]["endpoint"] = {"metric": "sensitivity", "hypothesis": "noninferiority", "margin": 0.05}
    text = render_report(evidence)
    text = text[text.index('id="settings"') : text.index('<section id="s1"')]
    assert "<td>Sensitivity (p ≥ 0.3, fixed beforehand) (primary)</td>" in text
    assert "by Sensitivity (p ≥ 0.3, fixed beforehand), the primary endpoint" in text
    assert "p ≥ 0.5" not in text


@pytest.mark.usefixtures("undrawn")
def test_differences_on_different_images_stand_beside_the_values_that_they_are_of():
    text = render_report(of_different_images()).replace(MINUS, "-")
    assert "<h3>Unpaired differences over mel and nv</h3>" in text
    table = text[text.index("Unpaired differences between systems") :]
    assert table.index("0.518") < table.index("0.584") < table.index("-0.066")


def test_the_same_evidence_gives_the_same_page(evidence):
    alone(evidence)
    assert render_report(evidence) == render_report(evidence)


def test_net_benefit_is_a_chart_a_threshold_and_a_table(evidence):
    row = {"a": "resnet18", "b": "lite0", "difference": interval(0.01), "calibrated": interval(0.02)}
    rows = [row | {"threshold": threshold} for threshold in (0.05, 0.1)]
    evidence["net_benefit"] = {"prevalence": 0.05, "differences": rows, "sentences": []}
    text = render_report(evidence)
    Page(text)
    text = text.replace(MINUS, "-")
    assert text.count('id="net-benefit-0-') >= 2
    assert "for a prevalence of 5.0\xa0%: above zero" in text
    assert 'resnet18 - lite0</th><td class="n">0.05</td>' in text
    for value in ("+0.010<small>[-0.040, +0.060]", "+0.020<small>[-0.030, +0.070]"):
        assert value in text


def test_of_many_systems_the_highest_have_sections_and_all_are_in_the_leaderboard():
    names = [f"run {i}" for i in range(30)]
    evidence = evidence_of([system(name) for name in names])
    order = [names[i] for i in random.Random(0).sample(range(30), 30)]
    best = {"operating_point": "", "highest": order[0], "systems": order[:2], "sentence": "Two may be the best one."}
    best |= {"p": dict.fromkeys(order, 0.5)}
    evidence |= {"comparisons": [], "best": [best | {"metric": each} for each in ("balanced_accuracy", "auroc_macro")]}
    text = render_report(evidence)
    page = Page(text)
    assert [re.sub("<[^>]+>", "", each) for each in re.findall(r'<li><a href="#s\d+">(.*?)</a>', text)] == order[:12]
    assert re.findall(r'<th scope="row">(run \d+)</th>', text) == order
    assert "30 systems on the same images" in "".join(page.words)
    assert len(page.ids) == len(set(page.ids))
    assert re.findall(r"### (run \d+)", render_card(evidence))[:12] == order[:12]
    ensemble = {"members": order[:-1]}  # the lowest one is the ensemble of the others
    assert [each["name"] for each in leading(evidence | {"ensemble": ensemble})["systems"]] == [order[-1], *order[:11]]
    few = evidence | {"systems": evidence["systems"][:12]}
    assert ">All systems<" in text
    assert comparison_section(few)["leaderboard"] == []
