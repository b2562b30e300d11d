"""Lay out HAM10000 as DSM-2025 is: ``python -m tests.ham_as_dsm HAM10000_ROOT DEST`` (links, no copies).

293 malignant (mel, bcc, akiec) and 5,000 benign images, one a lesion, since DSM-2025 has no groups; a test folder of
200 malignant and 800 benign lesions of their own, with ``test_labels.csv`` beside it; everything else, less the test
lesions, is the unlabeled pool. Names repeat across folders, as they do there.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

from skinlab.data.readers.ham10000 import read_ham10000

MALIGNANT = ["mel", "bcc", "akiec"]


def lay_out(
    root: Path, dest: Path, *, labeled: tuple[int, int] = (5000, 293), test: tuple[int, int] = (800, 200)
) -> None:
    """Write the layout; both pairs count (benign, malignant) lesions."""
    images = read_ham10000(root).sample(frac=1, random_state=0)
    images["positive"] = images["label"].isin(MALIGNANT).astype(int)
    lesions = images.drop_duplicates("group")
    for positive in (0, 1):
        one_each = lesions[lesions["positive"] == positive]
        held, n = test[positive], test[positive] + labeled[positive]
        if len(one_each) < n:
            raise SystemExit(f"error: {root} has {len(one_each)} lesions of class {positive}, {n} are needed")
        images.loc[one_each.index[:held], "folder"] = "test"
        images.loc[one_each.index[held:n], "folder"] = f"train/{positive}"
    tested = images["group"].isin(images["group"][images["folder"] == "test"])
    images.loc[images["folder"].isna() & ~tested, "folder"] = "train/Unlabeled"
    for folder, rows in images.dropna(subset="folder").groupby("folder"):
        (dest / folder).mkdir(parents=True)
        for i, path in enumerate(rows["path"]):
            (dest / folder / f"{i}.jpg").symlink_to(path)
        if folder == "test":
            labels = pd.DataFrame(
                {"ID": [f"test/{i}.jpg" for i in range(len(rows))], "label": rows["positive"].tolist()}
            )
            labels.to_csv(dest / "test_labels.csv", index=False)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit("usage: python -m tests.ham_as_dsm HAM10000_ROOT DEST")
    lay_out(Path(sys.argv[1]), Path(sys.argv[2]).absolute())
