"""Read a submission as strictly as a challenge does: commas, the header, an id and 0 or 1 in each line."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from skinlab.errors import UserError
from skinlab.evaluation.submission_check import find_faults

OTHER_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}
CHECKPOINTS = (".ckpt", ".bundle", ".safetensors", ".pt", ".pth")
LABELS = ("0", "1", "0.0", "1.0")


def read_submission(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Return the ids and labels of a submission as text.

    Args:
        path: of the file.
        columns: the two that the challenge wants, in order.

    Raises:
        UserError: it has another separator, another header, or a line of more or fewer than two fields.
    """
    lines = _lines(path)
    if not lines:
        raise UserError(f"{path} is empty: give the submission")
    _check_header(path, lines[0][1], list(columns))
    for number, line in lines[1:]:
        if len(line) != len(columns):
            raise UserError(f"{path} line {number} has {len(line)} fields instead of {len(columns)}: correct it")
    if len(lines) == 1:
        raise UserError(f"{path} has no line below its header: give one for each test image")
    return pd.DataFrame([line for _, line in lines[1:]], columns=list(columns), dtype=str)


def read_sample(path: Path) -> pd.DataFrame:
    """Return the ids and labels of a challenge's sample submission, under its own names of columns.

    Raises:
        UserError: it has not two columns, or a line of more or fewer fields.
    """
    lines = _lines(path)
    if not lines or len(lines[0][1]) != 2:
        raise UserError(f"sample={path} has not two columns, of ids and labels: give the challenge's sample submission")
    return read_submission(path, lines[0][1])


def check_rows(path: Path, table: pd.DataFrame, expected: Sequence[str]) -> None:
    """Refuse a submission with other ids than those of the test images, or with other labels than 0 and 1.

    Args:
        path: of the file.
        table: from :func:`read_submission`.
        expected: ids of the test images.

    Raises:
        UserError: one line with all faults.
    """
    if faults := find_faults(table, expected):
        raise UserError(f"{path} is no valid submission of {len(expected)} images: {'; '.join(faults)}")


def _lines(path: Path) -> list[tuple[int, list[str]]]:
    """Return the number and the fields of each line that is not blank."""
    if not path.is_file():
        fault = "is a folder" if path.is_dir() else "is not there"
        raise UserError(f"{path} {fault}: give the file to submit")
    if path.suffix in CHECKPOINTS:
        raise UserError(
            f"{path} is a checkpoint, no submission: predict the test by it first: python -m skinlab.predict "
            f"ckpt={path} input=TEST output=submission.csv format=kaggle threshold=f1"
        )
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            return [(reader.line_num, row) for row in reader if row]
    except OSError as error:
        raise UserError(f"{path} can't be read ({error.strerror}): check its permissions") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is no CSV in UTF-8 ({error}): save it again as comma-separated UTF-8") from None


def _check_header(path: Path, header: list[str], columns: list[str]) -> None:
    if header == columns:
        return
    wanted = ",".join(columns)
    for separator, name in OTHER_SEPARATORS.items():
        if len(header) == 1 and separator in header[0]:
            raise UserError(f"{path} is separated by {name}; the challenge reads commas: save it with commas")
    if header[1:] == columns and header[0] in ("", "Unnamed: 0", "index"):
        raise UserError(f"{path} was saved with an index: save it without, so that its columns are {wanted}")
    if len(header) == len(columns) and header[-1] in LABELS:
        raise UserError(f"{path}: the header line is missing: begin the file by {wanted}")
    raise UserError(f"{path} has the columns {', '.join(header)}; the challenge wants {', '.join(columns)}")
