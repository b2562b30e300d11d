"""Check the initial weights of a run before its data are read, and name them and their licence."""

from __future__ import annotations

import logging
from pathlib import Path

from skinlab.errors import UserError, user_errors
from skinlab.models.hub import PREFIX
from skinlab.models.repository import read_repository
from skinlab.models.weight_facts import published_licence, read_weight_facts
from skinlab.models.weights import check_readable
from skinlab.report.wording import licence_in_words, restrictions
from skinlab.runs.backbone_record import find_init
from skinlab.runs.provenance import NAMES, InitFacts
from skinlab.settings.groups import ModelSettings

log = logging.getLogger(__name__)


def check_init(model: ModelSettings, fold: int | None) -> None:
    """Find the initial weights, download them where they are a repository's, and refuse damaged or other ones.

    The network is compared by its name, which tells apart what shapes don't, such as two activations.

    Args:
        model: of the run.
        fold: ``data.fold`` of the run.

    Raises:
        UserError: there are no such weights, they are damaged, or the files beside them say that they are of another
            network.
    """
    init = find_init(model.init, fold)
    if init in NAMES:
        return
    record, name = read_repository(Path(init).parent), model.name.partition(".")[0]
    if record.networks and name not in record.networks:
        raise UserError(
            f"model.init={model.init}: weights of {record.networks[0]}, not of {name}; set model=timm "
            f"model.name={record.networks[0]}"
        )
    if record.model_type and not record.networks:
        raise UserError(
            f"model.init={model.init}: {record.model_type} in the layout of the library transformers, where CLIP alone "
            "is converted; take timm's copy, such as model.init=hf-hub:timm/NAME"
        )
    with user_errors(f"model.init={model.init}: "):
        check_readable(Path(init).expanduser())


def weights_name(init: str, used: str) -> str:
    """Return what is recorded of initial weights: of a repository its name with the commit, else the file.

    Args:
        init: as set.
        used: the file, or one of ``NAMES``.

    >>> weights_name("hf-hub:a/b", "/hub/models--a--b/snapshots/0f3c/model.safetensors")
    'hf-hub:a/b@0f3c'
    """
    return f"{init.partition('@')[0]}@{Path(used).parent.name}" if init.startswith(PREFIX) else used


def licence_of(name: str, used: str) -> str | None:
    """Return the licence of the weights in use, which a backbone of a pretraining inherits from its initial ones.

    Args:
        name: timm's, of the network.
        used: ``imagenet``, ``random`` or the file.
    """
    if used in NAMES:
        return published_licence(name) if used == "imagenet" else None
    return read_weight_facts(Path(used)).licence


def log_licence(start: InitFacts) -> None:
    """Log the licence of initial weights, as a warning where it restricts use or a repository states none."""
    used, licence = start["init_used"], start.get("init_licence")
    if licence:
        level = logging.WARNING if restrictions(licence) else logging.INFO
        log.log(level, "initial weights %s: licence %s", used, licence_in_words(licence))
    elif used.startswith(PREFIX):
        log.warning("initial weights %s: no licence is stated; ask their authors before you share a model", used)
