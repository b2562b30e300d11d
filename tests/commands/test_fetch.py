"""The fetch command against a server on this machine: what it leaves, resumes and refuses."""

import hashlib
import json
import logging
import sys
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from skinlab.cli.api import run
from skinlab.cli.conf import config_directory
from skinlab.data.readers.ham10000 import read_ham10000
from skinlab.errors import UserError
from skinlab.fetching import catalogue, unpack
from skinlab.fetching.catalogue import DATA_SETS, KAGGLE
from tests.command_settings import settings_of
from tests.fetching.server import Served, serving, zipped

HEADER = "lesion_id,image_id,dx,dx_type,age,sex,localization,dataset"


def jpeg(seed: int = 0) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 40, 3), np.uint8)
    return cv2.imencode(".jpg", pixels)[1].tobytes()


def ham_table() -> bytes:
    rows = [f"HAM_{i},ISIC_{i},{'mel' if i % 2 else 'nv'},histo,50,male,back,vidir" for i in range(6)]
    return "\n".join([HEADER, *rows]).encode()


@pytest.fixture
def server():
    with serving() as server:
        yield server


@pytest.fixture
def ham(server, monkeypatch):
    """HAM10000 with six images, at the Dataverse's and Kaggle's addresses; its files by their names."""
    parts = {n: zipped({f"ISIC_{i}.jpg": jpeg(i) for i in range(3 * n - 3, 3 * n)}) for n in (1, 2)}
    contents = dict(zip(["HAM10000_metadata", *(f"HAM10000_images_part_{n}.zip" for n in parts)],
                        [ham_table(), *parts.values()], strict=True))  # fmt: skip
    entry = DATA_SETS["ham10000"]
    files = tuple(
        replace(file, md5=hashlib.md5(contents[file.name]).hexdigest()) for file in entry.sources["dataverse"].files
    )
    served = {file.name: Served(contents[file.name]) for file in files}
    server.files |= {file.path: served[file.name] for file in files}
    # Kaggle's archive has each part twice.
    twice = [f"{folder}_images_part_1" for folder in ("HAM10000", "ham10000")]
    whole = {f"{folder}/ISIC_{i}.jpg": jpeg(i) for folder in twice for i in range(6)}
    whole |= {"HAM10000_metadata.csv": ham_table()}
    (archive,) = entry.sources[KAGGLE].files
    server.redirects[archive.path] = "/signed?x=1"
    server.files["/signed?x=1"] = Served(zipped(whole), goog=True)
    sources = dict(entry.sources) | {"dataverse": replace(entry.sources["dataverse"], files=files)}
    monkeypatch.setitem(DATA_SETS, "ham10000", replace(entry, n_images=6, sources=sources))
    return served


@pytest.fixture
def fetch(server, tmp_path, monkeypatch, caplog):
    """Run the command with every host at the server, into the folder ``data``."""
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path / "kaggle"))
    caplog.set_level(logging.INFO)

    def start(data: str, *overrides: str) -> Path:
        hosts = [f"hosts.{name}={server.address}" for name in ("dataverse", "kaggle", "isic", "github")]
        words = [f"data={data}", f"data.root={tmp_path / 'data' / data}", "retry_pause=0", "retries=3", *hosts]
        return run("fetch", ["accept_license=true", *words, *overrides]).path

    return start


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_every_entry_is_a_choice_of_data_and_has_its_hosts():
    hosts = settings_of("fetch", "data=ham10000").hosts
    for name, data in DATA_SETS.items():
        assert (config_directory() / "data" / f"{name}.yaml").is_file()
        for source in data.sources.values():
            assert {file.host for file in source.files} <= hosts.keys()
            assert all(file.path.startswith("/") for file in source.files)


