"""Reader of a folder of unlabeled images, for pretraining."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from skinlab.data.manifest import build_manifest
from skinlab.data.readers.listing import absolute, list_files


def read_images(root: str | Path) -> pd.DataFrame:
    """Read every image below a folder into the pool. The id is the relative path, the group the image itself.

    Raises:
        UserError: there is no such folder, or no image in it.
    """
    base = absolute(root)
    files = list_files(base)
    frame = pd.DataFrame({"image_id": files.images, "path": [f"{base}/{relative}" for relative in files.images]})
    frame.attrs |= files.left_out()
    return build_manifest(frame.assign(group=frame["image_id"], split="pool"))
