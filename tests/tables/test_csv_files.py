"""Tables as people have them."""

import pandas as pd
import pytest

from skinlab.errors import UserError
from skinlab.tables.csv_files import numbers, read_csv, row_numbers
from skinlab.tables.label_table import read_labels
from skinlab.tables.predictions import TableReader

PLAIN = [["007", "NA", ""], ["8, left", "nv", "50"]]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"image_id,dx\n", "no rows"),
        (b"image_id,dy\na,nv\n", r"no column dx \(did you mean dy\?\): its columns are image_id, dy"),
        (b"image_id,dx,dx\na,nv,mel\n", "more than one column dx"),
        (b"image_id,DX,dX\na,nv,mel\n", "more than one column dx"),
        (b"image_id,dx\na,nv\nb,nv,3\n", "row 3 has 3 of 2 fields"),
        (b"image_id,dx\na,nv,1\nb,nv,2\n", "row 2 has 3 of 2 fields"),
        (b"image_id,dx\na,nv\n\nb\n", "row 4 has 1 of 2 fields"),
        (b'image_id,dx\n"a,nv\n', "not a well-formed table"),
        (b"image_id,dx\na,n\x8dvus\n", r"neither UTF-8 nor Windows-1252 \(byte 15\)"),
        (b"image_id,dx\na,n\xe4v\x81us\n", r"neither UTF-8 nor Windows-1252 \(byte 17\)"),
        (b"image_id;dx\n;\n;\n", "no rows"),
    ],
)
def test_a_malformed_table_is_refused_in_one_line(tmp_path, content, complaint):
    table = tmp_path / "table.csv"
    table.write_bytes(content)
    with pytest.raises(UserError, match=complaint) as caught:
        read_csv(table, ["image_id", "dx"])
    assert str(table) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("README.md", b"# Title\n\nText, with, commas\n", "a Markdown file"),
        ("a.JPG", b"\xff\xd8\xff\xfb\x8d", "an image"),
        ("a.pdf", b"%PDF-1.7\n\x8d", "a PDF"),
        ("metrics.json", b'{"a": 1}', "a JSON file"),
    ],
)
def test_a_file_of_another_kind_is_named(tmp_path, name, content, kind):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_csv(tmp_path / name, ["image_id"])
    assert (
        str(caught.value) == f"{tmp_path / name} is {kind}, no table: give a CSV with a header line and a row an image"
    )


def test_a_missing_table_is_refused(tmp_path):
    with pytest.raises(UserError, match="is not there"):
        read_csv(tmp_path / "none.csv", [])


@pytest.mark.parametrize(
    "content",
    [
        b'image_id,dx,age\r\n007,NA,\r\n"8, left",nv,50\r\n',
        b'\xef\xbb\xbfimage_id,dx,age\n007,NA,\n"8, left",nv,50\n',
        'image_id\tdx\tage\n007\tNA\t\n"8, left"\tnv\t50\n'.encode("utf-16"),
        b"image_id;dx;age\n007;NA;\n8, left;nv;50\n",
        b"image_id\tdx\tage\n007\tNA\t\n8, left\tnv\t50\n",
        b"image_id|dx|age\n007|NA|\n8, left|nv|50\n",
        b'image_id,dx,age,\n007,NA,,\n"8, left",nv,50,\n',
        b'image_id,dx,age\n007,NA,,\n"8, left",nv,50,\n',
        b'Image ID, DX ,AGE\n007,NA,\n"8, left",nv,50\n\n',
    ],
)
def test_a_table_in_any_usual_form_gives_the_same_cells(tmp_path, content):
    table = tmp_path / "table.csv"
    table.write_bytes(content)
    frame = read_csv(table, ["image_id", "dx"])
    assert list(frame.columns) == ["image_id", "dx", "age"]
    assert frame.to_numpy().tolist() == PLAIN


def test_a_table_in_windows_1252_is_read_with_a_warning(tmp_path, caplog):
    table = tmp_path / "table.csv"
    table.write_bytes("image_id;site\na;Arm\nb;unterer Rücken 5 €\n".encode("cp1252"))
    for _ in range(2):
        assert read_csv(table)["site"].tolist() == ["Arm", "unterer Rücken 5 €"]
    (record,) = caplog.records
    assert record.getMessage() == f"{table} is not UTF-8 (line 3: Rücken); read as Windows-1252"


def test_empty_rows_of_a_spreadsheet_are_left_out(tmp_path, caplog):
    table = tmp_path / "table.csv"
    table.write_text("image_id;dx;age\n;;\na;nv;\nb;;50\n;mel;\n;;\n;;\n")
    assert read_csv(table).to_numpy().tolist() == [["a", "nv", ""], ["b", "", "50"], ["", "mel", ""]]
    assert [record.getMessage() for record in caplog.records] == [f"{table}: 3 rows without a value left out"]


def test_numbers_have_a_decimal_point_or_a_comma():
    column = pd.Series(["0.1", "0,25", "1e-3", "", "x", None])
    assert numbers(column).tolist()[:3] == [0.1, 0.25, 1e-3]
    assert numbers(column).isna().tolist() == [False] * 3 + [True] * 3
    assert numbers(pd.Series([1, 2])).tolist() == [1.0, 2.0]


def test_the_row_that_a_message_names_is_the_spreadsheet_s(tmp_path):
    """Empty rows and blank lines count; a cell with a line break is in one row."""
    table = tmp_path / "t.csv"
    table.write_text('image_id,label\n,\n\na,"n\nv"\nb,mel\n,\nc,nv\n\n')
    found = read_csv(table)
    assert found["image_id"].tolist() == ["a", "b", "c"]
    assert row_numbers(found).tolist() == [4, 5, 7]
    assert row_numbers(found[found["label"] == "nv"]).tolist() == [7]
    table.write_text("image_id,label\na,nv\n,\n\n,mel\n")
    with pytest.raises(UserError, match="row 5 has no image_id"):
        read_labels(str(table), "labels=t.csv", {})
    table.write_text("image_id,label,prob_mel,prob_nv\n,,,\na,wart,0.5,0.5\n")
    with pytest.raises(UserError, match=r"label 'wart' of image a \(row 3; 1 of 1 row\)"):
        TableReader().read(table)
    table.write_text("image_id,label\na,nv\n\nb,nv,x\n")
    with pytest.raises(UserError, match="row 4 has 3 of 2 fields"):
        read_csv(table)


def test_a_title_above_the_header_is_named(tmp_path):
    path = tmp_path / "sheet.csv"
    path.write_text("Vendor report 2026,,,\nimage_id,label,prob_a,prob_b\ni1,a,0.5,0.5\n")
    with pytest.raises(UserError, match=r"3 of the 4 columns have no name in its first line \(Vendor report 2026\)"):
        read_csv(path)