def test_ham10000_comes_through_cuts_and_busy_times(server, ham, fetch, caplog, tmp_path):
    ham["HAM10000_images_part_1.zip"].cuts, ham["HAM10000_images_part_1.zip"].cut_after = 2, 900
    ham["HAM10000_images_part_2.zip"].busy = 2
    ham["HAM10000_metadata"].damaged = 1
    root = fetch("ham10000")
    manifest = read_ham10000(root)
    assert len(manifest) == 6
    assert manifest["source"].tolist() == ["vidir"] * 6
    record = json.loads((root / "fetched.json").read_text())
    assert record["version"].startswith("doi:10.7910/DVN/DBW86T")
    assert record["licence"] == "CC BY-NC 4.0"
    table = record["files"][0]
    assert table["sha256"] == hashlib.sha256(ham_table()).hexdigest()
    assert table["url"] == f"{server.address}/api/access/datafile/4338392?format=original"
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["ham10000"]
    assert f"ham10000: 6 images, 2 classes: {root}" in caplog.text
    assert f"next: skinlab audit data=ham10000 data.root={root}" in caplog.text

    before = len(server.requests)
    caplog.clear()
    assert fetch("ham10000") == root
    assert "is there already" in caplog.text
    assert len(server.requests) == before


def test_what_was_unpacked_is_not_downloaded_again(server, ham, fetch, tmp_path):
    last = ham["HAM10000_images_part_2.zip"]
    last.cuts, last.cut_after = 99, 100
    with pytest.raises(UserError, match=r"HAM10000_images_part_2.zip: the connection was cut"):
        fetch("ham10000", "retries=0")
    assert not (tmp_path / "data" / "ham10000").exists()
    last.cuts, before = 0, len(server.requests)
    fetch("ham10000")
    assert {path for path, _ in server.requests[before:]} == {"/api/access/datafile/3172584"}
    assert server.requests[-1][1] == "bytes=100-"


def test_the_licence_has_to_be_accepted_first(server, ham, fetch, caplog, tmp_path):
    with pytest.raises(UserError, match=r"is under a licence, CC BY-NC 4.0 .*: read it, then set accept_license=true"):
        fetch("ham10000", "accept_license=false")
    shown = caplog.text
    assert "licence: CC BY-NC 4.0 (https://creativecommons.org/licenses/by-nc/4.0/)" in shown
    assert "cite:    Tschandl" in shown
    assert not server.requests
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(("answer", "accepted"), [("yes\n", True), ("no\n", False), ("", False)])
def test_on_a_terminal_the_licence_is_asked(ham, fetch, monkeypatch, answer, accepted):
    class Terminal:
        def isatty(self):
            return True

        def readline(self):
            return answer

    monkeypatch.setattr(sys, "stdin", Terminal())
    if accepted:
        assert (fetch("ham10000", "accept_license=false") / "fetched.json").is_file()
    else:
        with pytest.raises(UserError, match="accept_license=true"):
            fetch("ham10000", "accept_license=false")


def test_kaggle_s_archive_is_put_in_place(ham, fetch):
    root = fetch("ham10000", "source=kaggle")
    assert len(read_ham10000(root)) == 6
    assert json.loads((root / "fetched.json").read_text())["source"] == "kaggle"


def test_too_few_images_or_another_content_never_get_the_name(ham, fetch, tmp_path, monkeypatch):
    monkeypatch.setitem(DATA_SETS, "ham10000", replace(DATA_SETS["ham10000"], n_images=7))
    with pytest.raises(UserError, match=r"6 of 7 images of ham10000 are below .*: delete .* and fetch it anew"):
        fetch("ham10000")
    path = tmp_path / "other.zip"
    path.write_bytes(zipped({"a/1.jpg": jpeg()}))
    with pytest.raises(UserError, match=r"what was fetched can't be used \(.*HAM10000_metadata"):
        fetch("ham10000", f"archive={path}")
    assert not (tmp_path / "data" / "ham10000").exists()


