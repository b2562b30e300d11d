"""How cost and memory grow with the number of images: ``python -m tests.bench.scale 10000 100000 1000000``.

The images are simulated: shards in WebDataset's format of JPEGs of 32 px, each of its own random colours. For every
number of images a process of its own lists and splits them, twice, and makes training batches of images of all shards.
The audit gets random fingerprints, in which it looks for copies: reading an image costs the same, however many there
are.
"""

from __future__ import annotations

import io
import json
import logging
import os
import resource
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

SIDE, PER_SHARD, SIZE, BATCH, N_BATCHES = 32, 10_000, 32, 64, 300
CLASSES, SHARES = ("bkl", "mel", "nv"), (0.2, 0.1, 0.7)


def write_shards(folder: Path, n: int) -> None:
    """Write n images, two a group, with their labels."""
    import cv2
    import numpy as np

    rng = np.random.default_rng(0)
    labels = rng.choice(CLASSES, n // 2 + 1, p=SHARES)
    for first in range(0, n, PER_SHARD):
        with tarfile.open(folder / f"{first // PER_SHARD:05}.tar", "w") as tar:
            for number in range(first, min(first + PER_SHARD, n)):
                coarse = rng.integers(0, 256, (8, 8, 3), np.uint8)
                content = cv2.imencode(".jpg", cv2.resize(coarse, (SIDE, SIDE)))[1].tobytes()
                fields = {"label": labels[number // 2], "group": f"g{number // 2}"}
                for suffix, part in ((".jpg", content), (".json", json.dumps(fields).encode())):
                    member = tarfile.TarInfo(f"i{number:07}{suffix}")
                    member.size = len(part)
                    tar.addfile(member, io.BytesIO(part))


def measure(folder: Path) -> dict[str, float]:
    """Return the processor's seconds of each step, and the memory in MiB before the epoch and at its highest after."""
    import numpy as np

    from skinlab.data.audit import fingerprint_cache
    from skinlab.data.audit.fingerprint import FINGERPRINT
    from skinlab.data.dataset import ImageDataset, batch_loader
    from skinlab.data.preparation import prepare
    from skinlab.data.readers.shards import read_shards
    from skinlab.data.samplers import TrainSampler
    from skinlab.data.transforms import light

    found: dict[str, float] = {}

    def random_fingerprints(paths: Sequence[str], _: int) -> tuple[np.ndarray, dict[int, str]]:
        records, rng = np.zeros(len(paths), FINGERPRINT), np.random.default_rng(0)
        records["digest"] = rng.integers(2**63, size=records["digest"].shape)
        records["views"] = rng.normal(0, 40, records["views"].shape).clip(-127, 127)
        return records, {}

    fingerprint_cache.fingerprint_all = random_fingerprints

    def timed(name: str, work: object) -> object:
        before = _processor()
        result = work()  # type: ignore[operator]
        found[name] = _processor() - before
        return result

    cache = folder / "cache"
    for name in ("first", "again"):
        timed(f"index_{name}", lambda: read_shards(folder, cache))
        prepared = timed(
            f"prepare_{name}", lambda: prepare(lambda: read_shards(folder, cache), audit_cache=cache, num_workers=2)
        )
    rows = prepared.manifest.query("split == 'train'")  # type: ignore[attr-defined]
    target = np.array([CLASSES.index(label) for label in rows["label"]])
    dataset = ImageDataset(rows["path"].tolist(), target, size=SIZE, transform=light(SIZE))
    loader = batch_loader(dataset, TrainSampler(target, seed=0), batch_size=BATCH, num_workers=0)
    del prepared, rows
    batches = iter(loader)
    next(batches)
    before, highest = _resident(), [0.0]

    def load() -> None:
        for _ in range(min(N_BATCHES, len(loader) - 1)):
            next(batches)
            highest.append(_resident())

    timed("batches", load)
    return found | {
        "batches_per_image": found["batches"] / (len(highest) - 1) / BATCH,
        "grown_MiB": max(highest) - before,
    }


def _processor() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> None:
    """Measure each number of images of the command line, and print a table."""
    if sys.argv[1] == "--one":
        logging.disable(logging.WARNING)
        print(json.dumps(measure(Path(sys.argv[2]))))
        return
    columns = ("images", "index", "again", "audit and split", "again", "batches", "growth of memory by batches, MiB")
    print(f"seconds of the processor for 1,000 images\n| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for n in map(int, sys.argv[1:]):
        with tempfile.TemporaryDirectory() as name:
            write_shards(Path(name), n)
            command = [sys.executable, "-m", "tests.bench.scale", "--one", name]
            took = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout)
        steps = [1000 * took[step] / n for step in ("index_first", "index_again", "prepare_first", "prepare_again")]
        cells = [f"{value:.3f}" for value in (*steps, 1000 * took["batches_per_image"])]
        print(f"| {n:,} | {' | '.join(cells)} | {took['grown_MiB']:.0f} |", flush=True)


if __name__ == "__main__":
    main()
