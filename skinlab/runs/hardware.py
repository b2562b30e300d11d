"""Choose the precision, and set up memory, for the device of a run."""

from __future__ import annotations

import ctypes
import sys

import torch
from torch import nn

from skinlab.errors import UserError
from skinlab.models.backbone import has_depthwise


def choose_precision(requested: str, accelerator: str, network: nn.Module) -> str:
    """Turn ``auto`` into the faster precision, by a rule, so that the same machine always gives the same weights.

    bfloat16 on GPUs that have it and on CPUs with native bfloat16 products, float16 on older GPUs. CPUs run depthwise
    convolutions slower in bfloat16 than in float32, so networks with those stay in float32 there.
    """
    if requested != "auto":
        return requested
    if uses_gpu(accelerator):
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "16-mixed"
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bf16-mixed" if native and not has_depthwise(network) else "32-true"


def uses_gpu(accelerator: str) -> bool:
    """Return whether a trainer with this accelerator runs on a CUDA device.

    Raises:
        UserError: the settings name a GPU and there is none.
    """
    if accelerator in ("gpu", "cuda") and not torch.cuda.is_available():
        raise UserError(f"trainer.accelerator={accelerator}: this machine has no CUDA device; use trainer=cpu")
    return accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()


def keep_freed_memory() -> None:
    """Have glibc keep what tensors free for the tensors of the next step, for training on a CPU.

    By default it hands every large block back to the system and takes new pages for the next one: 56,000 page faults a
    step, a quarter of the time, for effnet_lite0 on 32 images of 128 px. Elsewhere than on glibc nothing changes.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        trim_threshold, mmap_max = -1, -4  # M_TRIM_THRESHOLD and M_MMAP_MAX of malloc.h
        mallopt(trim_threshold, -1)
        mallopt(mmap_max, 0)
