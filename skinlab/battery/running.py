"""Run the probes one after the other; one that can't be run is reported as such, never as passed."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path

from skinlab.battery.bench import Bench
from skinlab.battery.probe import Findings, NotRunError, Probe, Shown
from skinlab.evaluation.shift.form import Picture, ProbeResult
from skinlab.files import replacing
from skinlab.inference.overlays import jpeg
from skinlab.processes.progress import Progress

log = logging.getLogger(__name__)

PICTURES = "pictures"


def run_probes(probes: Mapping[str, Probe], bench: Bench, output: Path) -> list[ProbeResult]:
    """Return what each probe found, and write its pictures into the output's folder.

    Args:
        probes: by their names.
        bench: what they are run on.
        output: folder.
    """
    planned: dict[str, int | str] = {}
    for name, probe in probes.items():
        try:
            planned[name] = probe.passes(bench)
        except NotRunError as error:
            planned[name] = str(error)
    found = []
    unaltered = sum(len(images) for images in (bench.home, bench.outside) if images is not None)
    with Progress("probing", unaltered + sum(each for each in planned.values() if isinstance(each, int))) as progress:
        for name, probe in probes.items():
            progress.advance(0, f"probing: {probe.title.lower()}")
            result = _run(name, probe, planned[name], bench, output)
            log.info("%s", _line(result))
            found.append(result)
    return found


def _run(name: str, probe: Probe, planned: int | str, bench: Bench, output: Path) -> ProbeResult:
    """Run one probe; ``planned`` is its number of predictions, or why it can't be run."""
    started, reason, findings = time.monotonic(), "", Findings()
    if isinstance(planned, str):
        reason = planned
    else:
        try:
            findings = probe.run(bench)
        except NotRunError as error:
            reason = str(error)
    return {
        "name": name,
        "title": probe.title,
        "question": probe.question,
        "published": probe.published,
        "status": "not run" if reason else "run",
        "reason": reason,
        "seconds": round(time.monotonic() - started, 1),
        "reference": findings.reference,
        "conditions": findings.conditions,
        "flags": findings.flags,
        "notes": findings.notes,
        "tables": findings.tables,
        "outcome": findings.outcome,
        "pictures": [_written(name, number, each, output) for number, each in enumerate(findings.pictures)],
    }


def _written(probe: str, number: int, shown: Shown, output: Path) -> Picture:
    file = f"{PICTURES}/{probe}_{number:03}.jpg"
    with replacing(output / file) as temporary:
        temporary.write_bytes(jpeg(shown.pixels))
    return {"title": shown.title, "dose": shown.dose, "file": file}


def _line(result: ProbeResult) -> str:
    if result["status"] == "not run":
        return f"{result['title']}: not run, {result['reason']}"
    says = [flag["sentence"] for flag in result["flags"]] + result["outcome"]
    return f"{result['title']}: {says[0] if says else 'no flag'}"
