"""Tables of labels as archives publish them."""

import pandas as pd
import pytest

from skinlab.errors import UserError
from skinlab.tables.labels import find_column, join_ids, one_hot_labels, read_image_table


@pytest.mark.parametrize("name", ["image_id", "image", "image_name", "isic_id", "Image", "ISIC ID", " isic_id"])
def test_the_column_of_ids_has_any_usual_name(tmp_path, name):
    (tmp_path / "t.csv").write_text(f"{name},target\n ISIC_1 ,1\nNA,0\n")
    table = read_image_table(tmp_path / "t.csv", ["target"])
    assert table["image_id"].tolist() == ["ISIC_1", ""]
    assert table["target"].tolist() == ["1", "0"]


def test_image_id_comes_before_other_names():
    assert find_column(["isic_id", "image", "image_id"], ("image_id", "image", "isic_id")) == "image_id"


@pytest.mark.parametrize(("header", "missing"), [("file,label", "image_id"), ("image,lable", "label")])
def test_a_table_without_ids_or_labels_is_refused(tmp_path, header, missing):
    (tmp_path / "t.csv").write_text(f"{header}\na,mel\n")
    with pytest.raises(UserError, match=f"has no column {missing}.*its columns are {header.replace(',', ', ')}"):
        read_image_table(tmp_path / "t.csv", ["label"])


@pytest.mark.parametrize("one", ["1.0", "1", "1,0", " 1 "])
def test_one_column_a_class_gives_class_names(tmp_path, one):
    rows = ["image;MEL;NV;UNK;age", f"a;{one};0;0;1", f"b;0;{one};0;0", "c;;NA;;1"]
    (tmp_path / "t.csv").write_text("\n".join(rows))
    assert read_image_table(tmp_path / "t.csv", ["label"])["label"].tolist() == ["MEL", "NV", ""]


@pytest.mark.parametrize("rows", [["a,1,1", "b,0,1"], ["b,1,0", "a,0,0"]])
def test_a_row_without_one_class_is_refused(tmp_path, rows):
    (tmp_path / "t.csv").write_text("\n".join(["image,MEL,NV", *rows]))
    with pytest.raises(UserError, match=r"1 row has no 1, or several, in the columns MEL, NV \(first: a,"):
        read_image_table(tmp_path / "t.csv", ["label"])


@pytest.mark.parametrize(
    "columns",
    [
        {"target": ["0", "1"]},
        {"MEL": ["0.2", "0.9"], "NV": ["0.8", "0.1"]},
        {"male": ["0", "1"], "female": ["1", "0"], "diagnosis": ["nv", "mel"]},
    ],
)
def test_other_numbers_are_no_classes(columns):
    assert one_hot_labels(pd.DataFrame({"image": ["a", "b"], **columns}), "t.csv") is None


def test_an_id_that_may_mean_two_images_is_refused_with_both():
    with pytest.raises(UserError, match=r"t.csv: 1 id may mean several .* a: x/a.jpg or y/a.jpg; give them"):
        join_ids(pd.Series(["a", "b"]), ["x/a.jpg", "y/a.jpg", "b.jpg"], "t.csv")
    assert join_ids(pd.Series(["b", "c"]), ["b.jpg"], "t.csv").tolist() == ["b.jpg", ""]