def test_space_is_checked_before_anything_is_downloaded(server, ham, fetch, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(unpack.shutil, "disk_usage", lambda path: usage(1, 1, 0))
    with pytest.raises(UserError, match=r"GB are needed for ham10000, archives and images together, 0.0 GB are free"):
        fetch("ham10000")
    assert all(part == "bytes=0-0" for _, part in server.requests)


def test_a_folder_with_other_files_is_left_alone(server, ham, fetch, tmp_path):
    (tmp_path / "data" / "ham10000").mkdir(parents=True)
    (tmp_path / "data" / "ham10000" / "mine.jpg").touch()
    with pytest.raises(UserError, match="exists and was not fetched: if it is ham10000, use it as it is"):
        fetch("ham10000")
    assert not server.requests


def test_a_competition_needs_its_name_and_a_login(server, fetch, monkeypatch):
    images = [f"train/{name}/{i}.jpg" for name in ("0", "1", "Unlabeled") for i in range(2)]
    path = "/api/v1/competitions/data/download-all/dsm"
    archive = zipped({f"dsm/{name}": jpeg(i) for i, name in enumerate([*images, "test/1.jpg"])})
    server.files[path] = Served(archive, login="Bearer abc")
    with pytest.raises(UserError, match="is a Kaggle competition: set competition=NAME"):
        fetch("dsm2025")
    with pytest.raises(UserError, match="competition=NAME stands for a competition's name: set the last part"):
        fetch("dsm2025", "competition=NAME")
    with pytest.raises(UserError, match=r"needs a login: make an API token .*/competitions/dsm/data and set archive="):
        fetch("dsm2025", "competition=dsm")
    assert not server.requests
    monkeypatch.setenv("KAGGLE_API_TOKEN", "wrong")
    with pytest.raises(UserError, match="accept the rules on"):
        fetch("dsm2025", "competition=dsm")
    monkeypatch.setenv("KAGGLE_API_TOKEN", "abc")
    root = fetch("dsm2025", "competition=dsm")
    assert names(root) == sorted([*images, "test/1.jpg", "fetched.json"])


def test_files_that_the_user_has_are_put_in_place(server, ham, fetch, tmp_path):
    (tmp_path / "HAM10000_metadata").write_bytes(ham_table())
    for number in (1, 2):
        archive = tmp_path / f"HAM10000_images_part_{number}.zip"
        archive.write_bytes(ham[archive.name].content)
    archives = [str(tmp_path / name) for name in ham]
    root = fetch("ham10000", f"archive=[{','.join(archives)}]")
    assert not server.requests
    assert names(root)[0] == "HAM10000_images_part_1/ISIC_0.jpg"
    assert all(Path(path).is_file() for path in archives)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["archive=nowhere.zip"], "there is no such file; if it is unpacked already, set data.root to its folder"),
        (["archive=HERE/a.rar"], "only ZIP archives are unpacked"),
        (["source=zenodo"], "source=zenodo: data=ham10000 comes from dataverse or kaggle"),
        (["archive=HERE/a.rar", "source=kaggle"], "archive= names files that are here already"),
        (["hosts.kaggle=kaggle.com"], "hosts.kaggle=kaggle.com is no address: write https://NAME"),
        (["retries=-1"], "retries=-1"),
    ],
)
def test_mistakes_are_refused(fetch, tmp_path, words, message):
    (tmp_path / "a.rar").touch()
    with pytest.raises(UserError) as error:
        fetch("ham10000", *(word.replace("HERE", str(tmp_path)) for word in words))
    assert message in str(error.value)


def test_only_known_data_sets_are_fetched(fetch):
    with pytest.raises(
        UserError, match="data=phantom is generated when it is first used: fetch one of ham10000, isic2018"
    ):
        fetch("phantom")
    with pytest.raises(UserError, match="data=images is not in the catalogue"):
        fetch("images")


def one_hot(name: str, classes: list[str], ids: list[str]) -> dict[str, bytes]:
    rows = [",".join([each, *("1.0" if i % len(classes) == k else "0.0" for k in range(len(classes)))])
            for i, each in enumerate(ids)]  # fmt: skip
    return {name: "\n".join([",".join(["image", *classes]), *rows]).encode()}


