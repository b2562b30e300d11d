"""Labelled and pool batches in step."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from skinlab.data.dataset import batch_loader
from skinlab.data.pairing import EpochlessSampler, PairedLoader
from skinlab.data.samplers import Draw, TrainSampler


class Rows(Dataset):
    """Returns the drawn rows, and their pass."""

    seed = 0

    def __init__(self, n: int) -> None:
        self.n = n

    def __len__(self) -> int:
        return self.n

    def __getitems__(self, draws: list[Draw]) -> dict[str, torch.Tensor]:
        return {name: torch.tensor([getattr(draw, name) for draw in draws]) for name in ("row", "epoch")}


def loader(n: int, batch_size: int) -> DataLoader:
    sampler = TrainSampler(np.zeros(n, np.int64), seed=3)
    return batch_loader(Rows(n), sampler, batch_size=batch_size, num_workers=0, drop_last=True)


def drawn(labelled: int, pool: int, epochs: list[int], num_workers: int = 0) -> list[list[dict]]:
    paired = PairedLoader(loader(labelled, 4), loader(pool, 6), num_workers)
    found = []
    for epoch in epochs:
        paired.sampler.set_epoch(epoch)
        found.append(list(paired))
        assert len(found[-1]) == len(paired) == labelled // 4
    return found


def pool_rows(epochs: list[list[dict]]) -> list[list[int]]:
    return [torch.cat([batch["pool"]["row"] for batch in epoch]).tolist() for epoch in epochs]


@pytest.mark.parametrize("pool", [6, 20, 31])
def test_every_pool_image_comes_before_one_comes_again(pool):
    rows = np.concatenate(pool_rows(drawn(12, pool, list(range(5)))))
    assert len(rows) == 5 * 3 * 6
    for i in range(0, len(rows) - pool + 1, pool):
        assert sorted(rows[i : i + pool]) == list(range(pool))


def test_labelled_batches_are_those_of_training_without_a_pool():
    (epoch,) = drawn(12, 20, [2])
    alone = loader(12, 4)
    alone.sampler.set_epoch(2)
    for paired, batch in zip(epoch, alone, strict=True):
        assert torch.equal(paired["row"], batch["row"])


def test_an_epoch_does_not_depend_on_those_before_it_nor_on_workers():
    whole = pool_rows(drawn(12, 20, [0, 1, 2, 3]))
    assert pool_rows(drawn(12, 20, [2, 3])) == whole[2:]
    assert pool_rows(drawn(12, 20, [0, 1, 2, 3], num_workers=2)) == whole
    assert whole[0] != whole[1]


def test_two_processes_share_a_pass():
    parts = [EpochlessSampler(TrainSampler(np.zeros(10), seed=1, rank=rank, world_size=2), 5) for rank in range(2)]
    assert sorted(draw.row for part in parts for draw in part) == list(range(10))
