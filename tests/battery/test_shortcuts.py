"""Sources and artefacts that go with a class are found at home, and a model that uses them is flagged."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from skinlab.battery.bench import Bench
from skinlab.battery.probe import NotRunError
from skinlab.battery.shortcuts import Shortcuts


def tied(rows: pd.DataFrame, share: float) -> np.ndarray:
    """Return which images have something that a share of the melanomas has, and a quarter of the others."""
    rng = np.random.default_rng(1)
    return rng.random(len(rows)) < np.where(rows["label"] == "mel", share, 0.25)


def test_a_source_that_goes_with_a_class_and_is_used_is_named(bench_of: Callable[..., Bench], disc_rows: pd.DataFrame):
    from_a = tied(disc_rows, 0.9)
    rows = disc_rows.assign(source=np.where(from_a, "a", "b"))
    home = bench_of(rows=rows)
    clean = home.home.clean
    p = 1 / (1 + np.exp(-np.log(clean.probabilities[:, 1] / clean.probabilities[:, 0]) - 2.0 * from_a))
    vars(home.home)["clean"] = replace(clean, probabilities=np.stack([1 - p, p], 1))
    probe = Shortcuts()
    assert probe.passes(home) == 240  # the look of each source
    found = probe.run(home)
    assert found.flags[0]["level"] == "watch"
    assert found.flags[0]["sentence"].startswith("source a is a shortcut to mel")
    assert [row["name"] for row in found.tables[0]["rows"]] == ["source a, mel", "source b, nv"]


@pytest.mark.parametrize(("light", "flagged"), [(0.7, True), (1.0, False)])
def test_the_look_of_a_source_is_drawn(bench_of: Callable[..., Bench], disc_rows: pd.DataFrame, light, flagged):
    from_a = tied(disc_rows, 0.9)
    darker = bench_of(
        0.0, 0.1, rows=disc_rows.assign(source=np.where(from_a, "a", "b"))
    )  # it takes a dark corner for mel
    pixels = darker.home.pixels.copy()
    pixels[from_a] = pixels[from_a] * light
    vars(darker.home)["pixels"] = pixels
    found = Shortcuts().run(darker)
    drawn = [flag for flag in found.flags if "drawn onto images of other classes" in flag["sentence"]]
    named = {flag["sentence"].partition(":")[0] for flag in drawn}
    assert named == ({"source a is a shortcut to mel", "source b is a shortcut to nv"} if flagged else set())
    assert {shown.title for shown in found.pictures} == {
        "source a, which goes with mel",
        "source b, which goes with nv",
    }


def test_an_artefact_that_moves_the_model_when_drawn_breaks(bench_of: Callable[..., Bench], disc_rows: pd.DataFrame):
    has = tied(disc_rows, 0.9)
    table = pd.DataFrame({"dark_corner": has.astype(float), "hair": 0.0}, index=disc_rows["image_id"])
    corner = replace(bench_of(0.0, 0.1), artefacts=table)  # this model reads the corner
    probe = Shortcuts()
    assert probe.passes(corner) == 120
    (flag,) = probe.run(corner).flags
    assert flag["level"] == "breaks"
    assert flag["sentence"].startswith("dark corner is a shortcut to mel")
    assert probe.run(replace(bench_of(0.45, 0.55), artefacts=table)).flags == []  # this one the centre


def test_without_sources_and_artefacts_it_is_not_run(bench_of: Callable[..., Bench], disc_rows: pd.DataFrame):
    with pytest.raises(NotRunError, match=r"of one source, .* no table of artefacts \(artefacts=FILE\.csv\)"):
        Shortcuts().passes(bench_of())
    rows = disc_rows.assign(source=np.where(np.arange(len(disc_rows)) % 2, "a", "b"))
    found = Shortcuts().run(bench_of(rows=rows))
    assert found.flags == []
    assert found.notes == ["No source and no artefact goes with a class at home."]
