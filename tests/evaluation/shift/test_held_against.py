"""Drawn artefacts are held against real ones: which of the two moves the model, and whether that may be chance."""

import pytest

from skinlab.evaluation.shift.flags import LIMITS
from skinlab.evaluation.shift.form import Change
from skinlab.evaluation.shift.held_against import Pair, held_against, table_of


def change(value: float, p: float) -> Change:
    return {"difference": {"value": value, "low": value - 0.05, "high": value + 0.05}, "p": p}


def pair(real: Change, drawn: Change, apart: Change) -> Pair:
    return Pair("ruler", LIMITS[1], real, drawn, apart)  # of specificity, from 0.10 on


def test_a_drawn_one_alone_moves_it():
    (flag,), notes = held_against([pair(change(0.0, 0.9), change(-0.3, 1e-4), change(-0.3, 1e-4))])
    assert flag["level"] == "watch"
    assert "changes specificity by \N{MINUS SIGN}0.300" in flag["sentence"]
    assert "the real one by +0.000" in flag["sentence"]
    assert flag["sentence"].endswith("the real one does less than the drawn one suggests.")
    assert flag["size"] == pytest.approx(3)
    assert not notes


def test_a_real_one_alone_moves_it():
    (flag,), _ = held_against([pair(change(-0.3, 1e-4), change(0.0, 0.9), change(0.3, 1e-4))])
    assert flag["sentence"].endswith("something else on images with the real one may.")


@pytest.mark.parametrize(
    ("real", "drawn", "apart", "said"),
    [
        (change(-0.3, 1e-4), change(-0.28, 1e-4), change(0.02, 0.6), False),  # both
        (change(0.0, 0.9), change(0.01, 0.8), change(0.01, 0.9), False),  # neither
        (change(-0.05, 1e-4), change(0.0, 0.9), change(0.05, 1e-4), False),  # below the limit
        (change(-0.12, 0.2), change(-0.15, 1e-4), change(-0.03, 0.5), True),  # one is beyond chance, not the difference
    ],
)
def test_what_is_not_flagged(real: Change, drawn: Change, apart: Change, said: bool):
    flags, notes = held_against([pair(real, drawn, apart)])
    assert not flags
    assert bool(notes) == said
    assert all(note.endswith("The difference of the two may be chance.") for note in notes)


def test_chance_among_many_pairs_is_not_flagged():
    chance = pair(change(0.0, 0.9), change(-0.2, 0.03), change(-0.2, 0.03))
    assert held_against([chance])[0]
    assert not held_against([chance] * 8)[0]


def test_the_table_has_all_pairs():
    found = table_of([pair(change(0.1, 0.5), change(0.2, 0.5), change(0.1, 0.5))])
    assert found["rows"][0]["name"] == "ruler, specificity"
    assert [cell["value"] for cell in found["rows"][0]["cells"]] == [0.1, 0.2, 0.1]
