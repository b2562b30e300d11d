"""Audit and split the data of a run, without an import of torch."""

from __future__ import annotations

from skinlab.data.preparation import PREPARATION, Prepared, prepare
from skinlab.processes.cores import available_cores
from skinlab.settings.data import DataSettings
from skinlab.settings.part import build


def prepare_data(data: DataSettings) -> Prepared:
    """Return the audited and split data of a run.

    Raises:
        UserError: whatever has to be corrected before training.
    """
    content = data.dump()
    return prepare(
        build(data.reader),
        audit_cache=data.cache_dir,
        num_workers=available_cores() if data.num_workers == "auto" else data.num_workers,
        unlabeled_ok=True,
        **{key: content[key] for key in PREPARATION},
    )
