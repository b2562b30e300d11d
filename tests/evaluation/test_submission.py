"""Files of a challenge, and pseudo-labels."""

import pandas as pd
import pytest

from skinlab.evaluation.submission import check_format, pseudo_labels


def test_pseudo_labels_of_each_class_have_a_confidence_of_their_own():
    """Of skewed classes, the rare one is labelled at a lower probability, the frequent one at a higher one."""
    table = pd.DataFrame(
        {"image_id": list("abcd"), "prob_nv": [0.995, 0.97, 0.3, 0.15], "prob_1": [0.005, 0.03, 0.7, 0.85]}
    )
    both = pseudo_labels(table, {"1": 0.8, "nv": 0.99})
    assert both[["image_id", "label"]].to_numpy().tolist() == [["a", "nv"], ["d", "1"]]
    assert pseudo_labels(table, {"1": 0.6})["image_id"].tolist() == ["c", "d"], "a class that is not named labels none"
    with pytest.raises(ValueError, match="wart is no class of the model: name some of nv, 1"):
        pseudo_labels(table, {"wart": 0.5})
    with pytest.raises(ValueError, match=r"confidence={1: 0.9}: none of 4 images is labelled"):
        pseudo_labels(table, {"1": 0.9})


def test_a_folder_above_the_test_is_answered_with_the_test():
    files = ["/dsm/test/0.jpg", "/dsm/train/1/0.jpg"]
    with pytest.raises(ValueError, match=r"both test/0\.jpg: set input=/dsm/test$"):
        check_format("kaggle", ["0", "1"], files)
    with pytest.raises(ValueError, match="predict them apart"):
        check_format("kaggle", ["0", "1"], ["/a/0.jpg", "/b/0.jpg"])
