"""BatchNorm without an update of its running statistics."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _NormBase


@contextmanager
def keep_running_statistics(network: nn.Module) -> Iterator[None]:
    """Normalise by the statistics of the batch, as in training, without updating the running statistics.

    These stay those of the labelled images, whose augmentation is closest to validation, so that a pool of which no
    image is accepted changes nothing (as ``Bn_Controller`` of TorchSSL, Zhang et al., 2021, arXiv 2110.08263). Norms in
    evaluation mode, those of a frozen backbone, use their running statistics as before.
    """
    norms = [m for m in network.modules() if isinstance(m, _NormBase) and m.track_running_stats]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
