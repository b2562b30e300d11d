"""A cache of fingerprints by path, size and modification time, so that an audit reads only new images."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from skinlab.data.audit.duplicates import PAIR, find_duplicates
from skinlab.data.audit.fingerprint import FINGERPRINT, fingerprint_all
from skinlab.data.image_files import exists, size_and_time
from skinlab.data.private_files import one_maker, read_checked, write_checked
from skinlab.errors import UserError
from skinlab.text import portion, printable, quantity

log = logging.getLogger(__name__)

VERSION = 3  # raise it when fingerprints or the search for pairs change
ENTRY = np.dtype([("path", "<u8"), ("size", "<i8"), ("mtime_ns", "<i8"), ("fingerprint", FINGERPRINT)])


def fingerprints(
    paths: Sequence[str], cache_dir: Path | None, num_workers: int
) -> tuple[np.ndarray, dict[int, str], int]:
    """Return the fingerprints of files; only new and changed files are read.

    Bad files are read each time: they are few, and a change of permissions does not change the modification time.

    Args:
        paths: absolute.
        cache_dir: folder of the cache, one file a data set; None for no cache.
        num_workers: processes.

    Returns:
        FINGERPRINT records (N,); position → reason of the bad ones; how many came from the cache.

    Raises:
        UserError: images were removed meanwhile; they are not left out as bad images are.
    """
    entries = np.zeros(len(paths), ENTRY)
    entries["path"] = pd.util.hash_array(np.array([os.fsencode(path) for path in paths], dtype=object))
    entries["size"], entries["mtime_ns"] = _sizes_and_times(paths)
    with one_maker(store := _store(paths, cache_dir)):  # one of several runs on the same images reads them
        return _read_new(paths, entries, store, num_workers)


def _read_new(
    paths: Sequence[str], entries: np.ndarray, store: Path | None, num_workers: int
) -> tuple[np.ndarray, dict[int, str], int]:
    """Return what :func:`fingerprints` does, from entries without their fingerprints."""
    known = _load_entries(store)
    at = np.searchsorted(known["path"], entries["path"])
    at[at == len(known)] = 0
    fresh = np.ones(len(paths), bool)
    if len(known):
        fresh = np.any([known[name][at] != entries[name] for name in ("path", "size", "mtime_ns")], axis=0)
        entries["fingerprint"][~fresh] = known["fingerprint"][at[~fresh]]
    new = np.flatnonzero(fresh)
    if not len(new):
        return entries["fingerprint"], {}, len(paths)
    cached = quantity(len(paths) - len(new), "other", "is")
    log.info("reading %s (%s cached by an earlier audit)", quantity(len(new), "image"), cached)
    entries["fingerprint"][new], bad = fingerprint_all([paths[int(row)] for row in new], num_workers)
    if gone := [row for row in new[list(bad)] if entries["size"][row] >= 0 and not exists(paths[row])]:
        raise UserError(
            f"{portion(len(gone), len(paths), 'image', 'was')} removed while they were read (first: "
            f"{printable(paths[gone[0]])}); put them back (is their drive connected?) and start again"
        )
    good = np.delete(new, list(bad))
    if len(good):
        latest = _load_entries(store)  # another run may have added to it meanwhile
        kept = latest[~np.isin(latest["path"], entries["path"][good])]
        _save(store, np.sort(np.concatenate([kept, entries[good]]), order="path"))
    return (
        entries["fingerprint"],
        {int(new[position]): reason for position, reason in bad.items()},
        len(paths) - len(new),
    )


def duplicates(records: np.ndarray, cache_dir: Path | None) -> np.ndarray:
    """Return the PAIR records of some fingerprints, from the cache where it has them."""
    name = hashlib.sha256(records.tobytes()).hexdigest()[:16]
    store = cache_dir / f"duplicates-{VERSION}-{name}.bin" if cache_dir else None
    pairs = _load(store, PAIR)
    if pairs is None:
        pairs = find_duplicates(records)
        _save(store, pairs)
    return pairs


def _sizes_and_times(paths: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return sizes in bytes and modification times in nanoseconds; -1 for a file without, which is never cached."""
    found = np.full((2, len(paths)), -1, np.int64)
    for row, path in enumerate(paths):
        try:
            found[:, row] = size_and_time(path)
        except OSError:
            continue
    return found[0], found[1]


def _store(paths: Sequence[str], cache_dir: Path | None) -> Path | None:
    """Return the file of the cache for images below their common folder."""
    if cache_dir is None or not paths:
        return None
    root = os.path.commonpath([min(paths), max(paths)])
    return cache_dir / f"fingerprints-{VERSION}-{hashlib.sha256(os.fsencode(root)).hexdigest()[:16]}.bin"


def _load_entries(store: Path | None) -> np.ndarray:
    entries = _load(store, ENTRY)
    return np.zeros(0, ENTRY) if entries is None else entries


def _load(store: Path | None, dtype: np.dtype) -> np.ndarray | None:
    """Return the records of a file; None where there is no file, or others can have written it."""
    if store is None:
        return None
    try:
        return np.frombuffer(read_checked(store), dtype)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        log.warning("the audit reads all images again: %s", printable(str(error)))
        with contextlib.suppress(OSError):
            store.unlink()
        return None


def _save(store: Path | None, records: np.ndarray) -> None:
    """Write the records of a file, which another run reads as they were or as they are now."""
    if store is None:
        return
    try:
        write_checked(store, records.tobytes())
    except (OSError, UserError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        log.warning("the audit can't be cached in %s (%s): the next run reads all images again", store.parent, reason)
