"""Frozen thresholds: unchanged by JSON, and refused where they were made or for other classes."""

import json

import numpy as np
import pytest

from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.thresholds.choice import choose_threshold
from skinlab.evaluation.thresholds.frozen import (
    FrozenThreshold,
    freeze,
    refuse_other_positives,
    refuse_same_rows,
    rows_hash,
    thresholds_from_list,
    thresholds_to_list,
)

IDS, OTHERS = [f"i{k}" for k in range(50)], [f"o{k}" for k in range(50)]
TRUTH = np.arange(50) % 3 == 0
SCORE = 1 / (1 + np.exp(-np.random.default_rng(6).normal(TRUTH * 1.5, 1)))


def view(ids, **known):
    """Return the rows with other names; without groups."""
    ids, blank = np.array(ids, object), np.full(len(ids), "", object)
    p, target = np.stack([1 - SCORE, SCORE], 1), TRUTH.astype(np.int64)
    arrays = {"image_id": ids, "group": ids, "source": blank, "fold": np.full(50, -1)} | known
    return Predictions(["other", "positive"], p, target, **arrays)


def frozen_on(ids, **known):
    return freeze(view(ids, **known), "cost", "val, 50 images", ["mel"], cost_ratio=5)


def test_a_frozen_threshold_goes_through_json_unchanged():
    frozen = frozen_on(IDS)
    again = FrozenThreshold.from_dict(json.loads(json.dumps(frozen.to_dict())))
    assert again == frozen
    assert (again.cost_ratio, again.positive) == (5, ["mel"])
    assert again.threshold == choose_threshold(SCORE, TRUTH, "cost", cost_ratio=5)
    assert again(np.array([frozen.threshold, frozen.threshold - 1e-6])).tolist() == [True, False]


def test_rows_that_rules_share_are_written_once_and_read_again():
    of_rules = [freeze(view(IDS), rule, "val, 50 images", ["mel"]) for rule in ("f1", "cost", "p>=0.3")]
    of_rules.append(frozen_on(OTHERS))
    written = json.loads(json.dumps(thresholds_to_list(of_rules)))
    assert [row["rows"] is None for row in written] == [False, True, False, False]
    assert thresholds_from_list(written) == of_rules
    assert thresholds_from_list([each.to_dict() for each in of_rules]) == of_rules  # the older form
    with pytest.raises(ValueError, match="the rows of cost stood with another rule, which is gone"):
        thresholds_from_list(written[1:])


def test_an_older_file_has_no_prevalence():
    older = {name: value for name, value in frozen_on(IDS).to_dict().items() if name not in ("prevalence", "rows")}
    read = FrozenThreshold.from_dict(older)
    assert (read.prevalence, read.rows) == (None, {})
    with pytest.raises(ValueError, match="chosen on these same images"):
        refuse_same_rows(read, view(IDS))


def test_a_frozen_threshold_is_refused_on_its_own_rows():
    frozen = frozen_on(IDS)
    assert frozen.rows_sha256 == rows_hash(reversed(IDS))
    with pytest.raises(
        ValueError, match=r"val, 50 images.*validation images, or cross-fit it: .*evaluate … cross_fit=true"
    ):
        refuse_same_rows(frozen, view(IDS[::-1]))
    refuse_same_rows(frozen, view(OTHERS))


def test_a_frozen_threshold_is_for_its_own_positive_classes():
    with pytest.raises(ValueError, match="cost was chosen for positive=mel, not positive=mel,bcc: set positive=mel"):
        refuse_other_positives(frozen_on(IDS), ["mel", "bcc"])
    refuse_other_positives(frozen_on(IDS), ["mel"])


def test_a_file_that_lacks_something_is_refused():
    with pytest.raises(ValueError, match="lacks threshold, rows_sha256"):
        FrozenThreshold.from_dict(
            {k: v for k, v in frozen_on(IDS).to_dict().items() if k not in ("threshold", "rows_sha256")}
        )
