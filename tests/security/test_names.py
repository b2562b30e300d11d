"""Names of files, classes, sources and systems are text: no markup, no terminal commands, no formula without a word."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import rc_context

from skinlab.cli.entry import log_to_terminal
from skinlab.data.manifest import build_manifest
from skinlab.inference.inputs import find_images
from skinlab.report.rendering import _environment, markdown_text, render
from skinlab.report.svg import STYLE, inline_svg, new_axes
from skinlab.text import clean, printable
from tests.security.mutations import PAYLOADS

TEMPLATES = sorted((Path(__file__).parents[2] / "skinlab" / "report" / "templates").glob("*.j2"))
names = st.text(max_size=12) | st.sampled_from(PAYLOADS)


@settings(max_examples=100, deadline=None, database=None, derandomize=True)
@given(names)
def test_cleaned_text_has_no_control_characters(name: str):
    assert clean(name).isprintable() or re.search(r"[^\x00-\x7f]", clean(name))
    assert not re.search("[\x00-\x1f\x7f-\x9f\ud800-\udfff]", clean(name))
    assert clean(clean(name)) == clean(name)
    assert printable(name).isprintable()


@settings(max_examples=8, deadline=None, database=None, derandomize=True)
@given(names)
def test_a_chart_is_drawn_whatever_a_system_is_called(name: str):
    with rc_context(STYLE):
        figure, axes = new_axes(100, 60, (0.3, 0.2, 0.6, 0.7))
        axes.set_yticks([0], [name.encode(errors="replace").decode()])
        drawn = inline_svg(figure, "chart", name.encode(errors="replace").decode())
    tags = {element.tag for element in ElementTree.fromstring(drawn).iter()}
    assert tags <= {"svg", "g", "path", "defs", "use", "text", "style", "clipPath", "rect", "tspan"}


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_no_template_lets_markup_pass(path: Path):
    text = path.read_text()
    assert not re.search(r"\|\s*safe\b|autoescape|Markup|\bon\w+=|href=\"?{{|javascript:", text)
    assert _environment(markdown=path.name.endswith(".md.j2")).autoescape is not path.name.endswith(".md.j2")
    for element in re.findall(r"<(script|style)[^>]*>(.*?)</\1>", text, re.S):
        assert set(re.findall(r"{{\s*(\w+)", element[1])) <= {"script"}, "text in them is not escaped as HTML is"


def test_a_page_allows_no_script_but_its_own():
    text = render("base.html.j2")
    assert "default-src 'none'" in text
    assert "script-src" not in text


@pytest.mark.parametrize("name", PAYLOADS)
def test_a_name_in_the_model_card_is_text(name: str):
    text = markdown_text(name)
    assert "<" not in text.replace("&lt;", "")
    assert "\n" not in text
    assert "](" not in text


def test_a_log_line_has_no_control_characters(capsys: pytest.CaptureFixture[str]):
    root = logging.getLogger()
    before: Any = (root.handlers[:], root.level)
    try:
        log_to_terminal()
        logging.getLogger("skinlab.x").warning("%s is bad\nsecond line", "a\x1b]0;title\x07.jpg")
    finally:
        root.handlers[:], root.level = before
        logging.captureWarnings(False)
    assert capsys.readouterr().err == "WARNING: a\\x1b]0;title\\x07.jpg is bad\nsecond line\n"


def test_a_name_that_a_spreadsheet_would_run_is_kept_and_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    rows = pd.DataFrame({"image_id": ["=1+1", "-3.5", "+", "a=b", "@x"], "path": ["p"] * 5})
    assert build_manifest(rows)["image_id"].tolist() == sorted(rows["image_id"])
    assert "2 names begin with =, +, - or @ (=1+1, @x)" in caplog.text
    caplog.clear()
    (tmp_path / "=cmd.png").touch()
    assert find_images(str(tmp_path))["image_id"].tolist() == ["=cmd.png"]
    assert "1 name begins" in caplog.text
    caplog.clear()
    assert build_manifest(rows[1:4])["label"].tolist() == [""] * 3
    assert "spreadsheet" not in caplog.text
