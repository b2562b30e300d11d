"""Real artefacts are compared within source and class, and drawn ones are held against them."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from skinlab.battery.bench import Bench
from skinlab.battery.model import Image
from skinlab.battery.probe import NotRunError
from skinlab.battery.real_artefacts import RealArtefacts
from skinlab.errors import UserError
from tests.battery_bench import bench, lesion_darkness, skin

N = 240


def labelled(images: Image, score, has: np.ndarray, labels: list[str], **columns) -> Bench:
    """Return a bench with a table of dark corners."""
    found = bench(images, labels, score, **columns)
    ids = pd.Index(found.home.rows["image_id"])
    return replace(found, artefacts=pd.DataFrame({"dark_corner": has.astype(float), "ink": 0.0}, index=ids))


def corners(image: Image) -> float:
    """Return a probability of mel that is raised by dark corners."""
    return min(1.0, lesion_darkness(image) + 0.6 * float(image[0, 0].mean() < 90))


def test_an_artefact_that_goes_with_a_source_is_compared_within_it():
    """Images of one source are darker and mostly have the artefact: raw they differ, within the source they do not."""
    images, labels = skin(N)
    rng, source = np.random.default_rng(3), np.arange(N) // 3 % 2
    images = np.where(source[:, None, None, None] == 1, images // 4 * 3, images).astype(np.uint8)
    has = rng.random(N) < np.where(source == 1, 0.8, 0.2)
    found = RealArtefacts().run(labelled(images, lesion_darkness, has, labels, source=np.where(source == 1, "a", "b")))
    real, drawn, without = found.conditions
    assert (real["name"], drawn["name"], without["name"]) == ("dark corner", "dark corner, drawn", "no dark corner")
    assert real["images"] + without["images"] == N
    interval = real["changes"]["specificity"]["difference"]
    assert interval["low"] < 0 < interval["high"]
    assert drawn["changes"]["specificity"]["difference"]["value"] == 0  # the model looks at the centre
    assert not found.flags
    assert any("Not compared: ink (10 groups with it" in note for note in found.notes)
    assert {shown.dose for shown in found.pictures} == {"real", "drawn, dose 0.5"}


def test_real_corners_that_move_the_model_are_flagged_and_so_does_the_drawn_one():
    images, labels = skin(N)
    has = np.random.default_rng(4).random(N) < 0.4
    images[has, :8, :8] = 20
    found = RealArtefacts().run(labelled(images, corners, has, labels))
    assert found.flags[0]["level"] == "breaks"
    assert found.flags[0]["sentence"].startswith("The real artefact dark corner changes specificity by")
    real, drawn, _ = found.conditions
    assert real["changes"]["specificity"]["difference"]["value"] < -0.3
    assert drawn["changes"]["specificity"]["difference"]["value"] < -0.3
    assert not any("drawn" in flag["sentence"] for flag in found.flags)


def test_a_drawn_one_that_moves_the_model_while_real_ones_do_not_is_said():
    """Images that the table calls dark at the corners are not."""
    images, labels = skin(N)
    has = np.random.default_rng(5).random(N) < 0.4
    found = RealArtefacts().run(labelled(images, corners, has, labels))
    assert any("changes specificity" in flag["sentence"] for flag in found.flags)
    assert all(flag["level"] == "watch" for flag in found.flags)
    assert all(flag["sentence"].endswith("the real one does less than the drawn one suggests.") for flag in found.flags)
    assert found.tables[0]["rows"][1]["name"] == "dark corner, specificity"


def test_uncertain_images_are_left_out_and_passes_are_of_what_is_compared():
    images, labels = skin(N)
    has = np.random.default_rng(4).random(N) < 0.4
    whole = labelled(images, lesion_darkness, has, labels)
    whole.artefacts.loc[whole.artefacts.index[:60], "dark_corner"] = 0.5
    assert RealArtefacts().passes(whole) == N
    conditions = RealArtefacts().run(whole).conditions
    assert conditions[0]["images"] + conditions[2]["images"] == N - 60


def test_without_a_table_or_with_few_images_it_is_not_run():
    images, labels = skin(12)
    with pytest.raises(NotRunError, match=r"set artefacts=FILE\.csv"):
        RealArtefacts().passes(bench(images, labels, lesion_darkness))
    few = labelled(images, lesion_darkness, np.arange(12) % 2 == 0, labels)
    assert RealArtefacts().passes(few) == 0
    with pytest.raises(NotRunError, match="no artefact of the table has images enough: 10 groups"):
        RealArtefacts().run(few)


def test_arguments_are_checked():
    with pytest.raises(UserError, match=r"absent=0\.9 must be below present=0\.5"):
        RealArtefacts(present=0.5, absent=0.9)
    with pytest.raises(UserError, match="dose: 0 is not above 0"):
        RealArtefacts(dose=0)
