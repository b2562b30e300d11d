import pickle
import sys

import cv2
import numpy as np
import pytest
import torch

from skinlab.data.dataset import batch_loader
from skinlab.data.samplers import Draw, TrainSampler
from skinlab.data.transforms import heavy, light, none
from skinlab.data.view_dataset import ViewDataset
from skinlab.data.views import ssl_default

N, READ, SIZE = 24, 40, 32


@pytest.fixture
def paths(tmp_path):
    """Images of one grey level each, 10 times their row."""
    files = [tmp_path / f"{row}.png" for row in range(N)]
    for row, file in enumerate(files):
        cv2.imwrite(str(file), np.full((READ, READ, 3), 10 * row, np.uint8))
    return files


@pytest.fixture
def noise(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (N, READ, READ, 3), dtype=np.uint8)
    files = [tmp_path / f"noise{row}.png" for row in range(N)]
    for file, each in zip(files, pixels, strict=True):
        cv2.imwrite(str(file), each)
    return files


def views(paths, **settings) -> ViewDataset:
    transforms = [ssl_default(SIZE)] * 2 + [ssl_default(16, scale=(0.05, 0.4))] * 2
    return ViewDataset(paths, transforms, **{"size": READ, "seed": 5} | settings)


def epoch(dataset, num_workers, number=0):
    sampler = TrainSampler(np.zeros(len(dataset), int), seed=5)
    sampler.set_epoch(number)
    return list(batch_loader(dataset, sampler, batch_size=4, num_workers=num_workers, drop_last=True))


def test_a_batch_holds_large_and_small_views(noise):
    batch = views(noise).batch([3, Draw(1)])
    assert [tuple(view.shape) for view in batch["views"]] == [(2, 3, SIZE, SIZE)] * 2 + [(2, 3, 16, 16)] * 2
    for view in batch["views"]:
        assert view.dtype == torch.uint8
        assert view.is_contiguous(memory_format=torch.channels_last)
    assert batch["row"].tolist() == [3, 1]
    assert batch["row"].dtype == torch.int64


def test_views_differ_from_each_other_and_by_row_epoch_and_copy(noise):
    dataset = views([noise[0]] * 2)
    visits = [Draw(row, number, copy) for row in range(2) for number in range(2) for copy in range(2)]
    first, second, *_ = dataset.batch(visits)["views"]
    assert len({view.numpy().tobytes() for view in torch.cat([first, second])}) == 2 * len(visits)


@pytest.mark.parametrize("lesion_pairs", [0.0, 0.5])
def test_workers_change_nothing_and_epochs_differ(noise, lesion_pairs):
    dataset = views(noise, groups=np.arange(N) // 3, lesion_pairs=lesion_pairs)
    alone, again, later = epoch(dataset, 0), epoch(dataset, 2), epoch(dataset, 0, number=1)
    for a, b in zip(alone, again, strict=True):
        assert torch.equal(a["row"], b["row"])
        assert all(torch.equal(x, y) for x, y in zip(a["views"], b["views"], strict=True))
    assert not torch.equal(alone[0]["views"][0], later[0]["views"][0])


def test_a_pickled_data_set_draws_alike(noise):
    dataset = views(noise)
    again = pickle.loads(pickle.dumps(dataset))
    assert all(torch.equal(a, b) for a, b in zip(dataset[2]["views"], again[2]["views"], strict=True))


def test_the_second_view_may_show_another_image_of_the_lesion(paths):
    groups = np.r_[np.arange(N - 6), [0] * 6]  # the last six and the first are one lesion
    lesion = [0, *range(N - 6, N)]
    for share in (0.0, 0.4, 1.0):
        dataset = ViewDataset(paths, [none(READ)] * 3, size=READ, groups=groups, lesion_pairs=share)
        visits = [Draw(row, number) for row in range(N) for number in range(50)]
        batch = dataset.batch(visits)
        first, second, third = (view[:, 0, 0, 0].int() / 10 for view in batch["views"])
        assert torch.equal(first, batch["row"].float())
        assert torch.equal(third, first)
        single = ~torch.isin(batch["row"], torch.tensor(lesion))
        assert torch.equal(second[single], first[single])
        other = (second != first)[~single].float().mean().item()
        assert other == pytest.approx(share, abs=0.08)
        assert set(second[~single].tolist()) == set(lesion)


def test_named_views_are_keys_of_the_batch(noise):
    dataset = ViewDataset(noise, [light(SIZE), heavy(SIZE)], size=SIZE, names=("weak", "strong"))
    batch = dataset.batch([0, 1])
    assert set(batch) == {"weak", "strong", "row"}
    assert batch["weak"].shape == batch["strong"].shape == (2, 3, SIZE, SIZE)
    assert set(dataset[Draw(2)]) == set(batch)


def test_no_row_costs_an_object_of_its_own():
    """Counting references to objects would copy them into every worker, page by page, as an epoch goes on."""
    paths = np.array([f"/images/{row:08d}.jpg" for row in range(45_000)])
    transforms = [ssl_default(SIZE)] * 2
    before = sys.getallocatedblocks()
    dataset = ViewDataset(paths, transforms, size=READ, groups=np.arange(len(paths)) // 2, lesion_pairs=0.5)
    assert sys.getallocatedblocks() - before < 1000
    assert len(dataset) == 45_000
