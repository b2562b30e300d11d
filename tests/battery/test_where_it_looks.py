"""A model that reads the lesion has nothing left without it; one that reads the corner is found out."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from skinlab.battery.bench import Bench
from skinlab.battery.lesions import find_lesions
from skinlab.battery.maps import shares_inside
from skinlab.battery.model import Model
from skinlab.battery.probe import NotRunError
from skinlab.battery.where_it_looks import WhereItLooks
from skinlab.errors import UserError
from skinlab.inference.bundle import load_bundle

CORNER, CENTRE = (0.0, 0.15), (0.4, 0.6)


def test_a_model_of_the_lesion_has_no_flag_of_what_remains(bench_of: Callable[..., Bench]):
    found = WhereItLooks(n_maps=8).run(bench_of(*CENTRE))
    assert not [flag for flag in found.flags if "AUROC" in flag["sentence"]]
    metrics = {(each["name"], each["dose"]): each["metrics"]["auroc/positive"]["value"] for each in found.conditions}
    assert metrics["lesion only", ""] == 1
    assert abs((metrics["lesion removed", "filled with skin"] or 0) - 0.5) < 0.15


def test_a_model_of_the_corner_is_flagged_with_what_remains(bench_of: Callable[..., Bench]):
    found = WhereItLooks(n_maps=8).run(bench_of(*CORNER))
    flag = next(flag for flag in found.flags if "AUROC" in flag["sentence"])
    assert "the AUROC is still 1.000, 100% of what it is above chance with it" in flag["sentence"]
    assert "5 of 5 conditions are above chance" in flag["sentence"]
    assert {each["name"] for each in found.conditions} == {
        "lesion removed",
        "lesion's box removed",
        "lesion only",
        "centre removed",
    }
    assert all(each["images"] == 120 for each in found.conditions)  # every lesion is inside every square
    assert len({picture.dose for picture in found.pictures}) == 1 + 6 + 1


def test_masks_of_the_data_and_the_segmentation_agree(bench_of: Callable[..., Bench], disc_rows: pd.DataFrame):
    given = find_lesions(bench_of().home, segment=False)
    drawn = find_lesions(bench_of(rows=disc_rows.drop(columns="mask_path")).home, segment=True)
    assert (given.n_from_data, given.n_segmented) == (120, 0)
    assert (drawn.n_from_data, drawn.n_segmented) == (0, 120)
    shared = [(a & b).sum() / (a | b).sum() for a, b in zip(given.masks, drawn.masks, strict=True)]
    assert np.mean(shared) > 0.7
    assert drawn.in_words() == ("Lesions: 120 by a simple segmentation (Otsu's threshold), whose edges are rough.")


def test_without_masks_and_segmentation_it_is_not_run(bench_of: Callable[..., Bench], disc_rows: pd.DataFrame):
    bench = bench_of(rows=disc_rows.drop(columns="mask_path"))
    with pytest.raises(NotRunError, match=r"no masks .*set probe\.where_it_looks\.segment=true"):
        WhereItLooks(segment=False).passes(bench)
    assert WhereItLooks(segment=True).passes(bench) == 120 * 7


def test_missing_mask_files_are_refused_before_anything_is_predicted(
    bench_of: Callable[..., Bench], disc_rows: pd.DataFrame
):
    with pytest.raises(UserError, match="120 of 120 images of the masks of home are missing"):
        WhereItLooks().passes(bench_of(rows=disc_rows.assign(mask_path="/nowhere/mask.png")))


def test_a_wrong_box_is_refused():
    with pytest.raises(UserError, match="centre_boxes: 70 is no share"):
        WhereItLooks(centre_boxes=[70])


def test_maps_are_of_the_network_in_evaluation_mode(bench_of: Callable[..., Bench], checkpoint: Path):
    bench = bench_of()
    home = bench.home
    assert home is not None
    masks = [np.ones((home.model.side, home.model.side), bool)] * len(home)
    network = home.model.bundle.members[0].classifier
    before = {name: value.clone() for name, value in network.state_dict().items()}
    shares = shares_inside(home, masks, list(range(6)))
    assert np.allclose(shares[np.isfinite(shares)], 1)  # the whole image is the lesion
    assert not network.training
    assert all((network.state_dict()[name] == value).all() for name, value in before.items())  # also batch statistics
    half = [np.arange(home.model.side)[:, None] < home.model.side / 2 + np.zeros(home.model.side) for _ in masks]
    together, alone = shares_inside(home, half, [3, 4, 5]), shares_inside(home, half, [4])
    assert np.allclose(together[1], alone[0], atol=1e-5, equal_nan=True)  # others of the batch have no part in it
    assert isinstance(home.model, Model)
    assert load_bundle(checkpoint).members[0].classifier.training is False
