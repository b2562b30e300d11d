"""Compile the network of a run (torch.compile): as set, or with ``auto`` where a measurement says that it pays."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import logging
import platform
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

import torch
from torch import nn

from skinlab.data.private_files import one_maker, read_checked, write_checked
from skinlab.errors import UserError
from skinlab.runs.consistency import limited
from skinlab.runs.hardware import uses_gpu
from skinlab.settings.run import RunSettings

log = logging.getLogger(__name__)
Run = TypeVar("Run", bound=RunSettings)

SHORT = 600.0  # seconds of a training that ``auto`` leaves as it is: measuring alone takes minutes
SPREAD = 0.05  # of the time of a step: a smaller gain is within the spread of repeated measurements
STEPS = 5  # of each kind, of which the fastest counts: other programs only slow them down
DTYPES = {"16": torch.float16, "bf16": torch.bfloat16, "64": torch.float64}


class Speed(NamedTuple):
    """Seconds of a training step, eager and compiled, and of compiling for training and validation."""

    eager: float
    compiled: float
    compiling: float

    def pays(self, steps: int) -> bool:
        """Return whether so many steps save more than compiling takes, in a training that is not short.

        >>> Speed(eager=1.0, compiled=0.8, compiling=100.0).pays(400), Speed(1.0, 0.8, 100.0).pays(600)
        (False, True)
        """
        saved = self.eager - self.compiled
        return steps * self.eager >= SHORT and saved > SPREAD * self.eager and steps * saved > self.compiling


def check_compiler(settings: RunSettings) -> None:
    """Refuse to compile where it was set and is not possible, before the data are read.

    Raises:
        UserError: torch can't compile on this machine, or a CUDA graph is wanted without a GPU.
    """
    chosen = settings.model.compile
    if chosen in (False, "auto"):
        return
    gpu = uses_gpu(settings.trainer.accelerator)
    if chosen == "cuda_graphs" and not gpu:
        raise UserError("model.compile=cuda_graphs: this machine has no CUDA device; set model.compile=false")
    if fault := compiler_fault(gpu=gpu):
        raise UserError(f"model.compile={str(chosen).lower()}: {fault}, or set model.compile=false")


def compiler_fault(*, gpu: bool) -> str:
    """Return why torch can't compile here and what to do, "" if it can: found by compiling a small function."""
    try:
        torch.compile(lambda values: values.sin() + 1)(torch.ones(8, device="cuda" if gpu else "cpu"))
    except Exception as error:  # of many types: no compiler, no headers, no folder to write to
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        needed = "a C compiler, Python's headers and Triton" if gpu else "g++ (apt install g++) and Python's headers"
        return f"torch can't compile on this machine ({reason}); install {needed}"
    return ""


def compile_network(settings: Run, network: nn.Module, *, precision: str, n_batches: int) -> Run:
    """Compile the network of a run in place, if ``model.compile`` says so.

    ``auto`` measures eager and compiled steps once for a network, image size, batch size, precision, device and version
    of torch, and keeps that in ``data.cache_dir``. It counts passes of whole batches without their augmentation.

    Args:
        settings: of the run.
        network: with its initial weights.
        precision: of the run, resolved.
        n_batches: of an epoch, that pass through the network and back.

    Returns:
        The settings, with the decision instead of ``auto``: a resumed run keeps it.
    """
    chosen = settings.model.compile
    if chosen == "auto":
        steps = settings.trainer.max_epochs * limited(n_batches, settings.trainer.limit_train_batches)
        chosen = _pays(settings, network, precision, steps)
    if chosen:
        network.compile(mode="reduce-overhead" if chosen == "cuda_graphs" else None)
    return settings.updated({"model.compile": chosen})


