"""The pool's known labels."""

from pathlib import Path

import pandas as pd
import pytest

from skinlab.errors import UserError
from skinlab.mining.pool import AnnotationPool, with_truth


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"image": ["B.PNG", "a", "a"], "dx": ["NV", "mel ", "mel "]}, None),
        ({"isic_id": ["a", "b"], "NV": ["0.0", "1.0"], "MEL": ["1.0", "0.0"]}, None),
        (
            {"image_id": ["a", "b"], "label": ["nv", "nv"]},
            "contradicts 1 hidden labels of the run .first: image p/a",
        ),
        ({"image_id": ["a", "a"], "label": ["nv", "mel"]}, "image a has several rows"),
        (
            {"image_id": ["a", "a.jpg"], "label": ["nv", "mel"]},
            r"1 image has rows that contradict each other, such as p/a.jpg .a: nv, a.jpg: mel.; keep one row",
        ),
        (
            {"image_id": ["a", "b"], "label": ["cat", "nv"]},
            "label .cat. of image p/a.jpg is none of its classes",
        ),
        ({"image_id": ["x"], "label": ["nv"]}, "has no label of an image of the pool"),
    ],
)
def test_known_labels_join_the_pool_or_are_refused(tmp_path: Path, rows: dict, message: str | None):
    pd.DataFrame(rows).to_csv(tmp_path / "truth.csv", index=False)
    images = pd.DataFrame({"image_id": ["p/a.jpg", "p/b.jpg"], "truth": ["mel", ""]})
    arguments = (AnnotationPool(images, images[:0], {}), str(tmp_path / "truth.csv"), {}, ["mel", "nv"])
    if message is None:
        assert with_truth(*arguments).rows["truth"].tolist() == ["mel", "nv"]
    else:
        with pytest.raises(UserError, match=f"truth=.*{message}"):
            with_truth(*arguments)
