"""The artefact lab flags what moves a model, and nothing of a model that looks elsewhere."""

import numpy as np
import pytest

from skinlab.battery.bench import Bench
from skinlab.battery.drawn_artefacts import DrawnArtefacts
from skinlab.battery.model import Image
from skinlab.battery.probe import NotRunError
from skinlab.errors import UserError
from tests.battery_bench import bench, lesion_darkness, skin


def corners(image: Image) -> float:
    """Return a probability of mel that is raised by dark corners."""
    return min(1.0, lesion_darkness(image) + 0.6 * float(image[0, 0].mean() < 60))


def test_a_model_of_the_lesion_alone_does_not_move():
    found = DrawnArtefacts(["ruler", "dark_corner"], [0.5, 1.0]).run(bench(*skin(60), lesion_darkness))
    assert [(each["name"], each["dose"]) for each in found.conditions] == [
        *(("ruler", "dose 0.5"), ("ruler", "dose 1")),
        *(("dark_corner", "dose 0.5"), ("dark_corner", "dose 1")),
    ]
    assert all(each["flipped"]["value"] == 0 for each in found.conditions)
    assert not found.flags
    assert not found.notes
    assert len(found.pictures) == 2 * 2 * 3  # of an image of each class


def test_a_model_of_dark_corners_flips_and_says_which_class():
    found = DrawnArtefacts(["ruler", "dark_corner"], [1.0]).run(bench(*skin(90), corners))
    ruler, corner = found.conditions
    assert ruler["flipped"]["value"] == 0
    assert corner["flipped"]["value"] > 0.5
    assert corner["flipped_p"] < 0.001
    sentences = {flag["level"]: flag["sentence"] for flag in found.flags}
    assert sentences["breaks"].startswith("The drawn artefact dark corner, dose 1, changes specificity by")
    assert any("flips the decisions of" in flag["sentence"] for flag in found.flags)
    (note,) = found.notes
    assert note.startswith("Dark corner changes the share called positive")
    assert "nv +" in note
    assert "mel" not in note.split(":")[1]
    (table,) = found.tables
    assert table["columns"] == ["Artefact and dose", "bkl", "mel", "nv"]
    assert [row["name"] for row in table["rows"]] == ["ruler, dose 1", "dark corner, dose 1"]


def test_few_flips_are_not_flagged():
    """One of 60 images flips: the limit of 5 % is not passed."""
    images, labels = skin(60)
    images[1][...] = 77  # at the threshold, and darker by the ruler
    found = DrawnArtefacts(["ink"], [1.0]).run(bench(images, labels, lambda image: float(image.mean() < 76.9)))
    assert 0 < found.conditions[0]["flipped"]["value"] < 0.05
    assert not any("flips" in flag["sentence"] for flag in found.flags)


def test_arguments_are_checked():
    with pytest.raises(UserError, match=r"artefacts: rular is none of .*did you mean ruler"):
        DrawnArtefacts(["rular"])
    with pytest.raises(UserError, match=r"doses: 2 is not above 0"):
        DrawnArtefacts(doses=[2])


def test_no_home_is_not_run():
    whole = bench(*skin(6), lesion_darkness)
    with pytest.raises(NotRunError, match="home=RUN"):
        DrawnArtefacts().passes(Bench(whole.model, whole.yardstick, None, None))
    assert DrawnArtefacts(["ink"], [0.5]).passes(whole) == 6


def test_the_artefacts_of_an_image_are_its_own():
    images = np.repeat(skin(3)[0][:1], 6, axis=0)
    found = DrawnArtefacts(["ink"], [1.0]).run(bench(images, ["bkl", "mel", "nv"] * 2, lesion_darkness))
    first, second, _ = (shown.pixels for shown in found.pictures)
    assert (first != second).any()
