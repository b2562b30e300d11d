"""Find out whether this machine is ready: packages, devices, image decoding, data, weights, disks and W&B."""

from __future__ import annotations

import importlib.util
import netrc
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from huggingface_hub.constants import HF_HUB_CACHE
from packaging.requirements import Requirement
from PIL import features

from skinlab.data.images import IMAGE_SUFFIXES, read_with_kind
from skinlab.data.readers.listing import find_masks
from skinlab.models.weights import LITE_PACKAGES
from skinlab.processes.cores import available_cores

OK, NOTE, WARNING, ERROR = "ok", "note", "warning", "error"
SHOWN = ("torch", "torchvision", "pytorch-lightning", "timm", "lightly", "hydra-core")
GIB = 2**30
SHM, MIN_SHM = Path("/dev/shm"), 2.0  # GiB: batches pass through it from loading processes
SECONDS = 0.3  # of decoding
PHOTOGRAPH = (450, 600)  # height and width of HAM10000's


class Finding(NamedTuple):
    """A line of the screen.

    Attributes:
        topic: such as ``disk``.
        state: OK, NOTE (something optional is missing), WARNING, or ERROR (no command works so).
        text: what was found, with the remedy.
    """

    topic: str
    state: str
    text: str


def packages() -> Iterator[Finding]:
    """Yield the versions of the packages, what is missing or too old, and the extras that are not installed."""
    shown = ", ".join(f"{name} {version(name)}" for name in SHOWN)
    yield Finding("packages", OK, f"skinlab {version('skinlab')}, Python {platform.python_version()}, {shown}")
    missing: dict[str, list[str]] = {}
    for text in requires("skinlab") or []:
        requirement = Requirement(text)
        extra = next((name for name in _extras(text)), "")
        if fault := _fault(requirement):
            missing.setdefault(extra, []).append(fault)
    for extra, faults in missing.items():
        if extra == "dev":
            continue
        remedy = _install(extra) if extra else "pip install skinlab installs what it needs"
        yield Finding("extras" if extra else "packages", NOTE if extra else ERROR, f"{', '.join(faults)}; {remedy}")


def _install(extra: str) -> str:
    """Return the command that installs an extra; in a clone, that of the clone."""
    clone = Path(__file__).parents[2]
    if (clone / "pyproject.toml").is_file():
        return f"in {clone}: pip install -e '.[{extra}]'"
    return f"pip install 'skinlab[{extra}]'"


def _extras(requirement: str) -> list[str]:
    """Return the extra that a requirement belongs to, if any."""
    return [part.strip(" '\"") for part in requirement.partition("extra ==")[2].split(";")[:1] if part]


def _fault(requirement: Requirement) -> str:
    """Return what is wrong with an installed package; empty if nothing."""
    try:
        found = version(requirement.name)
    except PackageNotFoundError:
        return f"{requirement.name} is not installed"
    wanted = requirement.specifier
    return "" if wanted.contains(found, prereleases=True) else f"{requirement.name} is {found}, not {wanted}"


def devices() -> Iterator[Finding]:
    """Yield the processor and the GPUs."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    yield Finding("devices", OK, f"{available_cores()} cores, {memory:.0f} GiB of memory")
    if not torch.cuda.is_available():
        yield Finding("devices", NOTE, "no GPU that torch can use: trainer=auto trains on the processor")
    for number in range(torch.cuda.device_count()):
        found = torch.cuda.get_device_properties(number)
        yield Finding("devices", OK, f"GPU {number}: {found.name}, {found.total_memory / GIB:.0f} GiB")


def image_decoding() -> Finding:
    """Return how fast a JPEG is decoded, and by which library."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 255, (PHOTOGRAPH[0] // 15, PHOTOGRAPH[1] // 15, 3), np.uint8)
    content = cv2.imencode(".jpg", cv2.resize(coarse, PHOTOGRAPH[::-1], interpolation=cv2.INTER_CUBIC))[1].tobytes()
    with tempfile.NamedTemporaryFile(suffix=".jpg") as file:
        file.write(content)
        file.flush()
        n, started = 0, time.perf_counter()
        while time.perf_counter() - started < SECONDS:
            read_with_kind(file.name)
            n += 1
    speed = f"{n / (time.perf_counter() - started):,.0f} images of {PHOTOGRAPH[1]}x{PHOTOGRAPH[0]} px a second and core"
    if features.check_feature("libjpeg_turbo"):
        return Finding("JPEG", OK, f"libjpeg-turbo: {speed}")
    return Finding("JPEG", WARNING, f"no libjpeg-turbo, decoding is slow: {speed}; install Pillow's own wheel with pip")


