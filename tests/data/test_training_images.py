"""The hashes of a model's training images, and the comparison of other images with them."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch

from skinlab.data.audit.fingerprint import fingerprint
from skinlab.data.image_files import file_tail
from skinlab.data.images import read_image
from skinlab.data.training_images import NO_LIST, TrainingImages, contents, read_and_hash

HEX = ["aa" * 16, "bb" * 16, "cc" * 16]
PAST = {"images": HEX[:2], "val_images": HEX[2:], "groups": ["g1", "g2"], "val_groups": ["g3"], "files": HEX}


def test_images_are_known_by_content_and_by_group_where_the_data_is_the_same():
    known = TrainingImages.of(PAST)
    others = contents([HEX[2], HEX[0], "dd" * 16, "ee" * 16])
    assert known.usage(others).tolist() == ["val", "train", "", ""]
    assert known.usage(others, pd.Series(["g3", "g1", "g2", ""])).tolist() == ["val", "train", "group", ""]
    assert known.usage(others, pd.Series(["x", "y", "g2", "g1"])).tolist() == ["val", "train", "", ""], "other data"


def test_what_several_models_have_seen_adds_up_and_goes_through_a_file():
    both = TrainingImages.merged(
        [TrainingImages.of(PAST), TrainingImages.of({"images": ["dd" * 16], "unknown": ["x"]})]
    )
    stored = {
        k: torch.from_numpy(v.view(np.int64)) if isinstance(v, np.ndarray) else v for k, v in both.to_dict().items()
    }
    again = TrainingImages.from_dict(stored)
    assert again.unknown == ("x",)
    for name in ("images", "val_images", "groups", "val_groups", "files"):
        assert (getattr(again, name) == getattr(both, name)).all()
    assert TrainingImages.merged([both, TrainingImages.of({"files": [NO_LIST]})]).files is None
    assert "later skinlab" in TrainingImages.from_dict(both.to_dict() | {"format": 2}).unknown[0]
    with pytest.raises(ValueError, match="shape"):
        TrainingImages.from_dict(both.to_dict() | {"images": np.zeros((2, 2))})


@pytest.mark.parametrize(("suffix", "size"), [(".png", 20), (".jpg", 20), (".jpg", 60)])
def test_the_hash_is_the_audit_s_whatever_the_size_read(tmp_path: Path, suffix: str, size: int):
    path = str(tmp_path / f"a{suffix}")
    cv2.imwrite(path, cv2.resize(np.random.default_rng(0).integers(0, 256, (8, 9, 3), np.uint8), (90, 80)))
    digest = fingerprint(path)["digest"].tobytes().hex()
    for files in ([NO_LIST], [file_tail(path)]):
        pixels, found = read_and_hash(path, size, "crop", TrainingImages.of({"images": HEX, "files": files}))
        assert (pixels == read_image(path, size)).all()
        assert f"{found:016x}" == digest[:16]
    elsewhere = read_and_hash(path, size, "crop", TrainingImages.of(PAST))[1]
    assert bool(elsewhere) == (suffix == ".png"), "the end of a JPEG's file spares its hash"
