import numpy as np
import pytest

from skinlab.evaluation.ensembles.alignment import align_rows
from skinlab.evaluation.predictions import Predictions


def member(**kept) -> Predictions:
    p = np.array([[0.7, 0.3], [0.2, 0.8], [0.5, 0.5]])
    ids = np.array(["a", "b", "c"], object)
    table = {"classes": ["nv", "mel"], "probabilities": p, "target": np.array([0, 1, -1]), "image_id": ids}
    return Predictions(**(table | {"group": ids, "source": ids, "fold": np.full(3, -1)} | kept))


def test_members_are_aligned_by_image():
    first, second = align_rows([member(), member().take(np.array([2, 0, 1]))], ["x", "y"])
    assert second.image_id.tolist() == ["a", "b", "c"]
    assert np.array_equal(second.probabilities, first.probabilities)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            member(classes=["mel", "nv"]),
            "x and y have their classes in different orders: nv, mel against mel, nv;.*one order",
        ),
        (member(classes=["nv", "bcc"]), "x and y have different classes"),
        (member(image_id=np.array(["a", "d", "e"], object)), "y has no row for 2 images that x has, b, c; give"),
        (member().take(np.array([0, 1])), "y has no row for 1 image that x has, c; give"),
        (member(target=np.array([0, 0, -1])), "image b is mel in x and nv in y"),
        (member(target=np.array([0, 1, 0])), "image c is unlabelled in x and nv in y"),
    ],
)
def test_members_that_do_not_agree_are_refused(other, message):
    with pytest.raises(ValueError, match=message):
        align_rows([member(), other], ["x", "y"])


def test_an_extra_image_names_the_member_that_lacks_it():
    with pytest.raises(ValueError, match="x has no row for 1 image that y has, c"):
        align_rows([member().take(np.array([0, 1])), member()], ["x", "y"])
