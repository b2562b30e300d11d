"""Detect collapse: all images get equal features, a trivial minimum of some methods' losses."""

from __future__ import annotations

import math
from collections.abc import Mapping

# Share of the ideal spread below which a run has collapsed: two images then have a cosine above .997 on average.
# Untrained networks have .3 and more on dermoscopy.
COLLAPSED_BELOW = 0.05


def collapsed(feature_std: float, n_features: int) -> str | None:
    """Return a diagnosis if features have collapsed to a point.

    Features of length 1 that spread evenly in F dimensions vary by 1/sqrt(F) in each (Chen and He, 2021, arXiv
    2011.10566, figure 2). With ratio r of that, two images have a cosine of 1 - r ** 2 on average.

    Args:
        feature_std: mean over dimensions of the standard deviation of L2-normalised features.
        n_features: number of dimensions F.

    >>> collapsed(0.04, 512) is None
    True
    >>> "collapsed" in collapsed(0.0001, 512)
    True
    """
    ideal = 1 / math.sqrt(n_features)
    if not math.isfinite(feature_std):
        return f"the features are not finite (their spread is {feature_std}); try a lower optimizer.lr"
    if feature_std >= COLLAPSED_BELOW * ideal:
        return None
    return (
        f"the features have collapsed: all images have nearly the same (spread {feature_std:.2g}, evenly spread "
        f"features have {ideal:.2g}); try a lower optimizer.lr, a larger data.batch_size, longer warm-up, "
        "or ssl=vicreg or ssl=simclr, which resist it"
    )


def diagnose(metrics: Mapping[str, float], n_features: int, n_projected: int | None = None) -> str | None:
    """Return a diagnosis if an epoch's features or projections have collapsed.

    Args:
        metrics: ``train/feature_std`` and, with a head, ``train/projection_std``; what is missing is not checked.
        n_features: dimensions of the features.
        n_projected: dimensions of the projections, None without a head.

    >>> diagnose({"train/feature_std": 0.04, "train/projection_std": 0.06}, 512, 256) is None
    True
    """
    for name, n in (("train/feature_std", n_features), ("train/projection_std", n_projected)):
        if n is not None and name in metrics and (diagnosis := collapsed(float(metrics[name]), n)):
            return diagnosis
    return None
