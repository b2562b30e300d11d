"""Fetch a data set: licence, download, unpacking, and a look by its reader before it gets its name."""

from __future__ import annotations

import datetime
import logging
import shlex
from pathlib import Path
from typing import Any

import pandas as pd

from skinlab.errors import UserError
from skinlab.fetching.catalogue import KAGGLE, DataSet, Source, choose_source, find_data_set
from skinlab.fetching.download import Downloader
from skinlab.fetching.kaggle import HOW, kaggle_login
from skinlab.fetching.licence import accept_licence
from skinlab.fetching.staging import RECORD, Staging
from skinlab.files import claim_file
from skinlab.json_files import read_json
from skinlab.settings.command import Invocation
from skinlab.settings.commands.fetch import FetchSettings
from skinlab.settings.part import build
from skinlab.text import quantity

log = logging.getLogger(__name__)


def fetch(settings: FetchSettings, invocation: Invocation) -> None:
    """Download a data set into ``data.root``, which is there only once it is complete.

    Args:
        settings: of the command.
        invocation: whose root the next command has, too.

    Raises:
        UserError: whatever the user has to correct; what was downloaded serves the next attempt.
    """
    name, root = settings.data.name, Path(settings.data.root).expanduser().absolute()
    data = find_data_set(name)
    if is_fetched(root, name):
        log.info("%s is there already: %s", name, root)
        print_next(name, invocation)
        return
    source_name, source = find_source(settings, data)
    archives = find_archives(settings)
    logins = {KAGGLE: kaggle_login()}
    if settings.competition and source.files and logins[KAGGLE] is None:  # refused by Kaggle, if it is reached at all
        raise UserError(
            f"a competition of Kaggle needs a login: {HOW}; or download its files from {source.page}/data and set "
            "archive=FILE.zip"
        )
    accept_licence(name, data, source, accepted=settings.accept_license)

    with claim_file(root, "data.root"):
        staging = Staging(root, source_name)
        if archives:
            staging.take(data, archives, folders_of(archives, data))
        else:
            downloader = Downloader(
                staging.folder, source, settings.hosts, logins, settings.retries, settings.retry_pause, settings.timeout
            )
            staging.fill(data, source.files, downloader)
        manifest = read_back(settings, staging, data)
        staging.publish(facts_of(name, data, source_name, source, len(manifest)))
    classes = manifest["label"][manifest["label"] != ""].nunique()
    log.info("%s: %s, %s: %s", name, quantity(len(manifest), "image"), quantity(classes, "class"), root)
    print_next(name, invocation)


def is_fetched(root: Path, name: str) -> bool:
    """Return whether a data set is where it is to go.

    Raises:
        UserError: something else is there.
    """
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    if (root / RECORD).is_file() and read_json(root / RECORD, "record of a download", {"data": str})["data"] == name:
        return True
    raise UserError(
        f"data.root={root} exists and was not fetched: if it is {name}, use it as it is; otherwise choose another "
        "data.root"
    )


def find_source(settings: FetchSettings, data: DataSet) -> tuple[str, Source]:
    """Return the name of the source and the source; of files that the user has, one without files."""
    if settings.archive is None:
        return choose_source(settings.data.name, settings.source, settings.competition)
    page = next(iter(data.sources.values())).page
    return "archive", Source(f"your download, {', '.join(settings.archive)}", page, ())


def find_archives(settings: FetchSettings) -> list[Path]:
    """Return the files of ``archive=``.

    Raises:
        UserError: one is missing or of a kind that can't be unpacked.
    """
    paths = [Path(place).expanduser().absolute() for place in settings.archive or []]
    for path in paths:
        if not path.is_file():
            raise UserError(
                f"archive={path}: there is no such file; if it is unpacked already, set data.root to its folder"
            )
        if path.suffix.lower() in (".rar", ".7z", ".gz", ".tgz", ".tar", ".xz"):
            raise UserError(
                f"archive={path}: only ZIP archives are unpacked; unpack it and set data.root to its folder"
            )
    return paths


def folders_of(archives: list[Path], data: DataSet) -> list[str]:
    """Return where each file goes: as in the catalogue, else each of several archives into a folder of its name."""
    known = {file.name: file.folder for source in data.sources.values() for file in source.files}
    alone = len(archives) == 1
    return [known.get(path.name, "" if alone or path.suffix.lower() != ".zip" else path.stem) for path in archives]


def read_back(settings: FetchSettings, staging: Staging, data: DataSet) -> pd.DataFrame:
    """Return the images of what was fetched, as the data set's reader finds them.

    Raises:
        UserError: it can't be read, or has too few images.
    """
    place = str(staging.content)
    chosen = settings.data.updated({"root": place, "reader.root": place})
    try:
        manifest: pd.DataFrame = build(chosen.reader)()
    except UserError as error:
        raise UserError(f"what was fetched can't be used ({error}); delete {staging.folder} to fetch it anew") from None
    manifest = manifest[manifest["path"] != ""]
    if len(manifest) < data.n_images:
        raise UserError(
            f"{len(manifest)} of {data.n_images} images of {settings.data.name} are below {staging.content}: delete "
            f"{staging.folder} and fetch it anew"
        )
    return manifest


def facts_of(name: str, data: DataSet, source_name: str, source: Source, n_images: int) -> dict[str, Any]:
    """Return what is recorded of a download, without its files."""
    return {
        "format": 1,
        "data": name,
        "source": source_name,
        "version": source.version,
        "page": source.page,
        "licence": data.licence,
        "licence_url": data.licence_url,
        "citation": data.citation,
        "images": n_images,
        "fetched": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def print_next(name: str, invocation: Invocation) -> None:
    """Print the next command, with the root if it was set."""
    words = [word for word in invocation.overrides if word.startswith("data.root=")]
    log.info("next: %s", shlex.join(["skinlab", "audit", f"data={name}", *words]))
