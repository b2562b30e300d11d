"""The column that names the images of a table, checked from its header alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from skinlab.errors import UserError, some
from skinlab.tables.labels import ID_COLUMNS, find_column


def check_image_column(header: Sequence[str], columns: Mapping[str, str | None], place: Path) -> None:
    """Refuse a table without a column of images.

    Args:
        header: names of its columns.
        columns: column of the manifest → existing one of the table.
        place: of the table, for the message.

    Raises:
        UserError: no column has a usual name of paths or ids, and none is named.
    """
    if find_column(header, ("path", *ID_COLUMNS)) or any(columns.get(name) for name in ("path", "image_id")):
        return
    raise UserError(
        f"{place} has no column path or image_id: its columns are {some(header, 20)}; name the one with the "
        "images: data.columns.path=COLUMN or data.columns.image_id=COLUMN"
    )
