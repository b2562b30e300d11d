"""The picture of where a network looked, and its legend."""

import numpy as np
import pytest
from PIL import ImageFont

from skinlab.inference.overlays import MARGIN, explained, wrapped

IMAGE, MAP = np.full((320, 320, 3), 120, np.uint8), np.ones((320, 320))
LONG = "sensitivity>=0.95: Melanoma or Basal cell carcinoma or Actinic keratosis from 0.028 on"


@pytest.mark.parametrize("rule", ["", "sensitivity>=0.95: Melanoma from 0.028 on", LONG])
@pytest.mark.parametrize("called", ["mel", "Melanoma", "Pigmented benign keratosis-like lesion " * 2])
def test_the_legend_keeps_to_its_halves(called, rule):
    legend = explained(IMAGE, MAP, called, 0.43, rule)[320:]
    assert (legend[:, 320 - MARGIN : 320 + MARGIN] == 255).all(), "the text of the class ends before the bar begins"
    assert (legend[:, -MARGIN:] == 255).all()
    assert (legend[-4:] == 255).all(), "no line is cut off below"


def test_the_rule_that_called_the_class_has_lines_of_its_own():
    without, with_rule = (explained(IMAGE, MAP, "Melanoma", 0.43, rule) for rule in ("", LONG))
    assert with_rule.shape[0] > without.shape[0]


def test_a_word_that_is_wider_than_the_line_is_broken():
    font = ImageFont.load_default(size=14)
    lines = wrapped("ab " + "x" * 90, font, 200)
    assert "".join(lines).replace(" ", "") == "ab" + "x" * 90
    assert max(font.getlength(line) for line in lines) <= 200
