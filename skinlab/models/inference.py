"""Probabilities from a network: batches in, one row an image out, with test-time augmentation if wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import numpy.typing as npt
import torch

from skinlab.errors import UserError, nearest

View = Callable[[torch.Tensor], torch.Tensor]


def _d4() -> list[View]:
    """The eight symmetries of the square: four rotations, each plain and mirrored."""
    turns: list[View] = [lambda x, k=k: torch.rot90(x, k, (-2, -1)) for k in range(4)]  # type: ignore[misc]
    return turns + [lambda x, t=t: t(x.flip(-1)) for t in turns]  # type: ignore[misc]


VIEWS: dict[str, list[View]] = {
    "none": [lambda x: x],
    "flips": [lambda x: x, lambda x: x.flip(-1), lambda x: x.flip(-2)],
    "d4": _d4(),
}


def tta_views(name: str) -> list[View]:
    """Return the views of a test-time augmentation: none, flips or d4.

    Raises:
        UserError: unknown name.
    """
    if name not in VIEWS:
        raise UserError(f"tta={name}: choose {', '.join(VIEWS)}{nearest(name, VIEWS)}")
    return VIEWS[name]


@torch.inference_mode()
def predict_probabilities(
    network: Callable[[torch.Tensor], torch.Tensor],
    batches: Iterable[dict[str, torch.Tensor]],
    *,
    device: torch.device | str = "cpu",
    tta: str = "none",
) -> npt.NDArray[np.float64]:
    """Return the mean probability over the views, ``(N, C)``, in the order of the batches.

    Args:
        network: maps uint8 images ``(B, 3, S, S)`` to logits ``(B, C)``; in evaluation mode.
        batches: each with ``image``.
        device: where the network is.
        tta: see :func:`tta_views`.
    """
    views = tta_views(tta)

    def rows() -> Iterator[torch.Tensor]:
        for batch in batches:
            images = batch["image"].to(device, non_blocking=True)
            yield torch.stack([network(view(images)).double().softmax(1) for view in views]).mean(0).cpu()

    return torch.cat(list(rows())).numpy()