def _pays(settings: RunSettings, network: nn.Module, precision: str, steps: int) -> bool:
    """Return whether compiling pays in this run, and log why."""
    gpu, size, batch = uses_gpu(settings.trainer.accelerator), settings.data.image_size, settings.data.batch_size
    cpu = _processor(Path("/proc/cpuinfo"))
    device = torch.cuda.get_device_name() if gpu else f"{cpu}, {torch.get_num_threads()} threads"
    key = [settings.model.name, size, batch, precision, device, torch.__version__, cpu]
    name = f"compile-{hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]}.bin"
    store = None if settings.data.cache_dir is None else Path(settings.data.cache_dir) / name
    images = torch.linspace(0, 1, batch * 3 * size * size).reshape(batch, 3, size, size)
    images = images.to("cuda" if gpu else "cpu", memory_format=torch.channels_last)
    with one_maker(store):
        speed = _load(store)
        if speed is None:
            eager = _eager_step(network, images, precision)
            if steps * eager < SHORT:
                log.info("model.compile=auto: not compiled, %d steps take %.0f s without", steps, steps * eager)
                return False
            if not _can_compile(gpu=gpu):
                return False
            log.info("model.compile=auto: measuring once for this network and machine, for some minutes")
            speed = measure_speed(network, images, precision)
            _save(store, speed)
    pays = speed.pays(steps) and _can_compile(gpu=gpu)  # the measurement may be of another machine of this kind
    log.info(
        "model.compile=auto: %s; a step takes %.3g s, compiled %.3g s; compiling takes %.0f s; %d steps are planned",
        *("compiled" if pays else "not compiled", *speed, steps),
    )
    return pays


def _can_compile(*, gpu: bool) -> bool:
    """Return whether torch can compile here, with a warning where it can't."""
    fault = compiler_fault(gpu=gpu)
    if fault:
        log.warning("model.compile=auto: not compiled, %s", fault)
    return not fault


def measure_speed(network: nn.Module, images: torch.Tensor, precision: str) -> Speed:
    """Measure training steps of copies of a network, eager and compiled in turn, and the time of compiling.

    Args:
        network: stays as it is, as do the generators of random numbers.
        images: a batch (B, 3, H, W) on the device of the run.
        precision: as Lightning names it.
    """
    with _copies(network, images, 2) as (eager, compiled):
        compiled.compile()
        compiling = _seconds(compiled, images, precision)
        compiled.eval()
        with torch.no_grad():  # a validation ends with a smaller batch, which is compiled for, too
            compiling += sum(_seconds(compiled, part, precision) for part in (images, images[: len(images) // 2 or 1]))
        compiled.train()
        times = [[_seconds(each, images, precision) for each in (eager, compiled)] for _ in range(STEPS + 1)]
    fastest = [min(each) for each in zip(*times[1:], strict=True)]
    return Speed(eager=fastest[0], compiled=fastest[1], compiling=compiling)


def _eager_step(network: nn.Module, images: torch.Tensor, precision: str) -> float:
    with _copies(network, images, 1) as (eager,):
        return min(_seconds(eager, images, precision) for _ in range(3))


@contextlib.contextmanager
def _copies(network: nn.Module, images: torch.Tensor, count: int) -> Iterator[list[nn.Module]]:
    """Yield copies of a network in training mode on the device of some images, and leave nothing of them behind."""
    with torch.random.fork_rng(devices=[images.device] if images.is_cuda else []):
        try:
            yield [copy.deepcopy(network).to(images.device).train() for _ in range(count)]
        finally:
            torch.compiler.reset()


def _seconds(network: nn.Module, images: torch.Tensor, precision: str) -> float:
    """Return the time of a pass, and in training mode of one backwards."""
    bits, _, kind = precision.partition("-")
    dtype = DTYPES.get(bits, torch.float32)
    mixed = dtype.itemsize == 2 and kind != "true"
    if not mixed:
        network, images = network.to(dtype), images.to(dtype)
    start = time.perf_counter()
    with torch.autocast(images.device.type, dtype, enabled=mixed):
        outputs = network(images)
    if network.training:
        outputs.float().square().mean().backward()
        network.zero_grad()
    if images.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - start


def _processor(info: Path) -> str:
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if "model name" in line), platform.processor())


def _load(store: Path | None) -> Speed | None:
    """Return an earlier measurement; None where there is none, or others can have written it."""
    if store is None:
        return None
    try:
        return Speed(*json.loads(read_checked(store)))
    except FileNotFoundError:
        return None
    except (OSError, UserError, ValueError, TypeError) as error:
        log.warning("model.compile=auto measures again: %s", error)
        return None


def _save(store: Path | None, speed: Speed) -> None:
    if store is not None:
        try:
            write_checked(store, json.dumps(speed).encode())
        except (OSError, UserError) as error:
            log.warning("the measurement of model.compile=auto can't be kept: %s", error)
