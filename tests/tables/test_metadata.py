import pytest

from skinlab.errors import UserError
from skinlab.tables.metadata import read_metadata


def read(tmp_path, text, **columns):
    path = tmp_path / "m.csv"
    path.write_text(text)
    return read_metadata(path, columns, "metadata=m.csv")


def test_published_names_are_known_and_probabilities_are_no_metadata(tmp_path):
    found = read(tmp_path, "isic_id,age_approx,localization,Fitzpatrick,prob_mel,ward\na, 40 ,unknown,II,0.5,3\n")
    assert found.loc["a"].to_dict() == {"age": "40", "site": "", "skin_tone": "II", "ward": "3"}


def test_rows_of_one_image_agree(tmp_path):
    assert len(read(tmp_path, "image_id,sex\na,f\na,f\n")) == 1
    with pytest.raises(UserError, match="image a has several rows with another sex"):
        read(tmp_path, "image_id,sex\na,f\na,m\n")


def test_another_name_of_the_id(tmp_path):
    assert read(tmp_path, "photo,sex\na,f\n", image_id="photo").index.tolist() == ["a"]


@pytest.mark.parametrize("name", ["patient", "Patient_ID"])
def test_a_column_of_patients_that_is_the_group_stays_one_of_patients(tmp_path, name):
    found = read(tmp_path, f"image,{name}\na,P1\n", group=name)
    assert found.loc["a"].to_dict() == {"group": "P1", "patient": "P1"}


def test_patients_and_lesions_may_have_any_name(tmp_path):
    found = read(tmp_path, "File name,Case,Spot\na,P1,L1\n", patient="Case", lesion="Spot")
    assert found.loc["a"].to_dict() == {"patient": "P1", "lesion": "L1"}
