"""The page for the expert: whole, by itself, and its answers read back as labels."""

import base64
import hashlib
import re
import shutil
import subprocess

import numpy as np
import pytest

from skinlab.evaluation.mining import yield_curve
from skinlab.report.mining_page import render_mining
from tests.report.test_page import Page

CLASSES = ["mel", "nv", "a,b"]
PICTURE = b"\xff\xd8\xff\x00"


def rows(n: int = 4) -> list[dict]:
    shared = {"label": "", "path": "/p", "group": "g", "probability": 0.7, "uncertainty": 0.4, "novelty": 0.5}
    shared |= {"prob_mel": 0.6, "prob_nv": 0.3, "prob_a,b": 0.1, "by": "mixed"}
    return [shared | {"rank": i + 1, "image_id": f"ISIC_{i}", "flagged": int(i == 1)} for i in range(n)]


def facts(**more) -> dict:
    figure = {"value": 0.183, "low": 0.151, "high": 0.22}
    novelty = {"by": "features", "threshold": 1.1, "training_images": 900, "alarms": 0.01, "flagged": 7}
    counts = {"images": 3103, "copies": 6, "copies_of_held_out": 2, "held_out": 3, "labelled": 5, "repeats": 40}
    share = {"em": figure, "adjusted_count": figure, "called": figure, "images": 3000}
    curves = {
        name: yield_curve(np.arange(120) % 3 < found, 90, 400)
        for name, found in {"probability": 2, "uncertainty": 1, "diversity": 0, "mixed": 1}.items()
    }
    return {
        "provenance": {"command": "python -m skinlab.mine", "date": "2026-11-22"},
        "model": {"checkpoint_sha256": "ab" * 32},
        "classes": CLASSES,
        "positive": ["mel"],
        "by": "mixed",
        "pool": counts | {"groups": 2000, "unreadable": 0, "novelty": novelty | {"false_alarms": figure}},
        "prevalence": share | {"reference_images": 800, "reference_positives": 90},
        "yield": {"positives": 90, "groups": 400, "known": 420, "by": "mixed", "curves": curves},
    } | more


@pytest.fixture(scope="module")
def page() -> str:
    return render_mining(facts(), rows(), [PICTURE] * 4)


def test_the_page_is_complete_and_loads_nothing_from_elsewhere(page: str):
    found = Page(page)
    assert len(found.ids) == len(set(found.ids))
    assert all(link.startswith(("#", "data:image/jpeg;base64,")) for link in found.links)
    assert all(link.removeprefix("#") in found.ids for link in found.links if link.startswith("#"))
    assert not re.search(r"https?:|@import|<link", page)
    assert not [name for _, name, _ in found.attributes if name.startswith("on")]
    assert all(value for tag, name, value in found.attributes if (tag, name) == ("img", "alt"))


def test_the_policy_lets_this_script_run_and_no_other(page: str):
    (script,) = re.findall(r"(?s)<script>(.*?)</script>", page)
    (allowed,) = re.findall(r"script-src 'sha256-([^']+)'", page)
    assert base64.b64decode(allowed) == hashlib.sha256(script.encode()).digest()
    assert "default-src 'none'" in page


def test_every_image_has_its_picture_and_a_choice_of_classes(page: str):
    assert page.count("<fieldset") == page.count("<legend>") == 4
    assert page.count(base64.b64encode(PICTURE).decode()) == 4
    found = Page(page)
    values = [value for tag, name, value in found.attributes if (tag, name) == ("input", "value")]
    assert values == ["", *CLASSES] * 4
    assert len({value for tag, name, value in found.attributes if (tag, name) == ("input", "name")}) == 4
    assert page.count("checked>") == 4, "nothing is answered by the model"
    assert page.count("unlike the training images") == 1


def test_the_share_states_its_assumption(page: str):
    assert "18.3\xa0%" in page
    assert "label shift" in page
    assert "the images of a class must be alike" in page
    text = render_mining(facts(prevalence={"why": "there is no run"}), rows(), [PICTURE] * 4)
    assert "Not estimated: there is no run" in text
    assert "label shift" not in text


def test_the_yield_is_that_at_a_hundred(page: str):
    table = page[page.index("Positives found by each way") :]
    assert re.findall(r'<td class="n">(\d+)</td><td class="n">(\d+)</td>', table) == [
        ("100", "67"),
        ("100", "34"),
        ("100", "0"),
        ("100", "34"),
    ]
    assert page.count("<svg") == 1
    assert 'aria-label="Positives found: by probability 80 of 120;' in page
    text = render_mining(facts(**{"yield": None}), rows(), [PICTURE] * 4)
    assert "<svg" not in text
    assert 'href="#yield"' not in text
    Page(text)


def test_what_is_not_known_is_said():
    known = facts()
    known["pool"] |= {"copies": None, "novelty": None}
    text = render_mining(known, rows(), [PICTURE] * 4)
    assert "not searched" in text
    assert "flagged:" not in text
    assert not re.search(r"\bnan\b|\bNone\b", re.sub(r"(?s)<svg.*?</svg>|<style>.*?</style>", "", text))


def test_names_are_text():
    bad = '"><script>alert(1)</script>'
    hostile = [row | {"image_id": bad, "prob_" + bad: 0.9} for row in rows(1)]
    text = render_mining(facts(classes=[bad, "nv"], positive=[bad]), hostile, [PICTURE])
    assert Page(text).tags.count("script") == 1


def test_labels_of_another_list_are_kept_apart():
    keys = [re.findall(r'data-key="(\w+)"', render_mining(facts(), rows(n), [PICTURE] * n))[0] for n in (3, 4, 4)]
    assert keys[0] != keys[1] == keys[2]


@pytest.mark.skipif(not shutil.which("node"), reason="node checks the script's grammar")
def test_the_script_is_javascript(page: str, tmp_path):
    (script,) = re.findall(r"(?s)<script>(.*?)</script>", page)
    (tmp_path / "page.js").write_text(script)
    subprocess.run(["node", "--check", str(tmp_path / "page.js")], check=True, timeout=30)
