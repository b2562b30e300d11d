"""Fill the templates of the pages and of the model card."""

from __future__ import annotations

import base64
import json
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader

from skinlab.evaluation.metrics.operating_points import rule_words
from skinlab.evaluation.metrics.registry import metric_label
from skinlab.report.headlines import curve_sentence, expectation_rows, expectation_title
from skinlab.report.operating_points import applied_words, decision_words
from skinlab.report.wording import (
    between,
    bounds,
    count,
    counted,
    group_noun,
    groups_in_words,
    in_words,
    interval,
    interval_note,
    known_split,
    label_of,
    label_of_column,
    licence_in_words,
    number,
    overlap_sentence,
    p_value,
    percent,
    several_classes,
    shorten,
    units_in_words,
)

WORDING = (
    applied_words,
    between,
    bounds,
    decision_words,
    group_noun,
    groups_in_words,
    in_words,
    interval,
    interval_note,
    known_split,
    label_of,
    label_of_column,
    licence_in_words,
    metric_label,
    number,
    overlap_sentence,
    p_value,
    percent,
    rule_words,
    several_classes,
    units_in_words,
)
ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", "|": "\\|", "`": "\\`", "*": "\\*", "\n": " ", "\r": " "})


def render(template: str, **values: Any) -> str:
    """Return a filled template; what is written into it is escaped, as HTML or as Markdown (``.md.j2``)."""
    return _environment(markdown=template.endswith(".md.j2")).get_template(template).render(**values)


@cache
def _environment(*, markdown: bool) -> Environment:
    environment = Environment(
        loader=PackageLoader("skinlab.report"),
        autoescape=not markdown,
        finalize=markdown_text if markdown else None,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {each.__name__: each for each in WORDING} | {
        "thousands": count,
        "curve_sentence": curve_sentence,
        "expectation_rows": expectation_rows,
        "expectation_title": expectation_title,
        "shorten": shorten,
        "quantity": counted,
        "pretty": lambda value: json.dumps(value, indent=2, ensure_ascii=False, default=str),
    }
    return environment


def markdown_text(value: Any) -> str:
    r"""Keep names from being read as markup.

    >>> markdown_text("<b>|[mel](there)")
    '&lt;b>\\|[mel]\\(there)'
    """
    return "" if value is None else str(value).translate(ESCAPES).replace("](", "]\\(")


def data_uri(data: bytes) -> str:
    """Return the address that holds a JPEG or PNG.

    >>> data_uri(bytes([255, 216, 255]))
    'data:image/jpeg;base64,/9j/'
    """
    kind = "png" if data.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
