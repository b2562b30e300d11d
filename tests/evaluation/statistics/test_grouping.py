"""One grouping for all systems: bootstrap samples of a comparison are the same, or it is refused."""

import numpy as np
import pytest

from skinlab.evaluation.ensembles.alignment import align_rows
from skinlab.evaluation.metrics.scorer import Scorer
from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.statistics.bootstrap import Resampler, bootstrap
from skinlab.evaluation.statistics.comparison import compare
from skinlab.evaluation.statistics.grouping import share_groups
from skinlab.evaluation.statistics.trainings import Trainings

N = 60


def table(groups: str | None, rows: range = range(N), **kept) -> Predictions:
    """Predictions of rows by their numbers; `groups` is how many images make a group, and the groups' prefix."""
    ids = np.array([f"i{row}" for row in rows], object)
    y = np.array(rows) % 3
    p = np.random.default_rng(0).dirichlet([1, 1, 1], N)[np.array(rows)]
    group = ids if groups is None else np.array([f"{groups[1:]}{row // int(groups[0])}" for row in rows], object)
    arrays = {"probabilities": p, "target": y, "image_id": ids, "group": group}
    unknown = {"source": np.full(len(y), "", object), "fold": np.full(len(y), -1)}
    return Predictions(["bkl", "mel", "nv"], **(arrays | unknown | kept))


def n_groups(member: Predictions) -> int:
    return len(set(member.group))


@pytest.mark.parametrize(
    "groupings",
    [
        ("2L", None),
        (None, "2L"),
        ("2L", "1I", None),
        ("2lesion", "4patient", None),
        (None, None, "3L"),
        ("2L", "2other names"),
    ],
)
def test_identical_systems_differ_by_nothing_whatever_their_groups(groupings):
    mixed = np.random.default_rng(1).permutation(N)
    members = [table(each) if i == 0 else table(each).take(mixed) for i, each in enumerate(groupings)]
    shared = align_rows(members, [f"t{i}" for i in range(len(groupings))])
    coarsest = max(int((each or "1")[0]) for each in groupings)
    assert {n_groups(each) for each in shared} == {N // coarsest}
    scored = [(Scorer(m.probabilities, m.target, m.classes), Resampler(m.group, m.target)) for m in shared]
    draws = [(str(i), Trainings({0: bootstrap(*each, n_draws=100)})) for i, each in enumerate(scored)]
    for found in compare(draws, ["auroc_macro", "brier"]):
        assert (found.difference.value, found.p) == (0, 1)
        assert np.isnan([found.difference.low, found.difference.high]).all()


def test_groupings_that_contradict_are_refused_with_an_example_of_each():
    shifted = np.array([f"s{(row + 1) // 2}" for row in range(N)], object)
    message = "x and y contradict each other in group: x has images i0 and i1 in one group and y has not, y has i"
    with pytest.raises(ValueError, match=message):
        align_rows([table("2L"), table(None, group=shifted)], ["x", "y"])


def test_groups_known_for_some_rows_each_are_joined():
    first, second = table("2L"), table("2M")
    half = np.arange(N) < N // 2
    first = table(None, group=np.where(half, first.group, first.image_id))
    second = table(None, group=np.where(half, second.image_id, second.group))
    shared = align_rows([first, second], ["x", "y"])
    assert [n_groups(each) for each in shared] == [N // 2] * 2


def test_other_rows_of_a_system_share_the_grouping_too():
    test, val = range(30), range(30, N)
    parts = [[table("2L", test), table("2L", val)], [table(None, test), table(None, val)]]
    shared, origin = share_groups(parts, ["x", "y"])
    assert origin == "x"
    for ours, theirs in zip(*shared, strict=True):
        assert ours.group.tolist() == theirs.group.tolist()
        assert n_groups(ours) == 15


def test_sources_and_folds_of_one_table_serve_all_in_any_order():
    source, fold = np.array([f"s{row % 4}" for row in range(N)], object), np.arange(N) % 5
    known = table("2L", source=source, fold=fold).take(np.arange(N)[::-1])
    _, bare = align_rows([known, table("2L")], ["x", "y"])
    assert bare.source.tolist() == source[::-1].tolist()
    assert bare.fold.tolist() == fold[::-1].tolist()


def test_draws_of_other_bootstrap_samples_have_no_difference():
    draws = [
        bootstrap(Scorer(m.probabilities, m.target, m.classes), Resampler(m.group, m.target), n_draws=100)
        for m in (table("2L"), table(None))
    ]
    with pytest.raises(ValueError, match="different bootstrap samples"):
        draws[0].minus(draws[1])
