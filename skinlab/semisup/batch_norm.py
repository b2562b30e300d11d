"""BatchNorm, where a batch has images that its running statistics are not to see."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _NormBase


@contextmanager
def unrecorded(network: nn.Module) -> Iterator[None]:
    """Normalise each batch by itself, as in training, and leave the running statistics alone.

    They stay those of the labelled images, to whose augmentation validation comes closest; so a pool that teaches
    nothing changes nothing (as ``Bn_Controller`` of TorchSSL, Zhang et al., 2021, arXiv 2110.08263). Norms in
    evaluation mode, those of a frozen backbone, go on using theirs.
    """
    norms = [m for m in network.modules() if isinstance(m, _NormBase) and m.track_running_stats]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
