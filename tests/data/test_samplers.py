import numpy as np
import pytest

from skinlab.data.samplers import Draw, EvalSampler, TrainSampler, class_prior, draw_shares
from skinlab.errors import UserError

LABELS = np.repeat([0, 1, 2], [80, 15, 5])


def epoch(number: int = 0, **settings) -> list[Draw]:
    sampler = TrainSampler(LABELS, **settings)
    sampler.set_epoch(number)
    return list(sampler)


def test_natural_sampling_visits_each_row_once():
    assert sorted(draw.row for draw in epoch()) == list(range(100))
    assert {draw.copy for draw in epoch()} == {0}


def test_order_is_a_function_of_seed_and_epoch():
    assert epoch(3, seed=7) == epoch(3, seed=7)
    assert [d.row for d in epoch(3, seed=7)] != [d.row for d in epoch(4, seed=7)]
    assert [d.row for d in epoch(3, seed=7)] != [d.row for d in epoch(3, seed=8)]
    assert {draw.epoch for draw in epoch(3)} == {3}


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_processes_share_one_list(power, world_size):
    shares = [epoch(2, power=power, rank=rank, world_size=world_size) for rank in range(world_size)]
    assert {len(share) for share in shares} == {100 // world_size}
    together = [draw for step in zip(*shares, strict=True) for draw in step]
    assert together == epoch(2, power=power)[: len(together)]
    assert len(set(together)) == len(together)


def test_the_rows_left_out_change_with_the_epoch():
    left_out = [
        set(range(100)) - {d.row for rank in range(3) for d in epoch(e, rank=rank, world_size=3)} for e in (0, 1)
    ]
    assert [len(rows) for rows in left_out] == [1, 1]
    assert left_out[0] != left_out[1]


@pytest.mark.parametrize("power", [0.3, 1.0])
def test_weighted_sampling_follows_its_prior(power):
    sampler = TrainSampler(LABELS, power=power)
    rows = []
    for number in range(200):
        sampler.set_epoch(number)
        rows += [draw.row for draw in sampler]
    share = np.bincount(LABELS[rows]) / len(rows)
    counts = np.bincount(LABELS)
    np.testing.assert_allclose(share, class_prior(counts, power), atol=0.01)
    np.testing.assert_allclose(class_prior(counts, power), counts ** (1 - power) / (counts ** (1 - power)).sum())


@pytest.mark.parametrize("power", [0.0, 0.3, 1.0])
def test_each_source_is_drawn_equally_often_and_its_classes_by_power(power):
    sources = np.where(np.arange(len(LABELS)) % 5 == 0, 7, 2)
    shares = draw_shares(LABELS, power, sources)
    assert shares[sources == 7].sum() == pytest.approx(0.5)
    inside = LABELS[sources == 2]
    expected = class_prior(np.bincount(inside), power) / 2
    np.testing.assert_allclose(np.bincount(inside, shares[sources == 2]), expected)
    sampler = TrainSampler(LABELS, power=power, sources=sources)
    rows = []
    for number in range(200):
        sampler.set_epoch(number)
        rows += [draw.row for draw in sampler]
    np.testing.assert_allclose(np.bincount(rows, minlength=len(LABELS)) / len(rows), shares, atol=0.01)


def test_one_source_changes_nothing():
    one = np.zeros(len(LABELS), np.int64)
    np.testing.assert_allclose(draw_shares(LABELS, 0.3, one), draw_shares(LABELS, 0.3))


def test_copies_number_the_visits_of_a_row():
    seen: dict[int, int] = {}
    for draw in epoch(power=1.0):
        assert draw.copy == seen.get(draw.row, 0)
        seen[draw.row] = draw.copy + 1
    assert max(seen.values()) > 2


def test_a_class_without_images_has_no_share():
    assert class_prior([0, 3, 0, 1], power=1).tolist() == [0, 0.5, 0, 0.5]
    assert set(LABELS) == set(LABELS[[d.row for d in TrainSampler(np.where(LABELS == 0, 3, LABELS), power=1.0)]]) | {0}


def test_unlabeled_rows_can_be_sampled_only_naturally():
    unlabeled = np.full(4, -1)
    assert sorted(draw.row for draw in TrainSampler(unlabeled)) == [0, 1, 2, 3]
    with pytest.raises(UserError, match="sampler=none"):
        TrainSampler(unlabeled, power=1.0)


def test_more_processes_than_rows_are_refused():
    with pytest.raises(UserError, match="2 training images"):
        TrainSampler([0, 1], world_size=3)


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_evaluation_visits_every_row_once_over_all_processes(world_size):
    shares = [EvalSampler(10, rank, world_size) for rank in range(world_size)]
    assert sorted(row for share in shares for row in share) == list(range(10))
    assert [len(share) for share in shares] == [len(list(share)) for share in shares]
