"""A table of artefacts is read by the images' ids, and refused in one line where it can't be right."""

from pathlib import Path

import pytest

from skinlab.battery.artefact_table import read_artefacts
from skinlab.errors import UserError

KNOWN = ["ISIC_1", "ISIC_2", "ISIC_3"]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "artefacts.csv"


def test_ids_match_with_suffix_and_unknown_cells_are_empty(place: Path):
    place.write_text("image_id,ruler,sharpness,hair\nISIC_2.jpg,0.95,9,\nISIC_1,0,9,1\nother,1,9,1\n")
    found = read_artefacts(str(place), KNOWN)
    assert list(found.index) == ["ISIC_2", "ISIC_1"]
    assert list(found.columns) == ["ruler", "hair"]
    assert found.loc["ISIC_2", "ruler"] == 0.95
    assert found["hair"].isna().tolist() == [True, False]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("image_id,sharpness\nISIC_1,1\n", r"has no column of an artefact \(ruler, .*its columns are image_id, sharp"),
        ("name,ruler\nISIC_1,1\n", "has no column image_id"),
        ("image_id,ruler\nx,1\ny,0\n", r"is of other images: none of its 2 image_id \(x, y\) .*ISIC_1, ISIC_2"),
        ("image_id,ruler\nISIC_1,1\nISIC_1.jpg,0\n", "more than one row of ISIC_1"),
        ("image_id,ruler\nISIC_1,2\n", "ruler of ISIC_1 is '2'; give a probability from 0 to 1"),
        ("image_id,ruler\nISIC_1,yes\n", "ruler of ISIC_1 is 'yes'"),
    ],
)
def test_what_can_not_be_right_is_refused(place: Path, content: str, message: str):
    place.write_text(content)
    with pytest.raises(UserError, match=message):
        read_artefacts(str(place), KNOWN)
