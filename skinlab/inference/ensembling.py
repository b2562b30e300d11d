"""Put several single classifiers into one bundle, and combine their probabilities."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from skinlab.errors import UserError, nearest
from skinlab.evaluation.ensembles.combination import COMBINATIONS, combine
from skinlab.evaluation.thresholds.choice import positive_score
from skinlab.inference.bundle import Bundle
from skinlab.inference.learned import read_calibrator, shares

# What needs no rows of predictions: weights may be given.
UNLEARNED = [name for name, each in COMBINATIONS.items() if each.learns in (None, "weights")]


def ensemble(
    bundles: Sequence[Bundle], names: Sequence[str], *, method: str = "mean", weights: Sequence[float] | None = None
) -> Bundle:
    """Put several single classifiers into one bundle; one bundle alone stays what it is.

    Args:
        bundles: of one member each; their image sizes, fits and normalisations may differ.
        names: what to call each in a message.
        method: ``mean``, ``geometric`` or ``weighted``.
        weights: for ``weighted`` only, one a member, scaled to sum to one.

    Raises:
        UserError: method or weights make no sense, the classes differ, or one model is there twice.
    """
    if method in COMBINATIONS and method not in UNLEARNED:
        raise UserError(
            f"combine={method} is learned from predictions, which skinlab.ensemble does, and writes a bundle: "
            f"python -m skinlab.ensemble runs=A,B method={method}"
        )
    if method not in COMBINATIONS:
        raise UserError(f"combine={method}: choose {', '.join(UNLEARNED)}{nearest(method, COMBINATIONS)}")
    if (weights is not None) != (method == "weighted"):
        raise UserError(
            f"combine={method} {'needs' if weights is None else 'takes no'} weights=; they go with weighted"
        )
    if len(bundles) == 1 and weights is None:
        return bundles[0]
    for bundle, name in zip(bundles, names, strict=True):
        if len(bundle.members) > 1 or bundle.calibrator is not None:
            raise UserError(f"{name} is an ensemble or calibrated already; give the runs that it was made of")
        if bundle.classes != bundles[0].classes:
            what = "in another order" if sorted(bundle.classes) == sorted(bundles[0].classes) else "other ones"
            raise UserError(
                f"the classes of {name} ({', '.join(bundle.classes)}) are {what} than those of {names[0]} "
                f"({', '.join(bundles[0].classes)}); combine models of the same classes"
            )
    hashes = [bundle.members[0].sha256 for bundle in bundles]
    for i, sha256 in enumerate(hashes):
        if (first := hashes.index(sha256)) < i:
            raise UserError(f"{names[first]} and {names[i]} are the same model; give each once")
    return Bundle(
        tuple(bundle.members[0] for bundle in bundles),
        bundles[0].classes,
        hashlib.sha256("".join(hashes).encode()).hexdigest(),
        method=method,
        learned={} if weights is None else {"weights": shares(weights, len(bundles))},
    )


def combine_members(bundle: Bundle, members: np.ndarray) -> np.ndarray:
    """Combine members' probabilities ``(M, N, C)`` as the bundle says: within each team, the teams, then calibrate.

    Returns:
        ``(N, C)``, a column a name of ``bundle.outputs``; one member's stay as they are, to the bit.
    """
    teams = np.stack([members[team].mean(0) for team in bundle.lineup])
    if bundle.positive:
        share = positive_score(teams, bundle.classes, bundle.positive)
        teams = np.stack([1 - share, share], axis=-1)
    combined = combine(teams, bundle.method, **bundle.learned)
    return combined if bundle.calibrator is None else read_calibrator(bundle.calibrator, len(bundle.classes))(combined)
