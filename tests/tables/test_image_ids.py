"""Ids of tables joined with files, however either writes them."""

import pytest

from skinlab.tables.image_ids import match_ids

FILES = ["a/ISIC_1.jpg", "a/ISIC_2_downsampled.jpg", "b/ISIC_3.JPG", "b/lesion_1.2.png"]


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("a/ISIC_1.jpg", "a/ISIC_1.jpg"),
        ("ISIC_1", "a/ISIC_1.jpg"),
        ("isic_1.JPG", "a/ISIC_1.jpg"),
        ("ISIC_1.png", "a/ISIC_1.jpg"),
        ("./a/ISIC_1", "a/ISIC_1.jpg"),
        ("C:\\isic\\a\\ISIC_1.jpg", "a/ISIC_1.jpg"),
        ("/home/me/isic/a/ISIC_1.jpg", "a/ISIC_1.jpg"),
        ("ISIC_1_downsampled", "a/ISIC_1.jpg"),
        ("ISIC_2", "a/ISIC_2_downsampled.jpg"),
        ("ISIC_3", "b/ISIC_3.JPG"),
        ("lesion_1.2", "b/lesion_1.2.png"),
        ("lesion_1", ""),
        ("b/ISIC_1.jpg", ""),
        ("ISIC_11", ""),
        ("", ""),
    ],
)
def test_an_id_means_the_file_of_its_name(name, file):
    assert match_ids([name], FILES).known == [file]


def test_repeated_names_are_distinguished_by_folder_suffix_and_spelling():
    files = ["train/0/1.jpg", "train/1/1.jpg", "train/1/1.png", "ISIC_5.jpg", "ISIC_5_downsampled.jpg"]
    found = match_ids(["train/0/1.jpg", "0/1", "1/1.png", "ISIC_5", "ISIC_5_downsampled", "1", "1/1"], files)
    assert found.known == ["train/0/1.jpg", "train/0/1.jpg", "train/1/1.png", "ISIC_5.jpg", files[4], "", ""]
    assert found.ambiguous == {"1": files[:3], "1/1": files[1:3]}


def test_the_same_ids_match_themselves():
    assert match_ids(FILES, FILES) == (FILES, {})
