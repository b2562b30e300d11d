"""The table that a sweep ends with: its jobs by the monitored metric, and the command that evaluates them."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from skinlab.cli.sweeps.job import JobResult, differing_overrides

RANK_BY = "val/balanced_accuracy"  # where jobs differ in what val/loss depends on beside the predictions
OWN_LOSS = ("loss=", "loss.", "sampler=", "sampler.")  # each loss has its own scale, and a sampler its own class shares


def print_table(name: str, jobs: Sequence[JobResult], folder: str) -> None:
    """Print the jobs, the best first, and how to evaluate them.

    Args:
        name: of the command.
        jobs: in the order in which they ran.
        folder: of the sweep.
    """
    console, found = Console(), [(job, job.metrics()) for job in jobs]
    finished = [(job, metrics) for job, metrics in found if job.returncode == 0 and "best/monitor" in metrics]
    failed = [job for job, metrics in found if job.returncode != 0 or "best/monitor" not in metrics]
    monitor = finished[0][0].monitor() if finished else "result"
    differing = differing_overrides(jobs)
    own = monitor == "val/loss" and any(each.startswith(OWN_LOSS) for each in differing)
    ranked = own and all(isinstance(metrics.get(RANK_BY), float) for _, metrics in finished)
    of_folds = any(each.startswith("data.fold=") for each in differing)  # which have other validation images
    order = "" if of_folds or not finished else RANK_BY if ranked else monitor
    first = f", the best by {order} first" if order else ""
    table = Table(title=f"{len(finished)} of {len(jobs)} jobs finished{first}")
    table.add_column("job", overflow="fold")
    for words in (*([RANK_BY] if ranked else []), monitor, "best\nepoch", "time", "folder"):
        table.add_column(words, justify="right", overflow="fold")
    key, sign = "best/monitor", -1 if finished and finished[0][1].get("best/mode") == "max" else 1
    if ranked:
        key, sign = RANK_BY, -1
    if order:
        finished.sort(key=lambda each: sign * each[1][key])
    for job, metrics in finished:
        cells = (*([f"{metrics[RANK_BY]:.3f}"] if ranked else []), f"{metrics['best/monitor']:.4g}")
        row = (*cells, str(metrics["best/epoch"] + 1), job.time(), job.directory.name)
        table.add_row(job.name(differing), *row)
    for job in failed:
        cells = (f"exit code {job.returncode}", *([""] if ranked else []), "", job.time(), job.directory.name)
        table.add_row(job.name(differing), *cells)
    console.print(table)
    if own and order:
        why = f"the order is by {RANK_BY}" if ranked else "this order says nothing; compare by another metric, as below"
        line = f"! val/loss does not compare losses or samplers: {why}"
        console.print(line, soft_wrap=True, highlight=False, markup=False)
    if order:
        best = finished[0][0]
        lines = [f"best run: {best.directory}", *(f"! {caution}" for caution in best.cautions())]
        for line in lines:
            console.print(line, soft_wrap=True, highlight=False, markup=False)
    if name == "train" and finished:
        command = f"python -m skinlab.evaluate predictions={folder} output={folder}/evaluation"
        what = "evaluate the folds together" if of_folds else "compare them with intervals"
        console.print(f"to {what}: {command}", soft_wrap=True, highlight=False, markup=False)
