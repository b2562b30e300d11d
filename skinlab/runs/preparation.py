"""The data of a run, audited and split; torch is not needed for it."""

from __future__ import annotations

from typing import Any

from skinlab.data.preparation import PREPARATION, Prepared, prepare
from skinlab.errors import UserError
from skinlab.processes.cores import available_cores
from skinlab.settings.part import build


def prepare_data(data: dict[str, Any]) -> Prepared:
    """Prepare the data of a config's ``data`` group as a training would.

    Raises:
        UserError: whatever a person must mend before training.
    """
    workers = data["num_workers"]
    if workers != "auto" and (not isinstance(workers, int) or workers < 0):
        raise UserError(f"data.num_workers={workers}: give auto or a number of processes, 0 or more")
    return prepare(
        build(data["reader"]),
        audit_cache=data["cache_dir"],
        num_workers=available_cores() if workers == "auto" else workers,
        unlabeled_ok=True,
        **{key: data[key] for key in PREPARATION},
    )
