import math
import re

import pytest

from skinlab.report.card import render_card
from skinlab.report.wording import DASH, MINUS
from tests.report.conftest import empty_system, evidence_of, interval

BLANK = re.compile(r"____ \(to be filled in: [^)]+\)")
BLOCKS = {"spread": "Spread over", "thresholds": "threshold rule", "calibration": "| calibration |"}
BLOCKS |= {"conformal": "Conformal prediction sets", "subgroups": "Of 1 subgroup", "binary": "against all others"}


def tables(card):
    """Rows of each table, cell by cell."""
    found = re.findall(r"(?m)(?:^\|.*\|\n)+", card)
    return [[re.split(r"(?<!\\)\|", line.strip())[1:-1] for line in each.splitlines()] for each in found]


def test_the_card_is_filled_and_its_blanks_are_visible(evidence):
    card = render_card(evidence)
    assert card.startswith("# Model card: lite0; resnet18\n")
    assert "| Balanced accuracy (most probable class) | 0.600 [0.550, 0.650] |" in card
    assert "- resnet18 is no worse." in card
    assert "- One clinic only." in card
    assert "- Loss: ce" in card
    assert "____ (to be filled in: intended users)" in card
    assert card.count("____") == len(BLANK.findall(card)) >= 10
    assert not re.search(r"\n\n\n|[{}]|None|\bnan\b", card)


def test_tables_have_as_many_cells_in_every_row(evidence, hostile):
    for each in (evidence, hostile):
        found = tables(render_card(each))
        assert len(found) >= 5
        for table in found:
            assert len({len(row) for row in table}) == 1
            assert set("".join(table[1])) == {"-"}


@pytest.mark.parametrize("n_systems", [1, 2])
def test_lists_are_whole_and_what_is_known_stands_first(evidence, n_systems):
    evidence["systems"] = evidence["systems"][:n_systems]
    card = render_card(evidence)
    assert not re.search(r"(?m)^- .*\n\n- ", card), "a blank line splits a list"
    assert not re.search(r"(?m)^- .*\n#", card), "a heading follows a list without a blank line"
    for items in re.findall(r"(?m)(?:^- .*\n)+", card):
        blanks = ["____" in item for item in items.splitlines()]
        assert blanks == sorted(blanks), items


@pytest.mark.parametrize("block", BLOCKS)
def test_a_null_block_is_left_out(evidence, block):
    for each in evidence["systems"]:
        assert BLOCKS[block] in render_card(evidence)
        each[block] = None
    assert BLOCKS[block] not in render_card(evidence)


def test_with_hardly_anything():
    card = render_card(evidence_of([empty_system("x")]))
    assert "____ (to be filled in: initial weights)" in card
    assert "- 3 images" in card
    assert "Comparisons" not in card
    assert not re.search(r"\n\n\n|None", card)


@pytest.mark.parametrize("missing", [None, math.nan])
def test_what_is_not_known_is_a_dash(evidence, missing):
    evidence["systems"][0]["metrics"]["recall/mel"] = {"value": missing, "low": missing, "high": missing}
    assert f"| mel | 10 | {DASH} |" in render_card(evidence)


def test_names_are_text(hostile):
    card = render_card(hostile)
    assert "<" not in card
    assert "&lt;script>alert(1)&lt;/script>" in card
    assert "| a\\|b | 10 |" in card


def test_calibration_and_what_to_expect_are_in_the_card(evidence):
    expected = {"n": 530, "prevalence": 0.057, "metrics": {"auroc_macro": interval(0.8)}, "at_thresholds": []}
    evidence["systems"][0]["expectation"] = expected
    evidence["net_benefit"] = {"sentences": ["Net benefit of x."]}
    card = render_card(evidence).replace(MINUS, "-")
    assert "| temperature | -0.020 [-0.070, +0.030] | -0.100 [-0.150, -0.050] |" in card
    assert "mean distance (ICI) 0.060, median 0.050, 90th percentile 0.100" in card
    assert "On a new test set of 530 images with 5.7\xa0% positives, with 95 % prediction intervals" in card
    assert "| Macro AUROC | 0.800 [0.750, 0.850] |" in card
    assert "- Net benefit of x." in card
