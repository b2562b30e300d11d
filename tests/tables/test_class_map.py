"""The file that gives another data set's labels their classes."""

import pytest

from skinlab.errors import UserError
from skinlab.tables.class_map import class_of_labels, read_class_map

CLASSES = ["mel", "nv", "Basal_cell"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("map.csv", "label,class\nmelanoma,MEL\ncommon nevus,nv\nBCC,basal cell\nother,\n"),
        ("map.yaml", "melanoma: MEL\ncommon nevus: nv\nBCC: basal cell\nother: null\n"),
    ],
)
def test_both_formats_are_read_and_spellings_matched(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    found = read_class_map(str(tmp_path / name), CLASSES)
    assert found == {"melanoma": "mel", "common nevus": "nv", "BCC": "Basal_cell", "other": ""}
    classes = class_of_labels(["Melanoma", "common_nevus", "other", ""], found, CLASSES, "ph2")
    assert classes == {"Melanoma": "mel", "common_nevus": "nv", "other": "", "": ""}


def test_without_a_map_labels_are_the_classes():
    assert class_of_labels(["MEL", "nv"], None, CLASSES, "ph2") == {"MEL": "mel", "nv": "nv", "": ""}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("m.csv", "label,class\nmelanoma,mell\n", r"class_map=.*: mell is no class of the model.*mel"),
        ("m.csv", "label,class\nnevus,nv\nnevus,mel\n", "nevus has the classes nv and mel; give it one"),
        ("m.csv", "a,b\nnevus,nv\n", "label"),
        ("m.yaml", "- nevus\n", "is no mapping; write a line LABEL: CLASS"),
        ("m.yaml", "a: [\n", "can't be read"),
    ],
)
def test_a_file_that_is_no_class_map_is_refused(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=message):
        read_class_map(str(tmp_path / name), CLASSES)


def test_a_label_without_a_class_is_refused_with_the_rows_to_add():
    with pytest.raises(UserError, match=r"data=ph2: class_map lacks wart; add rows .*: wart,CLASS"):
        class_of_labels(["wart", "nv"], {"nv": "nv"}, CLASSES, "ph2")
    with pytest.raises(UserError, match=r"data=ph2: nevus, wart are no classes of the model .*nevus,CLASS; wart,CLASS"):
        class_of_labels(["wart", "nevus"], None, CLASSES, "ph2")