def data_sets(home: Path, known: Mapping[str, int]) -> Iterator[Finding]:
    """Yield which data sets are where they are expected, and how to get the others.

    Args:
        home: the folder that holds their folders.
        known: name → least number of images, 0 if unknown.
    """
    missing = []
    for name, expected in known.items():
        if not (home / name).is_dir():
            missing.append(name)
            continue
        files = [
            str(Path(folder, file).relative_to(home))
            for folder, _, names in os.walk(home / name)
            for file in names
            if Path(file).suffix.lower() in IMAGE_SUFFIXES
        ]
        n = len(files) - len(find_masks(files))
        whole = n >= max(expected, 1)
        remedy = "" if whole else f" of {expected:,}; skinlab fetch data={name} gets the rest"
        yield Finding("data", OK if whole else WARNING, f"{name}: {n:,} images{remedy} ({home / name})")
    if missing:
        where = "" if os.environ.get("SKINLAB_DATA_ROOT") else ", or set SKINLAB_DATA_ROOT to the folder above them"
        yield Finding("data", NOTE, f"not in {home}: {', '.join(missing)}; skinlab fetch data=NAME gets one{where}")


def weights() -> Iterator[Finding]:
    """Yield the ImageNet weights that can be used without a network."""
    installed = [name for name, (module, _) in LITE_PACKAGES.items() if importlib.util.find_spec(module)]
    if installed:
        yield Finding("weights", OK, f"installed: {', '.join(installed)}")
    else:
        yield Finding("weights", NOTE, f"none installed; {_install('lite')} for model=effnet_lite0 to 2")
    cached = [path.name.removeprefix("models--").replace("--", "/") for path in Path(HF_HUB_CACHE).glob("models--*")]
    names = ", ".join(sorted(cached)[:3]) + (f" and {len(cached) - 3} more" if len(cached) > 3 else "")
    if cached:
        yield Finding("weights", OK, f"downloaded: {names} ({HF_HUB_CACHE})")
    else:
        yield Finding(
            "weights", NOTE, f"no others in {HF_HUB_CACHE}: they are downloaded when a model first needs them"
        )


def disks(places: Mapping[str, str], min_free_gb: float) -> Iterator[Finding]:
    """Yield the free space of the places that are written to.

    Args:
        places: setting → folder, which may not exist yet.
        min_free_gb: below which a disk is warned of.
    """
    found: dict[tuple[bool, int, int], list[str]] = {}
    for name, place in places.items():
        there = next(path for path in (Path(place), *Path(place).parents) if path.exists())
        writable = os.access(there, os.W_OK)
        found.setdefault((writable, there.stat().st_dev, shutil.disk_usage(there).free), []).append(f"{name} {place}")
        if not writable and name == "work_dir":
            yield Finding("disk", ERROR, f"{place} can't be written; start in another folder")
    for (writable, _, free), names in found.items():
        if writable:
            state = OK if free / 1e9 >= min_free_gb else WARNING
            yield Finding("disk", state, f"{free / 1e9:,.0f} GB free: {', '.join(names)}")
        else:
            yield Finding("disk", WARNING, f"can't be written: {', '.join(names)}")
    if SHM.is_dir() and (shared := shutil.disk_usage(SHM).total / GIB) < MIN_SHM:
        remedy = "start docker with --shm-size=8g, or set data.num_workers=0"
        yield Finding("disk", WARNING, f"shared memory has {shared:.1f} GiB; {remedy}")


def wandb_state() -> Finding:
    """Return whether W&B has a key, without asking its server; the key itself is never shown."""
    mode = os.environ.get("WANDB_MODE", "online")
    if mode in ("offline", "disabled"):
        return Finding("W&B", OK, f"WANDB_MODE={mode}; logger=wandb writes to the run directory, wandb sync uploads it")
    if os.environ.get("WANDB_API_KEY"):
        return Finding("W&B", OK, "WANDB_API_KEY is set; logger=wandb uses it")
    host = os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai").partition("://")[2].partition("/")[0]
    try:
        known = netrc.netrc().authenticators(host)
    except (OSError, netrc.NetrcParseError):
        known = None
    if known:
        return Finding("W&B", OK, f"logged in to {host}; logger=wandb uses it")
    return Finding("W&B", NOTE, "no API key: logger=wandb would write offline; run wandb login, or set WANDB_API_KEY")
