"""Show in one screen whether this machine is ready: packages, devices, decoding, data, weights, disks and W&B."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from skinlab.errors import UserError
from skinlab.fetching.catalogue import DATA_SETS
from skinlab.runs.machine import (
    ERROR,
    NOTE,
    OK,
    WARNING,
    data_sets,
    devices,
    disks,
    image_decoding,
    packages,
    wandb_state,
    weights,
)
from skinlab.settings.commands.doctor import DoctorSettings

MARKS = {OK: "[green]ok[/]", NOTE: "[dim]-[/]", WARNING: "[yellow]![/]", ERROR: "[red]error[/]"}


def doctor(settings: DoctorSettings) -> None:
    """Print the state of this machine, and what to do about what is missing.

    Args:
        settings: of the command.

    Raises:
        UserError: something is missing that no command works without.
    """
    places = {"work_dir": settings.work_dir, "cache_dir": settings.cache_dir, "data_home": settings.data_home}
    found = [
        *packages(),
        *devices(),
        image_decoding(),
        *data_sets(Path(settings.data_home), {name: each.n_images for name, each in DATA_SETS.items()}),
        *weights(),
        *disks(places, settings.min_free_gb),
        wandb_state(),
    ]
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column()
    table.add_column()
    table.add_column(overflow="fold")
    topic = ""
    for each in found:
        table.add_row(MARKS[each.state], each.topic if each.topic != topic else "", Text(each.text))
        topic = each.topic
    Console().print(table)
    if errors := [f"{each.topic}: {each.text}" for each in found if each.state == ERROR]:
        raise UserError("; ".join(errors))
