"""Export a bundle: as a timm state dict (safetensors), or as an ONNX graph that is compared with torch."""

from __future__ import annotations

import importlib
import json
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from skinlab.errors import UserError
from skinlab.inference.bundle import Bundle
from skinlab.inference.member import Member, licences
from skinlab.models.backbone import CosineHead

TOLERANCE = 1e-4  # of a probability, between torch and ONNX Runtime
FLOOR = 1e-7  # of a probability, below which a geometric mean counts no further
OPSET = 17


def write_timm(bundle: Bundle, path: Path) -> None:
    """Write one network, its classification layer included, under timm's own names.

    ``timm.create_model(NAME, num_classes=C, checkpoint_path=FILE)`` loads it, strictly. The file's metadata tells name,
    classes, image size, fit, mean and std; a calibrator, thresholds and a gate don't fit in.

    Raises:
        UserError: several networks, or a head or a colour constancy that timm doesn't have.
    """
    from safetensors.torch import save

    if len(bundle.members) > 1:
        raise UserError(f"format=safetensors holds one network, not {len(bundle.members)}; export each run by itself")
    network = bundle.classifier.network
    if any(isinstance(module, CosineHead) for module in network.modules()):
        raise UserError(
            "format=safetensors: timm has no cosine head, which this network has; use format=onnx or bundle"
        )
    if bundle.classifier.normalise.removes_light:
        raise UserError(
            "format=safetensors: timm has no Shades of Gray, which this network applies; use format=onnx or bundle"
        )
    tensors = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    path.write_bytes(_in_order(save(tensors, metadata={"format": "pt"} | _facts(bundle))))


def _in_order(content: bytes) -> bytes:
    """Return a safetensors file with its metadata sorted; the package writes them in another order each time."""
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[start:]


class Deployed(nn.Module):
    """Uint8 RGB images ``(B, 3, S, S)`` in, the bundle's probabilities ``(B, C)`` before any calibrator out."""

    shares: torch.Tensor

    def __init__(self, bundle: Bundle) -> None:
        super().__init__()
        classifiers = [member.classifier for member in bundle.members]
        # Their parts: a LightningModule can't be traced.
        self.members = nn.ModuleList(nn.Sequential(each.normalise, each.network) for each in classifiers)
        self.teams = bundle.lineup
        self.geometric = bundle.method == "geometric" and len(self.teams) > 1
        shares = bundle.weights or [1 / len(self.teams)] * len(self.teams)
        self.register_buffer("shares", torch.tensor(shares, dtype=torch.float32).view(-1, 1, 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Normalise, classify and combine."""
        members = [member(images).softmax(1) for member in self.members]
        stacked = torch.stack([torch.stack([members[i] for i in team]).mean(0) for team in self.teams])
        if self.geometric:
            return stacked.clamp(min=FLOOR).log().mean(0).softmax(1)
        return (self.shares * stacked).sum(0)


def write_onnx(bundle: Bundle, path: Path) -> float:
    """Write an ONNX graph: ``image`` uint8 RGB ``(N, 3, S, S)`` in, ``probabilities`` float32 ``(N, C)`` out.

    Normalisation, softmax and the combination of members are in the graph; resizing to S and cutting as ``fit`` says
    are not, nor is a calibrator: both are recorded in the file's metadata. N is free.

    Returns:
        The largest difference of a probability between torch and ONNX Runtime, over 16 images.

    Raises:
        UserError: the extra is not installed, the members want images of different sizes, the network can't be
            exported, or the difference exceeds 1e-4.
    """
    onnx, onnxruntime = _packages()
    inputs = {(member.image_size, member.fit) for member in bundle.members}
    if len(inputs) > 1:
        raise UserError(
            f"format=onnx: the {len(bundle.members)} networks need images of different sizes or fits, and a graph "
            "takes one; export each run by itself"
        )
    deployed = Deployed(bundle).cpu().eval()
    images = _probes(bundle.image_size)
    try:
        with warnings.catch_warnings(action="ignore"), torch.no_grad():
            # The older exporter: it needs no further package, writes one file, and takes a quarter of the time.
            torch.onnx.export(
                deployed,
                (images[:2],),
                str(path),
                input_names=["image"],
                output_names=["probabilities"],
                dynamic_axes={"image": {0: "n"}, "probabilities": {0: "n"}},
                opset_version=OPSET,
                dynamo=False,
            )
    except Exception as error:  # an exporter may stumble over a network in any way
        raise UserError(
            f"format=onnx: {_names(bundle)} can't be exported ({(str(error).splitlines() or ['?'])[0]}); "
            "use format=bundle or safetensors"
        ) from None
    model = onnx.load(str(path))
    for key, value in _facts(bundle).items():
        model.metadata_props.add(key=key, value=value)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    difference = parity(deployed, path, images, onnxruntime)
    if not difference <= TOLERANCE:
        raise UserError(
            f"format=onnx: the graph of {_names(bundle)} differs from torch by {difference:.1e} in a probability, more "
            f"than {TOLERANCE:.0e}; use format=bundle or safetensors"
        )
    return difference


def parity(network: nn.Module, path: Path, images: torch.Tensor, onnxruntime: Any) -> float:
    """Return the largest absolute difference between torch and a graph, over batches of one and of all images."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    worst = 0.0
    for batch in (images[:1], images):
        with torch.inference_mode():
            expected = network(batch).numpy()
        (got,) = session.run(["probabilities"], {"image": batch.numpy()})
        difference = float(np.abs(got - expected).max())
        worst = math.inf if math.isnan(difference) else max(worst, difference)
    return worst


def _packages() -> tuple[Any, Any]:
    try:
        return importlib.import_module("onnx"), importlib.import_module("onnxruntime")
    except ImportError as error:
        raise UserError(
            f"format=onnx needs the package {error.name}, which is missing: pip install 'skinlab[export]'"
        ) from None


def _probes(size: int) -> torch.Tensor:
    """Return 16 images ``(16, 3, S, S)``: from patches of colour to noise, so that the logits differ widely."""
    generator = torch.Generator().manual_seed(0)
    images = []
    for cells in (2, 4, 8, size):
        drawn = 255 * torch.rand(4, 3, cells, cells, generator=generator)
        images.append(nn.functional.interpolate(drawn, (size, size), mode="bilinear").to(torch.uint8))
    return torch.cat(images)


def _names(bundle: Bundle) -> str:
    return " + ".join(member.name for member in bundle.members)


def _facts(bundle: Bundle) -> dict[str, str]:
    """Return what a user of the file must know, each as JSON text."""

    def inputs(member: Member) -> dict[str, Any]:
        given = member.classifier.hparams["inputs"]
        return {key: given[key] for key in ("mean", "std", "colour_constancy") if key in given}

    facts: dict[str, Any] = {"model": [member.name for member in bundle.members]}
    facts |= bundle.meta() | {"normalisation": [inputs(member) for member in bundle.members]}
    if known := licences(bundle.members):
        facts["licence"] = ", ".join(known)
    return {key: json.dumps(value) for key, value in facts.items()}
