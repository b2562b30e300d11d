"""Refuse an output that exists or can't be written before torch is imported; the command checks it again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from skinlab.errors import UserError
from skinlab.settings.base import Settings
from skinlab.settings.outputs import (
    bundle_file,
    contact_sheet_file,
    output_folder,
    pictures_folder,
    prediction_file,
    ranking_folder,
    refuse_existing,
)

EVIDENCE = ("evidence.json", "report.html", "model_card.md")  # of an evaluation that is complete
OF_TRAINING = "config.yaml"  # in a folder whose evidence may be replaced


def wrong_outputs(command: str, settings: Settings) -> Iterator[str]:
    """Yield the mistakes of what a command is to write.

    Args:
        command: its name.
        settings: of the command.
    """
    for check in CHECKS.get(command, ()):
        try:
            check(settings)
        except UserError as error:
            yield str(error)


def _evidence(settings: Any) -> None:
    output = output_folder(settings.output)
    if all((output / name).is_file() for name in EVIDENCE) and not (output / OF_TRAINING).exists():
        refuse_existing(output / EVIDENCE[0], overwrite=settings.overwrite)


def _shift(settings: Any) -> None:
    refuse_existing(output_folder(settings.output) / EVIDENCE[0], overwrite=settings.overwrite)


def _study(settings: Any) -> None:
    if settings.output is not None:
        output_folder(settings.output)


CHECKS: dict[str, tuple[Callable[[Any], Path | None], ...]] = {
    "predict": (
        lambda settings: prediction_file(settings.output, overwrite=settings.overwrite),
        lambda settings: pictures_folder(settings.explain, overwrite=settings.overwrite),
    ),
    "bundle": (lambda settings: bundle_file(settings.output, settings.format, overwrite=settings.overwrite),),
    "mine": (lambda settings: ranking_folder(settings.output, overwrite=settings.overwrite),),
    "audit": (lambda settings: contact_sheet_file(settings.contact_sheet),),
    "evaluate": (_evidence,),
    "ensemble": (_evidence,),
    "tta": (_evidence,),
    "shift": (_shift,),
    "study": (_study,),
}
