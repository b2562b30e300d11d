"""HAM10000 with six images, as the server of the tests has it, for the command ``fetch``."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import cv2
import numpy as np

from skinlab.fetching.catalogue import DATA_SETS
from tests.fetching.server import Served, Server, zipped

HEADER = "lesion_id,image_id,dx,dx_type,age,sex,localization,dataset"


def contents() -> dict[str, bytes]:
    """Return the files of the archive by name."""
    rows = [f"HAM_{i},ISIC_{i},{'mel' if i % 2 else 'nv'},histo,50,male,back,vidir" for i in range(6)]
    images = [np.random.default_rng(i).integers(0, 256, (200, 200, 3), np.uint8) for i in range(6)]
    files = {f"ISIC_{i}.jpg": cv2.imencode(".jpg", image)[1].tobytes() for i, image in enumerate(images)}
    parts = [dict(list(files.items())[:3]), dict(list(files.items())[3:])]
    table = "\n".join([HEADER, *rows]).encode()
    return {"HAM10000_metadata": table} | {
        f"HAM10000_images_part_{n}.zip": zipped(part) for n, part in enumerate(parts, 1)
    }


def use() -> None:
    """Let the catalogue of this process have the checksums of these files."""
    found, entry = contents(), DATA_SETS["ham10000"]
    files = tuple(
        replace(file, md5=hashlib.md5(found[file.name]).hexdigest()) for file in entry.sources["dataverse"].files
    )
    sources = dict(entry.sources) | {"dataverse": replace(entry.sources["dataverse"], files=files)}
    DATA_SETS["ham10000"] = replace(entry, n_images=6, sources=sources)


def serve(server: Server) -> None:
    """Let a server have the files."""
    found = contents()
    server.files |= {file.path: Served(found[file.name]) for file in DATA_SETS["ham10000"].sources["dataverse"].files}
