"""Rows without a probability or a label are refused with their number and place, or left out and counted."""

import json
from pathlib import Path

import pandas as pd
import pytest

from skinlab.errors import UserError
from skinlab.tables.predictions import TableReader

HEADER = ["Case", "Diagnosis", "Risk (%)"]
NAMES = {"image_id": "Case", "label": "Diagnosis", "prob": {"malignant": "Risk (%)"}}
ROWS = [[f"c{i}", ("malignant", "benign")[i % 2], str(10 * (i % 9) + 5)] for i in range(40)]


def written(folder: Path, **changed: list[str]) -> Path:
    rows = [changed.get(row[0], row) for row in ROWS]
    pd.DataFrame(rows, columns=HEADER).to_csv(folder / "sheet.csv", index=False)
    return folder / "sheet.csv"


@pytest.mark.parametrize("value", ["", "k.A.", "<1"])
def test_a_row_without_a_number_is_named(tmp_path: Path, value: str):
    path = written(tmp_path, c3=["c3", "benign", value], c7=["c7", "benign", value])
    with pytest.raises(
        UserError, match=r"2 of 40 rows have no number in Risk \(%\) \(first: row 5, image c3, '"
    ) as error:
        TableReader(NAMES, missing="error").read(path)
    assert "missing=drop" in str(error.value)


def test_incomplete_rows_are_left_out_and_counted(tmp_path: Path):
    path = written(tmp_path, c3=["c3", "benign", ""], c7=["c7", "", "20"], c9=["c9", "", ""])
    found = TableReader(NAMES, missing="drop").read(path)
    assert len(found.rows) == 37
    assert found.facts["incomplete"] == {"without a probability": 2, "without a label": 1}
    assert "3 rows are left out (2 without a probability, 1 without a label; missing=drop)." in found.cautions
    whole = TableReader(NAMES, missing="drop").read(written(tmp_path))
    assert "incomplete" not in whole.facts
    assert (
        found.rows.probabilities
        == whole.rows.take(~pd.Series(whole.rows.image_id).isin(["c3", "c7", "c9"])).probabilities
    ).all()


def test_a_column_without_any_number_is_refused(tmp_path: Path):
    path = written(tmp_path, **{row[0]: [row[0], row[1], "x"] for row in ROWS})
    with pytest.raises(UserError, match="no row has a label and a probability"):
        TableReader(NAMES, missing="drop").read(path)


def test_a_mistyped_percentage_is_named(tmp_path: Path):
    path = written(tmp_path, c4=["c4", "malignant", "120"])
    with pytest.raises(UserError, match=r"holds 120, which is no percentage \(1 of 40 rows\)"):
        TableReader(NAMES).read(path)


def test_the_flow_of_images_counts_what_was_left_out(tmp_path: Path, run):
    path = written(tmp_path, c3=["c3", "benign", ""])
    words = ["columns.image_id=Case", "columns.label=Diagnosis", 'columns.prob={malignant: "Risk (%)"}', "missing=drop"]
    done = run("evaluate", f"predictions={path}", "output=out", *words, "n_draws=100")
    assert done.returncode == 0, done.stderr
    flow = json.loads((tmp_path / "out" / "evidence.json").read_text())["systems"][0]["flow"]
    assert (flow["found"], flow["left_out"], flow["kept"]) == (40, {"without a probability": 1}, 39)
