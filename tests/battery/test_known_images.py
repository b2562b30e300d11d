"""Images of the model's own data are found outside by pixels, as near-duplicates, by id and by lesion."""

import cv2
import numpy as np
import pandas as pd
import pytest

from skinlab.battery.known_images import GROUP, ID, NEAR, PIXELS, known_images
from skinlab.data.readers.phantom import read_phantom
from skinlab.data.training_images import TrainingImages


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A run whose split has 20 phantom images, larger than the shared ones so that copies are found."""
    folder = tmp_path_factory.mktemp("own")
    rows = read_phantom(folder / "data", n_images=20, image_size=128, num_workers=1)
    rows.to_csv(folder / "split.csv", index=False)
    return folder, rows


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    return read_phantom(tmp_path_factory.mktemp("others"), n_images=12, image_size=128, seed=7, num_workers=1)


def outside(rows, folder, *, ids=None):
    """Two copies to the pixel and two smaller ones, under ids of their own unless these are set."""
    paths = rows["path"].tolist()
    near = []
    for number, path in enumerate(paths[2:4]):
        small = cv2.resize(cv2.imread(path), (96, 96), interpolation=cv2.INTER_AREA)
        near.append(str(folder / f"near_{number}.jpg"))
        cv2.imwrite(near[-1], small, [cv2.IMWRITE_JPEG_QUALITY, 80])
    names = [f"x{number}" for number in range(4)] if ids is None else ids
    return pd.DataFrame({"image_id": names, "path": [*paths[:2], *near], "group": names})


def reasons(rows, run):
    nothing = TrainingImages.of({})
    return known_images(rows, np.zeros(len(rows), np.uint64), nothing, run, None).tolist()


def test_copies_and_near_duplicates_are_found_and_others_are_not(own, others, tmp_path):
    run, rows = own
    copies = outside(rows, tmp_path)
    strangers = others[["path"]].assign(image_id="o" + others["image_id"], group="o" + others["group"])
    found = reasons(pd.concat([copies, strangers]), run)
    assert found == [PIXELS, PIXELS, NEAR, NEAR, *[""] * 12]


def test_ids_count_where_the_pictures_in_common_have_common_ids(own, others, tmp_path):
    run, rows = own
    same = outside(rows, tmp_path, ids=rows["image_id"].tolist()[:4])
    stranger = pd.DataFrame({"image_id": [rows["image_id"][9]], "path": [others["path"][0]], "group": ["alone"]})
    assert reasons(pd.concat([same, stranger]), run)[-1] == ID
    renamed = outside(rows, tmp_path)
    assert reasons(pd.concat([renamed, stranger]), run)[-1] == ""


def test_other_images_of_a_lesion_go_with_it(own, others, tmp_path):
    run, rows = own
    copies = outside(rows, tmp_path)
    sibling = pd.DataFrame({"image_id": ["s"], "path": [others["path"][0]], "group": [copies["group"][2]]})
    assert reasons(pd.concat([copies, sibling]), run)[-1] == GROUP


def test_without_a_run_the_hashes_of_the_training_images_decide(others):
    known = TrainingImages.of({"images": ["00000000000000ff"], "files": []})
    hashes = np.array([255, *[0] * 11], np.uint64)
    found = known_images(others, hashes, known, None, None)
    assert found.tolist() == [PIXELS, *[""] * 11]
