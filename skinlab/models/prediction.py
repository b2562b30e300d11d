"""Probabilities of a network for all images, with test-time augmentation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F  # noqa: N812 (torch's own convention)

from skinlab.errors import UserError, nearest

View = Callable[[torch.Tensor], torch.Tensor]
Network = Callable[[torch.Tensor], torch.Tensor]

# Images in a forward pass; more are no faster on a CPU.
STEP = {"cpu": 8, "cuda": 64}
CROP = 0.875  # 224 of 256, the centre crop that ImageNet networks are tested with


def _symmetry(turns: int, mirrored: bool) -> View:
    return lambda x: torch.rot90(x.flip(-1) if mirrored else x, turns, (-2, -1))


def _crop(down: float, across: float) -> View:
    """Return a view: a square of 0.875 of the side at a place from 0 (top, left) to 1, scaled to the full size."""

    def view(x: torch.Tensor) -> torch.Tensor:
        side = round(CROP * x.shape[-1])
        top, left = (round(place * (x.shape[-1] - side)) for place in (down, across))
        cut = x[..., top : top + side, left : left + side].float()
        scaled = F.interpolate(cut, x.shape[-2:], mode="bilinear", align_corners=False)
        return scaled.round().to(x.dtype)

    return view


# "multicrop" is the full image, then crops of the centre and the corners.
VIEWS: dict[str, list[View]] = {
    "none": [lambda x: x],
    "flips": [lambda x: x, lambda x: x.flip(-1), lambda x: x.flip(-2)],
    "d4": [
        _symmetry(turns, mirrored) for mirrored in (False, True) for turns in range(4)
    ],  # all symmetries of the square
    "multicrop": [lambda x: x] + [_crop(*place) for place in ((0.5, 0.5), (0, 0), (0, 1), (1, 0), (1, 1))],
}


def tta_views(name: str) -> list[View]:
    """Return the views of a test-time augmentation: none (1), flips (3), d4 (8) or multicrop (6).

    Each maps uint8 images ``(B, 3, S, S)`` to images of the same size; the time is proportional to their number.

    Raises:
        UserError: the name is unknown.
    """
    if name not in VIEWS:
        raise UserError(f"tta={name}: choose {', '.join(VIEWS)}{nearest(name, VIEWS)}")
    return VIEWS[name]


def predict_probabilities(
    network: Network,
    batches: Iterable[dict[str, torch.Tensor]],
    *,
    device: torch.device | str = "cpu",
    tta: str = "none",
) -> npt.NDArray[np.float64]:
    """Return the mean probability over the views, ``(N, C)``, in the order of the batches.

    The result does not depend on the batch size, to the last bit. Kernels add up in an order that depends on the shape
    of their input, so the number of images in a forward pass is always the same, the last ones padded.

    Args:
        network: maps uint8 images ``(B, 3, S, S)`` to logits ``(B, C)``; in evaluation mode.
        batches: one or more, each with ``image``, uint8 ``(any, 3, S, S)``.
        device: where the network is.
        tta: see :func:`tta_views`.

    >>> brightness = lambda x: torch.stack([x.float().mean((1, 2, 3)), torch.zeros(len(x))], 1)
    >>> predict_probabilities(brightness, [{"image": torch.zeros(3, 3, 4, 4, dtype=torch.uint8)}], tta="d4").tolist()
    [[0.5, 0.5], [0.5, 0.5], [0.5, 0.5]]
    """
    return np.asarray(predict_members([network], batches, device=device, tta=tta)[0])


@torch.inference_mode()
def predict_members(
    networks: Sequence[Network],
    batches: Iterable[dict[str, torch.Tensor]],
    *,
    device: torch.device | str = "cpu",
    tta: str = "none",
) -> npt.NDArray[np.float64]:
    """Return the probabilities of several networks for the same images, ``(M, N, C)``.

    Those of each network are equal to :func:`predict_probabilities` for that network alone, to the last bit.
    """
    views, device = tta_views(tta), torch.device(device)
    rows = []
    for images, n in _equal_steps(batches, STEP[device.type]):
        moved = images.to(device)
        means = [torch.stack([f(view(moved)).double().softmax(1) for view in views]).mean(0)[:n] for f in networks]
        rows.append(torch.stack(means).cpu())
    return torch.cat(rows, 1).numpy()


@torch.inference_mode()
def embed(
    network: Network, batches: Iterable[dict[str, torch.Tensor]], *, device: torch.device | str = "cpu"
) -> npt.NDArray[np.float32]:
    """Return a network's features of all images, ``(N, F)``, in the same steps as their probabilities.

    Args:
        network: maps uint8 images ``(B, 3, S, S)`` to features ``(B, F)``; in evaluation mode.
        batches: one or more, each with ``image``, uint8 ``(any, 3, S, S)``.
        device: where the network is.
    """
    device = torch.device(device)
    rows = [network(images.to(device))[:n].float().cpu() for images, n in _equal_steps(batches, STEP[device.type])]
    return np.asarray(torch.cat(rows).numpy())


def _equal_steps(batches: Iterable[dict[str, torch.Tensor]], size: int) -> Iterator[tuple[torch.Tensor, int]]:
    """Yield the images of batches in steps of ``size``, with the number of images in each without padding.

    All steps share their memory: one must be used before the next is taken.
    """
    step, filled = torch.empty(0), 0
    for batch in batches:
        images = batch["image"]
        if not len(step):
            step = torch.zeros((size, *images.shape[1:]), dtype=images.dtype)
            step = step.contiguous(memory_format=torch.channels_last)
        while len(images):
            taken = min(size - filled, len(images))
            step[filled : filled + taken] = images[:taken]
            filled, images = filled + taken, images[taken:]
            if filled == size:
                yield step, size
                filled = 0
    if filled:
        step[filled:] = 0
        yield step, filled
