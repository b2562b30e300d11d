"""A group that the model fails is flagged, a small one is only counted, and a missing column is refused."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from skinlab.battery.bench import Bench
from skinlab.battery.who import PROXY, Who
from skinlab.errors import UserError


def blind(bench: Bench, where: np.ndarray) -> Bench:
    """Turn the model's probabilities of some images round."""
    home = bench.home
    assert home is not None
    p = home.clean.probabilities.copy()
    p[where] = p[where, ::-1]
    home.__dict__["clean"] = home.clean.with_probabilities(p)
    return bench


def test_the_group_that_the_model_fails_is_flagged(bench_of: Callable[..., Bench], disc_rows: pd.DataFrame):
    male = (disc_rows["sex"] == "male").to_numpy()
    found = Who(ita=False).run(blind(bench_of(), male))
    assert {each["name"] for each in found.conditions} == {"sex", "age"}
    breaks = [flag["sentence"] for flag in found.flags if flag["level"] == "breaks"]
    assert any(
        line.startswith("The subgroup sex, male, differs from the other images in sensitivity") for line in breaks
    )
    assert not any("female" in line for line in breaks)


def test_equal_groups_have_no_flag(bench_of: Callable[..., Bench]):
    found = Who().run(bench_of())
    assert found.flags == []
    assert "weak proxy" in found.notes[-1]


def test_small_groups_are_counted_and_not_ranked(bench_of: Callable[..., Bench], disc_rows: pd.DataFrame):
    sex = np.where(np.arange(120) < 8, "other", disc_rows["sex"])
    found = Who(columns=["sex"], ita=False).run(blind(bench_of(rows=disc_rows.assign(sex=sex)), np.arange(120) < 8))
    small = next(each for each in found.conditions if each["dose"] == "other")
    assert (small["images"], small["metrics"], small["changes"]) == (8, {}, {})
    assert small["note"] == "fewer than 30 images"
    assert not any("other," in flag["sentence"] for flag in found.flags)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("skin_tone", r"skin_tone is no column of home \(there are: sex, age\)"),
        ("sexx", r"sexx is no column of home .*did you mean sex\?"),
        ("split", r"split: the images have 1 value of it; leave it out"),
        ("image_id", r"image_id: the images have 120 values of it; name a column of few values"),
    ],
)
def test_a_column_that_can_not_be_used_is_refused(bench_of: Callable[..., Bench], column: str, message: str):
    with pytest.raises(UserError, match=message):
        Who(columns=[column]).passes(bench_of())


def test_tones_are_a_column_of_their_own(bench_of: Callable[..., Bench], disc_rows: pd.DataFrame, tmp_path):
    import cv2

    paths = []
    for number, path in enumerate(disc_rows["path"]):
        image = cv2.imread(path)
        if number % 2:
            image = (image * 0.45).astype(np.uint8)  # darker skin
        paths.append(str(tmp_path / f"{number}.png"))
        cv2.imwrite(paths[-1], image)
    found = Who(columns=[]).run(bench_of(rows=disc_rows.assign(path=paths)))
    tones = [each for each in found.conditions if each["name"] == PROXY]
    assert len({each["dose"] for each in tones}) == 2
    assert all(flag["level"] == "watch" for flag in found.flags)
