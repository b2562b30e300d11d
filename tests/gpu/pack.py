"""Pack what a bare CUDA machine lacks into ``.gpu/``: ``make gpu``, or ``python -m tests.gpu.pack [DATA_ROOT]``.

Wheels of what skinlab needs and such a machine does not have, for its Python, in the versions installed here, and with
a data root a compact copy of HAM10000. The folder travels with the working tree, see ``run.sh``.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".gpu"
PYTHON = "3.12"
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
MOST = 64 * 2**20  # bytes that such a machine takes
SIDE, QUALITY = 176, 80  # pixels and JPEG quality of the compact images
# What is installed there, with all that it needs.
PRESENT = ["torch", "torchvision", "pytorch-lightning", "torchmetrics", "timm", "opencv-python-headless", "pandas"]
PRESENT += ["scikit-learn", "scipy", "matplotlib", "pillow", "rich", "jinja2", "safetensors", "filelock", "pytest"]
PRESENT += ["onnx", "onnxruntime"]
SOURCES = {"antlr4-python3-runtime", "grad-cam", "ttach"}  # plain Python without a wheel
ADDED = ["pytest-xdist"]  # whose fixtures the tests use
LEFT_OUT = ["wandb"]  # twenty megabytes; no run there logs to it


def needed_names(names: Iterable[str], without: Iterable[str] = ()) -> set[str]:
    """Return the distributions that some need, by the metadata of those installed here, themselves included.

    Args:
        names: of distributions.
        without: distributions that are left out, with what they alone need.
    """
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    there = {"python_version": PYTHON, "python_full_version": f"{PYTHON}.0", "extra": ""}
    found, left_out = set(), {canonicalize_name(name) for name in without}
    waiting = [canonicalize_name(name) for name in names]
    while waiting:
        name = waiting.pop()
        if name in found | left_out:
            continue
        try:
            requires = metadata.requires(name) or []
        except metadata.PackageNotFoundError:  # not for this Python or platform
            continue
        found.add(name)
        parsed = [Requirement(each) for each in requires]
        waiting += [canonicalize_name(r.name) for r in parsed if r.marker is None or r.marker.evaluate(there)]
    return found


def missing_names() -> list[str]:
    """Return the distributions that skinlab and its tests need and the machine lacks."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    ours = [re.split(r"[<>=~! \[;]", each, maxsplit=1)[0] for each in declared]
    return sorted(needed_names([*ours, *ADDED], without=LEFT_OUT) - needed_names(PRESENT))


def get_wheels(names: Iterable[str]) -> None:
    """Put the wheels of the versions installed here into the folder, built where there is only a source.

    Raises:
        SystemExit: there is no wheel for that machine.
    """
    pinned = {name: f"{name}=={metadata.version(name)}" for name in names}
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    binary = ["--only-binary=:all:", "--python-version", PYTHON, "--implementation", "cp"]
    platforms = [word for platform in PLATFORMS for word in ("--platform", platform)]
    download = [*pip, "download", "--no-deps", *binary, *platforms, "-d", str(FOLDER)]
    build = [*pip, "wheel", "--no-deps", "-w", str(FOLDER)]
    for command, wanted in ((build, SOURCES & pinned.keys()), (download, pinned.keys() - SOURCES)):
        ran = subprocess.run([*command, *(pinned[name] for name in sorted(wanted))], check=False)
        if ran.returncode:
            sys.exit(f"error: no wheel for Python {PYTHON}, see above; a source of plain Python belongs into SOURCES")


def pack_ham10000(root: Path, archive: Path, side: int = SIDE, quality: int = QUALITY) -> int:
    """Write HAM10000's images, smaller, and its tables into an archive; return the number of images.

    Args:
        root: folder of the data set.
        archive: to write.
        side: of the square images in pixels.
        quality: of the JPEGs.
    """
    from PIL import Image

    count = 0
    with tarfile.open(archive, "w") as out:
        for path in sorted(root.rglob("*")):
            if path.suffix == ".jpg":
                content = io.BytesIO()
                Image.open(path).resize((side, side), Image.Resampling.LANCZOS).save(content, "JPEG", quality=quality)
                raw, count = content.getvalue(), count + 1
            elif path.is_file() and path.name.startswith("HAM10000_metadata"):
                raw = path.read_bytes()
            else:
                continue
            entry = tarfile.TarInfo(str(Path("ham10000") / path.relative_to(root)))
            entry.size = len(raw)
            out.addfile(entry, io.BytesIO(raw))
    return count


def main() -> None:
    """Fill the folder anew and print its size; exit code 1 where it is too large."""
    parser = argparse.ArgumentParser(prog="python -m tests.gpu.pack", description="Pack for a bare CUDA machine.")
    parser.add_argument("data_root", nargs="?", default=os.environ.get("SKINLAB_DATA_ROOT"), help="with ham10000/")
    root = parser.parse_args().data_root
    FOLDER.mkdir(exist_ok=True)
    for old in [*FOLDER.glob("*.whl"), *FOLDER.glob("*.tar")]:
        old.unlink()
    names = missing_names()
    get_wheels(names)
    print(f"{len(names)} wheels: {' '.join(names)}")
    if root is None or not (Path(root) / "ham10000").is_dir():
        print("no images: set SKINLAB_DATA_ROOT to a folder with ham10000/; the phantom is drawn there instead")
    else:
        print(f"{pack_ham10000(Path(root) / 'ham10000', FOLDER / 'ham10000.tar'):,} images of {SIDE} px")
    size = sum(path.stat().st_size for path in FOLDER.iterdir() if path.is_file())
    print(f"{FOLDER}: {size / 2**20:.1f} MiB of {MOST / 2**20:.0f}")
    sys.exit(size > MOST)


if __name__ == "__main__":
    main()
