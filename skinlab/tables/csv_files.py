"""Read CSV files with any usual separator, a byte order mark, trailing commas or decimal commas."""

from __future__ import annotations

import csv
import logging
import re
import warnings
import zipfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from skinlab.errors import UserError, nearest
from skinlab.text import clean, name_key, quantity

log = logging.getLogger(__name__)

SEPARATORS = (",", ";", "\t", "|")
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
WINDOWS = "cp1252"  # Excel's CSV in Western Europe; five of its bytes are undefined
NO_TABLES = {  # kind → suffixes
    "an image": (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif"),
    "a Markdown file": (".md",),
    "a PDF": (".pdf",),
    "a JSON file": (".json", ".jsonl"),
    "a page": (".html", ".htm"),
    "a configuration": (".yaml", ".yml"),
}
WORD = re.compile(r'[^\s,;|"]+')
# Names of columns, in any case and with any separator of words.
COLUMN_NAMES = (
    *("image_id", "path", "label", "group", "source", "split", "fold", "age", "sex", "site", "mask_path"),
    *("lesion_id", "dx", "dataset", "localization", "image_hash"),
)


def read_csv(path: str | Path, required: Sequence[str] = ()) -> pd.DataFrame:
    """Read a table as text, with its cells unchanged.

    The separator is that of the header. Columns without a name and without a value are left out, and rows without a
    value, such as those at the end of a spreadsheet; :func:`row_numbers` counts them.

    Args:
        path: a CSV in UTF-8, in UTF-16 with a byte order mark, or else in Windows-1252, as spreadsheets write it.
        required: columns that the table must have.

    Raises:
        UserError: the file is missing, empty or in another encoding, lacks a column or has it twice, or a row has too
            few or too many fields.
    """
    path = Path(path)
    if not path.is_file():
        fault = "is a folder" if path.is_dir() else "is not there"
        raise UserError(f"{path} {fault}: give the path of an existing table")
    _refuse_other_kinds(path)
    try:
        encoding = _encoding(path)
        header, separator = _header(path, encoding)
        table = _read(path, encoding, header, separator)
    except OSError as error:
        raise UserError(f"{path} can't be read ({error.strerror}): check its permissions") from None
    except UnicodeError as error:
        if zipfile.is_zipfile(path):
            raise UserError(f"{path} is a spreadsheet's own file or an archive: save the table as CSV") from None
        place = f" (byte {error.start})" if isinstance(error, UnicodeDecodeError) else ""
        raise UserError(f"{path} is neither UTF-8 nor Windows-1252{place}: save it again as plain UTF-8") from None
    except (csv.Error, pd.errors.ParserError) as error:
        raise UserError(f"{path} is not a well-formed table: {' '.join(str(error).split())}") from None
    table = _known_names(table.loc[:, [not _is_padding(table, i) for i in range(table.shape[1])]], required)
    _check_columns(path, list(table.columns), required)
    if table.empty:
        raise UserError(f"{path} has no rows below its header: give a table with a row an image")
    return table


def _refuse_other_kinds(path: Path) -> None:
    """Refuse a file whose name says that it is no table.

    Raises:
        UserError: with its kind, and what is expected.
    """
    if kind := next((kind for kind, suffixes in NO_TABLES.items() if path.suffix.lower() in suffixes), ""):
        raise UserError(f"{path} is {kind}, no table: give a CSV with a header line and a row an image")


def row_numbers(table: pd.DataFrame) -> npt.NDArray[np.int64]:
    """Return the number of each row in its file as a spreadsheet counts: the header is row 1, empty rows count.

    A cell with line breaks is in one row, so that an editor's lines are the same only where there is none.

    Args:
        table: of :func:`read_csv`, or some of its rows under their index.
    """
    numbers = table.index.to_numpy(np.int64) + 2
    for left_out in table.attrs.get("left_out", ()):  # rising
        numbers = numbers + (numbers >= left_out)
    return numbers


def read_header(path: Path) -> list[str]:
    """Return the names of a table's columns, from its first line; none where it can't be read."""
    try:
        return _header(path, _encoding(path))[0]
    except (OSError, UnicodeError, csv.Error, UserError):
        return []


def numbers(column: pd.Series) -> pd.Series[float]:
    """Return a column of text as numbers, with a decimal point or a decimal comma, or in percent; NaN where it is none.

    >>> numbers(pd.Series(["0.25", "0,5", "45 %", "x"])).tolist()
    [0.25, 0.5, 0.45, nan]
    """
    found = pd.to_numeric(column, errors="coerce")
    if column.dtype != float and (open_rows := found.isna() & column.notna() & (column != "")).any():
        text = column[open_rows].astype(str).str.strip()
        plain = pd.to_numeric(text.str.removesuffix("%").str.replace(",", ".", n=1), errors="coerce")
        found[open_rows] = plain.where(~text.str.endswith("%"), plain / 100)
    return found.astype("float64")


def _encoding(path: Path) -> str:
    """Return the encoding of a file by its bytes; Windows-1252 where they are no UTF-8, which costs a warning."""
    content = path.read_bytes()
    if content.startswith(UTF16_MARKS):
        return "utf-16"
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        if zipfile.is_zipfile(path):
            raise
        text, at = content.decode(WINDOWS), error.start  # a letter a byte
        word = next((found[0] for found in WORD.finditer(text) if found.end() > at), "")
        row = content.count(b"\n", 0, at) + 1
        _note_once("%s is not UTF-8 (line %s: %s); read as Windows-1252", path, row, word)
        return WINDOWS
    return "utf-8-sig"


@cache
def _note_once(line: str, *values: object) -> None:
    """Log a warning of a file that is read several times once."""
    log.warning(line, *values)


def _header(path: Path, encoding: str) -> tuple[list[str], str]:
    """Return the names of the columns, trimmed, and the separator that results in most columns."""
    with path.open(encoding=encoding, newline="") as file:
        line = file.readline()
    candidates = [(next(csv.reader([line], delimiter=each), []), each) for each in SEPARATORS]
    header, separator = max(candidates, key=lambda found: len(found[0]))
    names = [clean(name) for name in header]
    if not any(names):
        raise UserError(f"{path} is empty: give a table with a header line")
    if 2 * names.count("") >= len(names) > 2:
        title = next(name for name in names if name)
        raise UserError(
            f"{path}: {names.count('')} of the {len(names)} columns have no name in its first line ({title}); if that "
            "is a title, delete all lines above the names of the columns"
        )
    return names, separator


def _read(path: Path, encoding: str, header: Sequence[str], separator: str) -> pd.DataFrame:
    """Read all rows; if some are empty or have another width than the header, one by one."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table = pd.read_csv(
                path,
                sep=separator,
                dtype=str,
                keep_default_na=False,
                index_col=False,
                encoding=encoding,
                skip_blank_lines=False,
            )
        if (table.iloc[:, -1] != "").all():  # pandas fills the fields that a short row lacks with nothing
            table.columns = pd.Index(header)
            return table
    except (pd.errors.ParserError, pd.errors.ParserWarning):
        pass
    with path.open(encoding=encoding, newline="") as file:
        reader = csv.reader(file, delimiter=separator, strict=True)
        width, rows, left_out, empty = len(next(reader)), [], [], 0
        for number, row in enumerate(reader, 2):
            if row and (len(row) < width or any(row[width:])):
                raise UserError(f"{path} row {number} has {len(row)} of {width} fields: correct or delete that row")
            if any(row):
                rows.append(row[:width])
            else:
                left_out.append(number)
                empty += bool(row)  # a blank line is not worth a warning
    if empty:
        _note_once("%s: %s without a value left out", path, quantity(empty, "row"))
    table = pd.DataFrame(rows, columns=list(header), dtype=str)
    table.attrs["left_out"] = left_out
    return table


def _is_padding(table: pd.DataFrame, column: int) -> bool:
    """Return whether a column comes from trailing separators: without a name and without values."""
    return table.columns[column] == "" and bool((table.iloc[:, column].str.strip() == "").all())


def _known_names(table: pd.DataFrame, required: Sequence[str]) -> pd.DataFrame:
    """Return the table with the usual spelling of known column names."""
    present = set(table.columns)
    wanted = {name_key(name): name for name in (*COLUMN_NAMES, *required) if name not in present}
    return table.rename(columns={name: wanted[name_key(name)] for name in present if name_key(name) in wanted})


def _check_columns(path: Path, header: list[str], required: Sequence[str]) -> None:
    """Refuse a header that lacks a required column, or has a known one twice."""
    for column in dict.fromkeys([*required, *(name for name in COLUMN_NAMES if name in header)]):
        if header.count(column) != 1:
            fault = "has no column" if column not in header else "has more than one column"
            raise UserError(
                f"{path} {fault} {column}{nearest(column, header)}: its columns are {', '.join(header)}; "
                "rename the right one (data=table takes other names as data.columns)"
            )
