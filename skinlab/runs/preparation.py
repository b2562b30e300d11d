"""Audit and split the data of a run, without an import of torch."""

from __future__ import annotations

from skinlab.data.audit.checks import AuditResult
from skinlab.data.preparation import PREPARATION, Prepared, prepare, read_audited
from skinlab.processes.cores import available_cores
from skinlab.settings.data import DataSettings
from skinlab.settings.part import build


def audit_data(data: DataSettings) -> AuditResult:
    """Return the audited images of a data set that no training uses: not split, whatever classes they have.

    Raises:
        UserError: whatever has to be corrected.
    """
    return read_audited(
        build(data.reader),
        label_map=data.label_map,
        on_bad_image=data.on_bad_image,
        audit_cache=data.cache_dir,
        num_workers=_workers(data),
    )


def prepare_data(data: DataSettings) -> Prepared:
    """Return the audited and split data of a run.

    Raises:
        UserError: whatever has to be corrected before training.
    """
    content = data.dump()
    return prepare(
        build(data.reader),
        audit_cache=data.cache_dir,
        num_workers=_workers(data),
        unlabeled_ok=True,
        **{key: content[key] for key in PREPARATION},
    )


def _workers(data: DataSettings) -> int:
    return available_cores() if data.num_workers == "auto" else data.num_workers
