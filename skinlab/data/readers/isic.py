"""Reader of the ISIC challenges as they are published: a table of diagnoses, perhaps one of lesions and patients."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from skinlab.data.audit.text_changes import clean_text
from skinlab.data.manifest import build_manifest
from skinlab.data.readers.listing import absolute, check_root, find_file, list_files
from skinlab.errors import UserError, some
from skinlab.tables.labels import join_ids, one_hot_labels, read_image_table

# Column of the manifest → those of the tables, the first that is there: patients before lesions.
COLUMNS = {
    "group": ("patient_id", "lesion_id"),
    "patient": ("patient_id",),
    "lesion": ("lesion_id",),
    "age": ("age_approx",),
    "sex": ("sex",),
    "site": ("anatom_site_general_challenge", "anatom_site_general"),
}


def read_isic(
    root: str | Path,
    name: str,
    truth: str,
    label: str | None = None,
    metadata: str | None = None,
    zero_one: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Read a challenge's training images; the classes' names are in small letters.

    Args:
        root: folder of the images and tables, at any depth.
        name: of the data set, for a message.
        truth: file name of the table of diagnoses.
        label: its column of diagnoses; None if there is one column of 0 and 1 a class.
        metadata: file name of a further table, with patient, lesion, age, sex or site of the images.
        zero_one: the classes that 0 and 1 in the column of diagnoses mean; None if it has names.

    Raises:
        UserError: the root, an image or a table is missing, or a table is malformed.
    """
    base = absolute(root)
    check_root(base, name)
    place = find_file(base, truth)
    table = read_image_table(place)
    if label is not None and label not in table:
        raise UserError(f"{place} has no column {label}: its columns are {', '.join(table.columns)}")
    labels = one_hot_labels(table, str(place)) if label is None else table[label]
    if labels is None:
        raise UserError(f"{place} has no column of 0 and 1 for each class: it is another table than the published one")
    if zero_one is not None:
        labels = _named(labels, zero_one, f"{place}: column {label}")
    frame = table[["image_id"]].assign(label=labels.str.lower())
    tables = [table, *([read_image_table(find_file(base, metadata))] if metadata else [])]
    for ours, theirs in COLUMNS.items():
        found = [(each, name) for name in theirs for each in tables if name in each]
        if found:
            source, name = found[0]
            frame[ours] = frame["image_id"].map(source.drop_duplicates("image_id").set_index("image_id")[name])
    frame = clean_text(frame, ["image_id"])
    files = list_files(base)
    paths = join_ids(frame["image_id"], files.images, str(place))
    frame["path"] = (base + "/" + paths).mask(paths == "", "")
    frame.attrs |= files.left_out()
    return build_manifest(frame)


def _named(numbers: pd.Series[str], names: Sequence[str], where: str) -> pd.Series[str]:
    """Return the names of 0 and 1; an empty value stays without a label."""
    known = {"": "", **{form: name for k, name in enumerate(names) for form in (f"{k}", f"{k}.0")}}
    if (odd := numbers[~numbers.isin(list(known))]).size:
        raise UserError(f"{where} has {some(odd.unique())} beside 0 and 1: it is another table than the published one")
    return numbers.map(known)