@pytest.mark.parametrize("name", ["isic2018", "isic2019", "isic2020", "isic2024", "isic2024_permissive", "ph2"])
def test_the_other_data_sets(server, fetch, monkeypatch, name):
    ids = [f"ISIC_{i}" for i in range(4)] if name != "ph2" else [f"IMD00{i}" for i in range(4)]
    images = {f"top/{each}.jpg": jpeg(i) for i, each in enumerate(ids)}
    slices = b"isic_id,malignant\n" + b"\n".join(f"{each},{i % 2}".encode() for i, each in enumerate(ids))
    if name.startswith("isic2024"):
        images["top/metadata.csv"] = b"isic_id,patient_id,age_approx,sex,anatom_site_general,tbp_lv_A\n" + b"\n".join(
            f"{each},IP_{i // 2},60.0,male,posterior torso,20.2".encode() for i, each in enumerate(ids))  # fmt: skip
    tables = {
        "isic2024": {"ISIC_2024_Training_GroundTruth.csv": slices},
        "isic2024_permissive": {"ISIC_2024_Permissive_Training_GroundTruth.csv": slices},
        "isic2018": one_hot("gt/ISIC2018_Task3_Training_GroundTruth.csv", ["MEL", "NV"], ids)
        | {"ISIC2018_Task3_Training_LesionGroupings.csv": b"image,lesion_id\n" + b"\n".join(
            f"{each},HAM_{i // 2}".encode() for i, each in enumerate(ids))},
        "isic2019": one_hot("ISIC_2019_Training_GroundTruth.csv", ["MEL", "NV", "UNK"], ids[:3] + ids[3:])
        | {"ISIC_2019_Training_Metadata.csv": b"image,age_approx,anatom_site_general,lesion_id,sex\n" + b"\n".join(
            f"{each},55.0,torso,L{i // 2},male".encode() for i, each in enumerate(ids))},
        "isic2020": {"ISIC_2020_Training_GroundTruth_v2.csv": b"image_name,patient_id,lesion_id,sex,age_approx,"
            b"anatom_site_general_challenge,diagnosis,benign_malignant,target\n" + b"\n".join(
            f"{each},IP_{i // 2},IL_{i},male,45,torso,unknown,{'malignant' if i % 2 else 'benign'},{i % 2}".encode()
            for i, each in enumerate(ids))},
        "ph2": {"PH2_simple_dataset.csv": b"image_name,diagnosis\n" + b"\n".join(
            f"{each},{'Melanoma' if i % 2 else 'Common Nevus'}".encode() for i, each in enumerate(ids))},
    }[name]  # fmt: skip
    entry = DATA_SETS[name]
    monkeypatch.setitem(catalogue.DATA_SETS, name, replace(entry, n_images=4))
    (source,) = entry.sources.values()
    for file in source.files:
        of_images = any(word in file.name for word in ("Input", "JPEG", "PH2"))
        if name == "ph2":
            content = zipped(
                {f"PH2-dataset-ae1da96/{key.replace('top', 'images')}": v for key, v in (images | tables).items()}
            )
        elif of_images:
            content = zipped(images)
        elif file.is_archive:
            content = zipped({key: value for key, value in tables.items() if key.startswith("gt/")})
        else:
            content = tables[file.name]
        server.files[file.path] = Served(content, ranges=name != "ph2", sized=name != "ph2")
    fetch(name)
    from skinlab.settings.part import build

    settings = settings_of("fetch", f"data={name}", f"data.root={fetch(name)}")
    manifest = build(settings.data.reader)().sort_values("image_id")
    named = ["benign", "malignant"] * 2
    labels = {"isic2024": named, "isic2024_permissive": named,
              "isic2019": ["mel", "nv", "unk", "mel"], "isic2020": ["benign", "malignant"] * 2,
              "isic2018": ["mel", "nv"] * 2, "ph2": ["common_nevus", "melanoma"] * 2}  # fmt: skip
    assert manifest["label"].tolist() == labels[name]
    assert manifest["group"].nunique() == (4 if name == "ph2" else 2)
    assert all(Path(path).is_file() for path in manifest["path"])
