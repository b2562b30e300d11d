"""The data sets that can be fetched: their files, versions, checksums, licences and citations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from skinlab.errors import UserError, nearest

KAGGLE = "kaggle"  # the host that wants a login


@dataclass(frozen=True)
class RemoteFile:
    """A file of a data set.

    Attributes:
        name: of the file on disk.
        host: key of the addresses in ``hosts``.
        path: below the host's address.
        folder: where it goes, below the data set's root: a file itself, or what an archive holds.
        md5: published checksum; None where there is none.
        size: in bytes, None if the server has to be asked.
    """

    name: str
    host: str
    path: str
    folder: str = ""
    md5: str | None = None
    size: int | None = None

    @property
    def is_archive(self) -> bool:
        """Whether it is unpacked."""
        return self.name.endswith(".zip")


@dataclass(frozen=True)
class Source:
    """Where a data set comes from.

    Attributes:
        version: named version of the files.
        page: where they can be downloaded by hand.
        files: all that are needed.
        note: what else there is to know.
    """

    version: str
    page: str
    files: tuple[RemoteFile, ...]
    note: str = ""


@dataclass(frozen=True)
class DataSet:
    """A data set that can be fetched.

    Attributes:
        title: name and authors.
        licence: its name.
        licence_url: its text.
        citation: to be cited.
        holds: file or folder at the root; where an archive has folders above it, they are left out.
        n_images: least number of images; 0 if unknown.
        sources: by name, the best first.
    """

    title: str
    licence: str
    licence_url: str
    citation: str
    holds: str
    n_images: int
    sources: Mapping[str, Source]


CC_BY = ("CC BY 4.0", "https://creativecommons.org/licenses/by/4.0/")
CC_BY_NC = ("CC BY-NC 4.0", "https://creativecommons.org/licenses/by-nc/4.0/")
_ISIC_PAGE = "https://challenge.isic-archive.com/data/"
_TASK_3 = "ISIC2018_Task3_Training"
# Images as JPEG and the diagnosis of each; the authors hand out the original, a RAR archive, on their page.
_PH2_COMMIT = "ae1da962894d6a2d9a831e6b998ae117fdfc593d"


def _isic(year: int, name: str) -> RemoteFile:
    """Return a file of a challenge; archives are unpacked into a folder of their name."""
    return RemoteFile(name, "isic", f"/{year}/{name}", name.removesuffix(".zip") if name.endswith(".zip") else "")


def _isic_2024(prefix: str) -> Source:
    files = tuple(_isic(2024, f"{prefix}_{name}") for name in ("GroundTruth.csv", "Input.zip"))
    return Source("challenge 2024", f"{_ISIC_PAGE}#2024", files, "its test images have no published diagnoses")


def _ham_part(number: int, file_id: int, md5: str) -> RemoteFile:
    name = f"HAM10000_images_part_{number}"
    return RemoteFile(f"{name}.zip", "dataverse", f"/api/access/datafile/{file_id}", name, md5)


DATA_SETS = {
    "ham10000": DataSet(
        "HAM10000 (Tschandl, Rosendahl, Kittler)",
        *CC_BY_NC,
        "Tschandl P, Rosendahl C, Kittler H. The HAM10000 dataset. Scientific Data 5, 180161 (2018)",
        "",
        10015,
        {
            "dataverse": Source(
                "doi:10.7910/DVN/DBW86T, files 3172585, 3172584 and 4338392",
                "https://doi.org/10.7910/DVN/DBW86T",
                (
                    # A table is stored with tabs; its checksum is that of the original.
                    RemoteFile(
                        "HAM10000_metadata",
                        "dataverse",
                        "/api/access/datafile/4338392?format=original",
                        md5="8f85fb1aa29d80a2797247e434deb79d",
                    ),
                    _ham_part(1, 3172585, "4639bfa73ab251610530a97c898e6e46"),
                    _ham_part(2, 3172584, "da43d6cc50f6613013be07e8986b384b"),
                ),
            ),
            KAGGLE: Source(
                "kmader/skin-cancer-mnist-ham10000, version 2",
                "https://www.kaggle.com/datasets/kmader/skin-cancer-mnist-ham10000",
                (
                    RemoteFile(
                        "skin-cancer-mnist-ham10000.zip",
                        KAGGLE,
                        "/api/v1/datasets/download/kmader/skin-cancer-mnist-ham10000?datasetVersionNumber=2",
                    ),
                ),
                "its metadata have no column for the source of an image",
            ),
        },
    ),
    "isic2018": DataSet(
        "ISIC 2018, task 3: training images (those of HAM10000)",
        *CC_BY_NC,
        "Codella N et al. Skin Lesion Analysis Toward Melanoma Detection 2018. arXiv 1902.03368",
        "",
        10015,
        {
            "isic": Source(
                "challenge 2018, task 3",
                f"{_ISIC_PAGE}#2018",
                tuple(
                    _isic(2018, f"{_TASK_3}_{name}") for name in ("LesionGroupings.csv", "GroundTruth.zip", "Input.zip")
                ),
            )
        },
    ),
    "isic2019": DataSet(
        "ISIC 2019: training images",
        *CC_BY_NC,
        "Tschandl P et al. 2018 (HAM10000); Codella N et al. 2017; Hernández-Pérez C et al. 2024 (BCN20000)",
        "",
        25331,
        {
            "isic": Source(
                "challenge 2019",
                f"{_ISIC_PAGE}#2019",
                tuple(
                    _isic(2019, f"ISIC_2019_Training_{name}")
                    for name in ("GroundTruth.csv", "Metadata.csv", "Input.zip")
                ),
            )
        },
    ),
    "isic2020": DataSet(
        "ISIC 2020 (SIIM-ISIC): training images",
        *CC_BY_NC,
        "Rotemberg V et al. A patient-centric dataset of images and metadata. Scientific Data 8, 34 (2021)",
        "",
        33126,
        {
            "isic": Source(
                "challenge 2020, ground truth version 2",
                f"{_ISIC_PAGE}#2020",
                tuple(_isic(2020, f"ISIC_2020_Training_{name}") for name in ("GroundTruth_v2.csv", "JPEG.zip")),
            )
        },
    ),
    "isic2024": DataSet(
        "ISIC 2024 (SLICE-3D): training images, 15 mm crops of total body photographs",
        *CC_BY_NC,
        "International Skin Imaging Collaboration. SLICE-3D 2024 Challenge Dataset. doi:10.34970/2024-slice-3d (2024)",
        "",
        401059,
        {"isic": _isic_2024("ISIC_2024_Training")},
    ),
    "isic2024_permissive": DataSet(
        "ISIC 2024 (SLICE-3D Permissive): the training images of isic2024 that are CC BY",
        *CC_BY,
        "International Skin Imaging Collaboration. SLICE-3D 2024 Permissive Challenge Dataset. "
        "doi:10.34970/2024-slice-3d-permissive (2024)",
        "",
        217477,
        {"isic": _isic_2024("ISIC_2024_Permissive_Training")},
    ),
    "ph2": DataSet(
        "PH2 (Mendonça, Ferreira, Marques, Marcal, Rozeira)",
        "for research and education, not to be passed on",
        "https://www.fc.up.pt/addi/ph2%20database.html",
        "Mendonça T et al. PH2 - A dermoscopic image database for research and benchmarking. IEEE EMBC 2013",
        "PH2_simple_dataset.csv",
        200,
        {
            "github": Source(
                f"vikaschouhan/PH2-dataset, commit {_PH2_COMMIT[:7]}",
                f"https://github.com/vikaschouhan/PH2-dataset/tree/{_PH2_COMMIT} (Code, Download ZIP)",
                (RemoteFile("PH2-dataset.zip", "github", f"/vikaschouhan/PH2-dataset/zip/{_PH2_COMMIT}"),),
                "a copy as JPEG that others made; the authors' own is a RAR archive on their page",
            )
        },
    ),
    "dsm2025": DataSet(
        "DSM-2025",
        "the competition's rules",
        "the competition's page on Kaggle",
        "DSM-2025, Kaggle",
        "train",
        0,
        {KAGGLE: Source("", "https://www.kaggle.com/competitions", ())},
    ),
}


def find_data_set(name: str) -> DataSet:
    """Return the entry of a data set.

    Raises:
        UserError: it is none of those that can be fetched.
    """
    if name not in DATA_SETS:
        reason = " is generated when it is first used" if name == "phantom" else " is not in the catalogue"
        raise UserError(f"data={name}{reason}{nearest(name, DATA_SETS)}: fetch one of {', '.join(DATA_SETS)}")
    return DATA_SETS[name]


def choose_source(data: str, source: str, competition: str | None) -> tuple[str, Source]:
    """Return the name of a source and the source.

    Args:
        data: name of the data set.
        source: ``auto`` or the name of one of its sources.
        competition: of Kaggle, the last part of its address; for a data set that is one.

    Raises:
        UserError: the data set has no such source, or needs a competition.
    """
    known = find_data_set(data).sources
    name = next(iter(known)) if source == "auto" else source
    if name not in known:
        raise UserError(f"source={source}: data={data} comes from {' or '.join(known)}{nearest(source, known)}")
    if known[name].files:
        return name, known[name]
    if not competition:
        raise UserError(
            f"data={data} is a Kaggle competition: set competition=NAME, the last part of its page's address, or "
            "archive=FILE.zip, which you have downloaded there"
        )
    if competition.isupper():
        raise UserError(
            f"competition={competition} stands for a competition's name: set the last part of the address of its page, "
            "as in kaggle.com/competitions/THIS-PART, which has small letters"
        )
    page = f"https://www.kaggle.com/competitions/{competition}"
    archive = RemoteFile(f"{competition}.zip", KAGGLE, f"/api/v1/competitions/data/download-all/{competition}")
    return name, Source(f"competition {competition}", page, (archive,))
