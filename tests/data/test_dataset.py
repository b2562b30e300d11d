import errno
import os
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from skinlab.data.dataset import ImageDataset, batch_loader, collate, init_worker
from skinlab.data.images import BadImage, read_image
from skinlab.data.samplers import Draw, EvalSampler, TrainSampler
from skinlab.data.transforms import heavy

N, SIZE = 24, 32
LABELS = [row % 3 for row in range(N)]


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    noise = np.random.default_rng(0).integers(0, 256, (N, 40, 48, 3), dtype=np.uint8)
    files = [tmp_path / f"{row}.png" for row in range(N)]
    for file, pixels in zip(files, noise, strict=True):
        cv2.imwrite(str(file), cv2.GaussianBlur(pixels, (0, 0), 2))
    return files


@pytest.fixture
def augmented(paths) -> ImageDataset:
    return ImageDataset(paths, LABELS, size=SIZE, transform=heavy(SIZE), seed=5)


def epochs(dataset: ImageDataset, num_workers: int, numbers=(0, 1)) -> list[torch.Tensor]:
    """Return each epoch's images, put in row order within equal draws."""
    sampler = TrainSampler(LABELS, power=1.0, seed=5)
    loader = batch_loader(dataset, sampler, batch_size=4, num_workers=num_workers)
    result = []
    for number in numbers:
        sampler.set_epoch(number)
        result.append(torch.cat([batch["image"] for batch in loader]))
    return result


@pytest.mark.parametrize("num_workers", [2, 8])
def test_workers_change_nothing_and_epochs_differ(augmented, num_workers):
    alone = epochs(augmented, 0)
    assert all(torch.equal(a, b) for a, b in zip(alone, epochs(augmented, num_workers), strict=True))
    assert not torch.equal(*alone)


def test_an_epoch_does_not_depend_on_those_before(augmented):
    assert torch.equal(epochs(augmented, 0, numbers=(0, 1, 2))[2], epochs(augmented, 2, numbers=(2,))[0])


@pytest.mark.slow
@pytest.mark.parametrize("persistent", [True, False])
@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_the_way_workers_start_changes_nothing(augmented, start, persistent):
    sampler = TrainSampler(LABELS, seed=5)
    settings = {"batch_size": 4, "sampler": sampler, "collate_fn": collate}
    workers = DataLoader(
        augmented,
        num_workers=2,
        worker_init_fn=init_worker,
        persistent_workers=persistent,
        multiprocessing_context=start,
        **settings,
    )
    for number in range(2):
        sampler.set_epoch(number)
        for alone, theirs in zip(DataLoader(augmented, **settings), workers, strict=True):
            assert all(torch.equal(alone[name], theirs[name]) for name in alone)


def test_visits_differ_by_row_epoch_and_copy(paths):
    same_file = ImageDataset([paths[0]] * 2, [0, 0], size=SIZE, transform=heavy(SIZE), seed=5)
    visits = [Draw(row, epoch, copy) for row in range(2) for epoch in range(4) for copy in range(4)]
    images = same_file.batch(visits)["image"]
    assert len({image.numpy().tobytes() for image in images}) == len(visits)
    assert torch.equal(images, same_file.batch(visits)["image"])


def test_the_seed_decides(paths, augmented):
    other = ImageDataset(paths, LABELS, size=SIZE, transform=heavy(SIZE), seed=6)
    assert not torch.equal(augmented[Draw(0)]["image"], other[Draw(0)]["image"])


def test_data_sets_that_share_a_transform_do_not_disturb_each_other(paths, augmented):
    before = augmented[Draw(3)]["image"]
    other = ImageDataset(paths, LABELS, size=SIZE, transform=augmented.transform, seed=6)
    other[Draw(1)]
    assert torch.equal(augmented[Draw(3)]["image"], before)


def test_a_pickled_data_set_draws_alike(augmented):
    assert torch.equal(pickle.loads(pickle.dumps(augmented))[Draw(3)]["image"], augmented[Draw(3)]["image"])


def test_a_batch_is_uint8_channels_last_with_targets_and_rows(paths):
    dataset = ImageDataset(paths, LABELS, size=SIZE)
    batch = dataset.batch([3, 1])
    assert batch["image"].dtype == torch.uint8
    assert batch["image"].shape == (2, 3, SIZE, SIZE)
    assert batch["image"].is_contiguous(memory_format=torch.channels_last)
    assert batch["target"].tolist() == [0, 1]
    assert batch["row"].tolist() == [3, 1]
    expected = read_image(str(paths[3]), SIZE)
    np.testing.assert_array_equal(batch["image"][0].permute(1, 2, 0).numpy(), expected)
    single = dataset[3]
    assert torch.equal(single["image"], batch["image"][0])
    assert single["target"].shape == ()


def test_evaluation_visits_all_rows_in_order(paths):
    loader = batch_loader(ImageDataset(paths, LABELS, size=SIZE), EvalSampler(N), batch_size=5, num_workers=2)
    assert torch.cat([batch["row"] for batch in loader]).tolist() == list(range(N))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_broken_image_ends_in_its_one_line(paths, num_workers):
    paths[7].write_bytes(b"nothing")
    loader = batch_loader(ImageDataset(paths, LABELS, size=SIZE), EvalSampler(N), batch_size=4, num_workers=num_workers)
    with pytest.raises(BadImage, match=r"7\.png") as raised:
        list(loader)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_error_of_the_system_keeps_its_place(paths, num_workers, monkeypatch):
    def fail(*_):
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), str(paths[7]))

    monkeypatch.setattr(ImageDataset, "pixels", fail)
    loader = batch_loader(ImageDataset(paths, LABELS, size=SIZE), EvalSampler(N), batch_size=4, num_workers=num_workers)
    with pytest.raises(OSError, match="Stale") as raised:
        list(loader)
    assert (raised.value.errno, raised.value.filename) == (errno.ESTALE, str(paths[7]))
