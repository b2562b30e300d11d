"""Metrics of features that need no labels: spread, alignment and uniformity."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (torch's own convention)


def feature_std(features: Tensor) -> Tensor:
    """Return the mean over dimensions of the standard deviation of L2-normalised features (B, F); 1/sqrt(F) is ideal.

    See Chen and He, 2021 (arXiv 2011.10566), figure 2.

    >>> feature_std(torch.ones(8, 4)).item()
    0.0
    """
    return F.normalize(features, dim=1).std(dim=0).mean()


def alignment(first: Tensor, second: Tensor) -> Tensor:
    """Return the mean squared distance of L2-normalised features (B, F) of two views; 0 is perfect.

    See Wang and Isola, 2020 (arXiv 2005.10242), alpha = 2.

    >>> alignment(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 3.0]])).item()
    2.0
    """
    return (F.normalize(first, dim=1) - F.normalize(second, dim=1)).square().sum(dim=1).mean()


def uniformity(features: Tensor) -> Tensor:
    """Return the log of the mean Gaussian potential of all pairs of L2-normalised features (B, F); lower is better.

    See Wang and Isola, 2020 (arXiv 2005.10242), t = 2. Collapsed features have 0, features spread evenly over a sphere
    of many dimensions nearly -4.

    >>> uniformity(torch.tensor([[1.0, 0.0], [-1.0, 0.0]])).item()
    -8.0
    """
    unit, n = F.normalize(features, dim=1), len(features)
    squared_distance = (2 - 2 * unit @ unit.T).clamp(min=0).fill_diagonal_(torch.inf)
    return ((-2 * squared_distance).exp().sum() / (n * (n - 1))).log()


@torch.no_grad()
def feature_metrics(features: Sequence[Tensor], projections: Sequence[Tensor] = ()) -> dict[str, Tensor]:
    """Return the metrics of a step from the features (B, F) of its one or two global views, and their projections.

    The projections may collapse while BatchNorm keeps the backbone's features apart; hence the spread of both.

    >>> sorted(feature_metrics([torch.randn(4, 8)]))
    ['feature_std', 'uniformity']
    """
    with torch.autocast(features[0].device.type, enabled=False):
        views = [view.float() for view in features]
        metrics = {
            "feature_std": torch.stack([feature_std(view) for view in views]).mean(),
            "uniformity": torch.stack([uniformity(view) for view in views]).mean(),
        }
        if projections:
            metrics["projection_std"] = torch.stack([feature_std(view.float()) for view in projections]).mean()
        if len(views) == 2:
            metrics["alignment"] = alignment(*views)
    return metrics
