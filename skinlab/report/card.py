"""The model card, filled from ``evidence.json``; values that it lacks stay visible blanks."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader

from skinlab.evaluation.evidence_form import Evidence, System
from skinlab.evaluation.metric_registry import metric_label, shown_metrics
from skinlab.report.headlines import columns, headline, positive_headline
from skinlab.report.wording import count, interval, number, percent, rule_words, seen_words

# What of a predictions table's meta.json describes the model and how it was trained.
MODEL_META = {
    "run_id": "Run",
    "checkpoint_sha256": "Checkpoint, SHA-256",
    "image_size": "Image size, pixels",
    "fit": "Fitted to it by",
    "loss": "Loss",
    "tta": "Test-time augmentation",
    "training_prior": "Training prior, in the order of the classes",
}
ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", "|": "\\|", "`": "\\`", "*": "\\*", "\n": " ", "\r": " "})


def render_card(evidence: Evidence) -> str:
    """Return the card as Markdown (Mitchell et al., 2019: Model Cards for Model Reporting).

    Args:
        evidence: the content of ``evidence.json``; a block that is null is left out.
    """
    environment = Environment(
        loader=PackageLoader("skinlab.report"), trim_blocks=True, lstrip_blocks=True, finalize=markdown_text
    )
    words = (number, interval, percent, metric_label, rule_words, seen_words)
    environment.filters |= {each.__name__: each for each in words} | {"thousands": count}
    card = environment.get_template("model_card.md.j2")
    return card.render(
        settings=evidence["settings"],
        provenance=evidence["provenance"],
        systems=[_system(evidence, each) for each in evidence["systems"]],
        comparisons=evidence["comparisons"],
        cautions=evidence["cautions"],
    )


def markdown_text(value: Any) -> str:
    r"""Keep names from being read as markup.

    >>> markdown_text("<b>|[mel](there)")
    '&lt;b>\\|[mel]\\(there)'
    """
    return "" if value is None else str(value).translate(ESCAPES).replace("](", "]\\(")


def _system(evidence: Evidence, system: System) -> dict[str, Any]:
    """Lay out the tables of one system."""
    metrics, binary = system["metrics"], system["binary"]["metrics"] if system["binary"] else {}
    spread = system["spread"]["metrics"] if system["spread"] else {}
    classes = evidence["settings"]["classes"]
    metas = [source["meta"] for source in system["sources"]]
    return dict(system) | {
        "headline": headline(metrics, "card"),
        "binary_headline": positive_headline(binary, "card"),
        "spread_metrics": headline(spread, "card"),
        "class_columns": columns(metrics, "card", classes),
        "calibration_columns": shown_metrics("calibration", "all"),
        "classes": classes,
        "model": {words: _seen(metas, name) for name, words in MODEL_META.items() if _seen(metas, name)},
    }


def _seen(metas: list[dict[str, Any]], name: str) -> str:
    """Return the distinct values of a key in the metadata of the tables."""
    return "; ".join(dict.fromkeys(_plain(meta[name]) for meta in metas if meta.get(name) is not None))


def _plain(value: Any) -> str:
    return ", ".join(number(each) for each in value) if isinstance(value, list) else str(value)
