"""The page of the shift battery, made from its ``evidence.json`` and its pictures alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from skinlab.evaluation.metrics.registry import metric_label
from skinlab.evaluation.shift.flags import in_words, readable
from skinlab.evaluation.shift.form import Condition, Picture, ProbeResult, ShiftEvidence
from skinlab.evaluation.shift.mitigation import AT_SPECIFICITY
from skinlab.report.charts import dots_chart
from skinlab.report.rendering import data_uri, render
from skinlab.report.svg import INK
from skinlab.report.wording import interval
from skinlab.text import quantity

SHOWN = (
    "sensitivity",
    "specificity",
    "ece",
    "calibration_slope/positive",
    "calibration_intercept/positive",
    "auroc/positive",
    "balanced_accuracy",
)
CHARTED = "sensitivity"
LONG = 12  # rows of a table that is shown without a click


def render_shift(evidence: ShiftEvidence, output: Path) -> str:
    """Return the whole page, which needs no other file and no network.

    Args:
        evidence: of the battery.
        output: folder with its pictures.
    """
    return render(
        "shift.html.j2",
        evidence=evidence,
        readable=readable,
        headline=_headline(evidence),
        places=[each for each in (evidence["home"], evidence["outside"]) if each],
        probes=[_section(each, output) for each in evidence["probes"]],
        long=LONG,
        metrics=SHOWN,
    )


def _headline(evidence: ShiftEvidence) -> str:
    found = evidence["verdict"]
    parts = [
        f"{len(found['breaks'])} break" if found["breaks"] else "",
        f"{len(found['watch'])} to watch" if found["watch"] else "",
        f"{len(found['not_run'])} not run" if found["not_run"] else "",
    ]
    return f"{quantity(len(evidence['probes']), 'probe')}: {', '.join(filter(None, parts)) or 'no flag'}"


def _section(probe: ProbeResult, output: Path) -> dict[str, Any]:
    """Return what the template shows of a probe."""
    return {
        **probe,
        "chart": _chart(probe),
        "shown": [name for name in SHOWN if any(name in each["metrics"] for each in probe["conditions"])],
        "strips": _strips(probe["pictures"], output),
    }


def _chart(probe: ProbeResult) -> Markup:
    """Draw the change of sensitivity: each condition at the dose that lowers it most, recipes at one specificity."""
    metric = AT_SPECIFICITY if probe["outcome"] else CHARTED
    worst: dict[str, Condition] = {}
    for each in probe["conditions"]:
        name = each["name"]
        if metric in each["changes"] and (name not in worst or _change(each, metric) < _change(worst[name], metric)):
            worst[name] = each
    rows = [
        (each["name"] if probe["outcome"] else in_words(each).removesuffix(","), each["changes"][metric]["difference"])
        for each in sorted(worst.values(), key=lambda each: _change(each, metric))
    ]
    if not rows:
        return Markup("")
    label = "; ".join(f"{name} {interval(found, signed=True)}" for name, found in rows)
    title = f"Change of {metric_label(CHARTED, point=False)}"
    return dots_chart(rows, [INK] * len(rows), f"change-{probe['name']}", f"{title}: {label}", zero=True)


def _change(condition: Condition, metric: str) -> float:
    value = condition["changes"][metric]["difference"]["value"]
    return 0.0 if value is None else value


def _strips(pictures: Sequence[Picture], output: Path) -> list[tuple[str, list[Mapping[str, str]]]]:
    """Return title → its pictures with their doses, as data URIs."""
    strips: dict[str, list[Mapping[str, str]]] = {}
    for each in pictures:
        uri = data_uri((output / each["file"]).read_bytes())
        strips.setdefault(each["title"], []).append({"dose": each["dose"], "uri": uri})
    return list(strips.items())
