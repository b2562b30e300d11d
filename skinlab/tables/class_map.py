"""The classes of another data set's labels: a CSV with the columns label and class, or a YAML mapping."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import yaml

from skinlab.errors import UserError, nearest, some
from skinlab.settings.plain import YAML_ERRORS, check_plain
from skinlab.tables.csv_files import read_csv
from skinlab.text import clean, is_missing, match_names

YAML = (".yaml", ".yml")


def read_class_map(place: str, classes: Sequence[str]) -> dict[str, str]:
    """Return label → class of the model, empty for labels whose images are left out.

    Args:
        place: CSV with the columns ``label`` and ``class``, or YAML ``label: class``; no class leaves images out.
        classes: of the model; case and separators may differ.

    Raises:
        UserError: the file can't be read, has other columns, two classes for a label, or an unknown class.
    """
    pairs = _read_yaml(place) if place.lower().endswith(YAML) else _read_table(place)
    known = match_names((name for _, name in pairs), classes)
    found: dict[str, str] = {}
    for label, name in pairs:
        if name and name not in known:
            raise UserError(
                f"class_map={place}: {name} is no class of the model ({', '.join(classes)}){nearest(name, classes)}"
            )
        own = known[name] if name else ""
        if found.setdefault(label, own) != own:
            raise UserError(f"class_map={place}: {label} has the classes {found[label]} and {own}; give it one")
    return found


def class_of_labels(
    labels: Iterable[str], class_map: Mapping[str, str] | None, classes: Sequence[str], name: str
) -> dict[str, str]:
    """Return label → class of the model, empty for labels to leave out and for no label.

    Args:
        labels: of the other data set; case and separators may differ from those of the map or the classes.
        class_map: see :func:`read_class_map`; None where the labels are the model's classes.
        classes: of the model.
        name: of the data set, for messages.

    Raises:
        UserError: a label has no class.
    """
    wanted = dict(zip(classes, classes, strict=True)) if class_map is None else dict(class_map)
    names = sorted(set(labels) - {""})
    known = match_names(names, wanted)
    if missing := [each for each in names if each not in known]:
        lines = "; ".join(f"{each},CLASS" for each in missing)
        if class_map is not None:
            raise UserError(f"data={name}: class_map lacks {some(missing)}; add rows (no class: left out): {lines}")
        raise UserError(
            f"data={name}: {some(missing)} {'is no class' if len(missing) == 1 else 'are no classes'} of the model "
            f"({', '.join(classes)}): write their classes into a table with the columns label,class, an empty class to "
            f"leave images out, and set class_map=FILE.csv; its rows: {lines}"
        )
    return {"": "", **{label: wanted[own] for label, own in known.items()}}


def _read_table(place: str) -> list[tuple[str, str]]:
    table = read_csv(Path(place).expanduser(), ["label", "class"])
    return [(clean(label), _class(name)) for label, name in zip(table["label"], table["class"], strict=True)]


def _read_yaml(place: str) -> list[tuple[str, str]]:
    try:
        content = yaml.safe_load(Path(place).expanduser().read_text(encoding="utf-8"))
        check_plain(content)
    except YAML_ERRORS as error:
        reason = getattr(error, "strerror", None) or (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"class_map={place} can't be read ({reason}); write a line LABEL: CLASS for each label"
        ) from None
    if not isinstance(content, dict):
        raise UserError(f"class_map={place} is no mapping; write a line LABEL: CLASS for each label")
    return [(clean(str(label)), _class("" if name is None else str(name))) for label, name in content.items()]


def _class(name: str) -> str:
    return "" if is_missing(name) else clean(name)
