"""Speed of everything before a batch: tables, audit, phantom images and views."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.bench.measure import cpu_ratios, quotient, report, seconds


def bench_million(folder: Path) -> None:
    """Read, check and split a table of a million rows."""
    import numpy as np
    import pandas as pd

    from skinlab.data.readers.table import read_table
    from skinlab.data.splits import assign_folds, check_groups, select_fold, split_hash

    folder /= "million"  # whose images would all be listed
    folder.mkdir()
    n, rng = 1_000_000, np.random.default_rng(0)
    label = rng.choice(
        ["nv", "mel", "bkl", "bcc", "akiec", "vasc", "df"], n, p=[0.67, 0.11, 0.11, 0.05, 0.03, 0.02, 0.01]
    )
    frame = pd.DataFrame({"image_id": np.arange(n), "label": label, "group": rng.integers(700_000, size=n)})
    frame["path"] = "images/" + frame["image_id"].astype(str) + ".jpg"
    frame.to_csv(folder / "million.csv", index=False)

    def work() -> None:
        rows = select_fold(assign_folds(read_table(folder, folder / "million.csv"), n_folds=5), 0)
        check_groups(rows)
        split_hash(rows)

    report("a million rows read, checked and split", seconds(work), 20, least=False, unit=" s")


def bench_audit(folder: Path) -> None:
    """Audit HAM10000, the first time and once more."""
    root = os.environ.get("SKINLAB_DATA_ROOT")
    if not root or not (Path(root) / "ham10000").is_dir():
        print("skip  the audit of HAM10000: SKINLAB_DATA_ROOT/ham10000 is not there")
        return
    from skinlab.data.audit.checks import audit
    from skinlab.data.readers.ham10000 import read_ham10000

    manifest = read_ham10000(Path(root) / "ham10000")
    for words, limit in (("first", 60.0), ("cached", 2.0)):
        took = seconds(lambda: audit(manifest, n_folds=5, cache_dir=folder, num_workers=2))
        report(f"audit of {len(manifest)} images, {words}", took, limit, least=False, unit=" s")


def bench_phantom(folder: Path) -> None:
    """Draw phantom images at 128 px."""
    from skinlab.data.readers.phantom import read_phantom

    took = seconds(lambda: read_phantom(folder / "p128", n_images=1000, image_size=128, seed=1))
    report("phantom images a second at 128 px", 1000 / took, 150, least=True)


def ham10000_or_phantom(folder: Path) -> Path:
    """Return the folder of HAM10000 below ``SKINLAB_DATA_ROOT``, or of the phantom where it is not there."""
    root = Path(os.environ.get("SKINLAB_DATA_ROOT", "")) / "ham10000"
    return root if root.is_dir() else phantom_256(folder)


def phantom_256(folder: Path) -> Path:
    """Return a folder of phantom images of 256 px for the training ratios, drawn at the first call."""
    from skinlab.data.readers.phantom import read_phantom

    if not (folder / "p256").exists():
        read_phantom(folder / "p256", n_images=1000, image_size=256)
    return folder / "p256"


def bench_views() -> None:
    """Make two views of an image, by turns with lightly, in a process of its own that has one core."""
    code = "from tests.bench.data import view_ratios; print(*view_ratios())"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    title = "two views of a 256-px image at 224 px, CPU time: lightly's SimCLRTransform / ours"
    report(title, [float(each) for each in ran.stdout.split()], 10, least=True)


def view_ratios(rounds: int = 15, images: int = 20) -> list[float]:
    """Return how many times as long lightly's views take as ours, in turn on one core."""
    import random

    import cv2
    import numpy as np
    import torch
    from lightly.transforms import SimCLRTransform
    from PIL import Image

    from skinlab.data.dataset import reseed, share_generators
    from skinlab.data.samplers import Draw
    from skinlab.data.views import ssl_default

    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    random.seed(0)
    pixels = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    ours, theirs, picture = ssl_default(224), SimCLRTransform(input_size=224), Image.fromarray(pixels)
    share_generators(ours)

    def our_views(first: int) -> None:
        for number in range(first, first + images):
            for view in range(2):
                reseed(ours, 0, Draw(number), view)
                ours(image=pixels)["image"]

    def their_views() -> None:
        for _ in range(images):
            theirs(picture)

    works = {"ours": lambda turn: our_views(turn * images), "theirs": lambda _: their_views()}
    took = cpu_ratios(works, repeats=rounds)
    return quotient(took["theirs"], took["ours"])
