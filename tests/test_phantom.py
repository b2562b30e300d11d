from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import pandas as pd
import pytest

from skinlab.cli.config import compose_settings
from skinlab.data.audit.contact_sheet import contact_sheet
from skinlab.data.readers.phantom import read_phantom
from skinlab.errors import UserError
from skinlab.phantom import scene, writer
from skinlab.phantom.artefacts import ARTEFACTS
from skinlab.phantom.devices import DEVICES
from skinlab.phantom.plan import HAM10000_COUNTS, Settings, apportion, plan
from skinlab.phantom.traits import CLASSES, MALIGNANT, STRUCTURES, draw_traits
from skinlab.settings.data import Artefact, Diagnosis

SMALL = {"n_images": 28, "image_size": 32, "num_workers": 0}
DSM = {"layout": "dsm2025", "n_positive": 3, "n_negative": 9, "n_unlabeled": 8, "n_test": 4, "image_size": 32}


def settings(**changes: object) -> Settings:
    values = {"layout": "ham10000", "image_size": 32, "seed": 0, "artefact_bias": {}, "n_images": 28}
    values |= {"n_positive": 3, "n_negative": 9, "n_unlabeled": 8, "n_test": 4}
    return Settings(**(values | changes))  # type: ignore[arg-type]


def contents(root: Path) -> dict[str, str]:
    files = (path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    root = tmp_path_factory.mktemp("phantom") / "set"
    return root, read_phantom(root, **SMALL)


def test_the_ordinary_reader_finds_everything(phantom: tuple[Path, pd.DataFrame]) -> None:
    root, manifest = phantom
    assert len(manifest) == 28
    assert set(manifest["label"]) == set(CLASSES)
    assert set(manifest["source"]) <= set(DEVICES)
    assert manifest["group"].nunique() < len(manifest)
    assert (manifest.groupby("group")["label"].nunique() == 1).all()
    for path in [*manifest["path"], *manifest["mask_path"]]:
        assert cv2.imread(path, cv2.IMREAD_UNCHANGED).shape[:2] == (32, 32)
    truth = pd.read_csv(root / "phantom_truth.csv", keep_default_na=False).set_index("path")
    for row in manifest.itertuples():
        shown = truth.loc[Path(row.path).relative_to(root).as_posix()]
        assert (shown["dx"], shown["device"]) == (row.label, row.source)
        assert set(shown["structures"].split()) <= set(STRUCTURES)
    artefacts = pd.read_csv(root / "phantom_artefacts.csv").set_index("image_id")
    assert sorted(artefacts.index) == sorted(manifest["image_id"])
    names = {"ruler": "ruler", "hair": "hair", "bubbles": "gel_bubble", "ink": "ink"}
    for path, row in truth.iterrows():
        has = artefacts.loc[Path(path).stem]
        assert {name for name, column in names.items() if has[column]} == set(row["artefacts"].split())


def test_written_once(phantom: tuple[Path, pd.DataFrame], monkeypatch: pytest.MonkeyPatch) -> None:
    root, manifest = phantom
    monkeypatch.setattr(writer, "draw_lesion", None)
    pd.testing.assert_frame_equal(read_phantom(root, **SMALL), manifest)


def test_the_seed_decides_every_byte_and_workers_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "_FEW_LESIONS", 2)
    alone, two, other = tmp_path / "alone", tmp_path / "two", tmp_path / "other"
    writer.ensure_phantom(alone, settings(), 0)
    writer.ensure_phantom(two, settings(), 2)
    writer.ensure_phantom(other, settings(seed=1), 0)
    assert contents(alone) == contents(two)
    pictures = [{digest for name, digest in contents(root).items() if name.endswith("jpg")} for root in (alone, other)]
    assert not pictures[0] & pictures[1]


@pytest.mark.parametrize("dx", CLASSES)
def test_mask_covers_the_lesion(dx: str) -> None:
    contrasts = []
    for number in range(6):
        lesion = scene.draw_lesion(5, number, dx, 48)
        photo, mask = scene.draw_view(lesion, 5, number, 1, "polarised", (), 48)
        assert set(np.unique(mask)) <= {0, 255}
        inside, outside = mask == 255, cv2.dilate(mask, np.ones((9, 9))) == 0
        if min(inside.sum(), outside.sum()) > 50:
            inner, outer = photo[inside].mean(0), photo[outside].mean(0)
            contrasts.append(np.abs(inner - outer).max())
    assert np.median(contrasts) > 15


def test_views_of_a_lesion_differ_but_show_the_same(phantom: tuple[Path, pd.DataFrame]) -> None:
    lesion = scene.draw_lesion(0, 7, "mel", 48)
    views = [scene.draw_view(lesion, 0, 7, view, "polarised", (), 48) for view in (1, 2)]
    assert (views[0][0] != views[1][0]).any()
    shares = [(mask == 255).mean() for _, mask in views]
    assert 0.5 < shares[0] / shares[1] < 2


def test_an_artefact_changes_only_its_own_pixels() -> None:
    lesion = scene.draw_lesion(0, 3, "nv", 64)
    plain, mask = scene.draw_view(lesion, 0, 3, 1, "polarised", (), 64)
    for name in ARTEFACTS:
        marked, same_mask = scene.draw_view(lesion, 0, 3, 1, "polarised", (name,), 64)
        changed = (np.abs(marked.astype(int) - plain) > 8).any(-1).mean()
        assert 0.002 < changed < 0.7
        np.testing.assert_array_equal(mask, same_mask)


def test_skew_is_ham10000s_and_rare_classes_can_be_split() -> None:
    shots = pd.DataFrame([vars(shot) for shot in plan(settings(n_images=2003))])
    assert shots["dx"].value_counts().to_dict() == apportion(2003, HAM10000_COUNTS)
    images_a_lesion = shots.groupby("lesion").size()
    assert 1.3 < images_a_lesion.mean() < 1.4
    default = pd.DataFrame([vars(shot) for shot in plan(settings(n_images=1400))])
    assert len(default) == 1400
    assert default.groupby("dx")["lesion"].nunique().min() >= 12
    assert default["path"].is_unique
    assert default["dx"].value_counts(normalize=True)["nv"] == pytest.approx(0.67, abs=0.02)


def test_rare_classes_can_have_the_lesions_that_intervals_need() -> None:
    shots = pd.DataFrame([vars(shot) for shot in plan(settings(n_images=1400, min_lesions=100))])
    assert len(shots) == 1400
    assert shots.groupby("dx")["lesion"].nunique().min() == 100
    assert shots["dx"].value_counts().idxmax() == "nv"


def test_a_phantom_from_before_the_least_number_of_lesions_is_read(tmp_path: Path) -> None:
    manifest = read_phantom(tmp_path / "set", **SMALL)
    marker = json.loads((tmp_path / "set" / "phantom.json").read_text())
    assert marker.pop("min_lesions") == 12
    (tmp_path / "set" / "phantom.json").write_text(json.dumps(marker))
    pd.testing.assert_frame_equal(read_phantom(tmp_path / "set", **SMALL), manifest)
    with pytest.raises(UserError, match="min_lesions is 12, wanted is 2"):
        read_phantom(tmp_path / "set", **SMALL, min_lesions=2)


def test_artefact_bias_sets_the_rate_of_its_class_alone() -> None:
    plain = plan(settings(n_images=2500))
    biased = plan(settings(n_images=2500, artefact_bias={"ruler": {"mel": 0.9, "nv": 0.0}}))
    rate = {dx: np.mean(["ruler" in s.artefacts for s in biased if s.dx == dx]) for dx in ("mel", "nv")}
    assert rate["mel"] == pytest.approx(0.9, abs=0.05)
    assert rate["nv"] == 0
    for before, after in zip(plain, biased, strict=True):
        assert before.device == after.device
        assert set(before.artefacts) - {"ruler"} == set(after.artefacts) - {"ruler"}
        assert before.dx in ("mel", "nv") or before == after


def test_device_bias_sets_the_shares_of_its_class_alone() -> None:
    plain = plan(settings(n_images=2500))
    biased = plan(settings(n_images=2500, device_bias={"slide": {"mel": 0.9, "bcc": 0.0}}))
    share = {dx: np.mean([s.device == "slide" for s in biased if s.dx == dx and s.view == 1]) for dx in ("mel", "bcc")}
    assert share["mel"] == pytest.approx(0.9, abs=0.06)
    assert share["bcc"] == 0
    others = [(a, b) for a, b in zip(plain, biased, strict=True) if a.dx not in ("mel", "bcc")]
    assert all(before == after for before, after in others)


def test_artefacts_come_at_the_rate_of_their_device() -> None:
    shots = plan(settings(n_images=3000))
    for name, device in DEVICES.items():
        of_device = [shot for shot in shots if shot.device == name]
        assert len(of_device) / len(shots) == pytest.approx(device.share, abs=0.03)
        for artefact, rate in device.rates.items():
            assert np.mean([artefact in shot.artefacts for shot in of_device]) == pytest.approx(rate, abs=0.1)


def test_every_structure_occurs_and_mostly_in_its_class() -> None:
    rng = np.random.default_rng(0)
    shown = {dx: pd.Series([s for _ in range(300) for s in draw_traits(rng, dx)[1]]).value_counts() for dx in CLASSES}
    for name, chances in STRUCTURES.items():
        likeliest = max(CLASSES, key=lambda dx, name=name: shown[dx].get(name, 0))
        assert likeliest == max(chances, key=lambda dx, chances=chances: chances[dx])


def test_dsm2025_layout(tmp_path: Path) -> None:
    root = tmp_path / "dsm"
    manifest = read_phantom(root, **DSM)
    counts = {"train/0": 9, "train/1": 3, "train/Unlabeled": 8, "test": 4}
    assert {folder: len(list((root / folder).iterdir())) for folder in counts} == counts
    assert (root / "train/0/000000.jpg").exists()
    assert (root / "train/1/000000.jpg").exists()
    assert manifest["label"].value_counts().to_dict() == {"": 12, "0": 9, "1": 3}
    assert manifest["group"].is_unique
    truth = pd.read_csv(root / "phantom_truth.csv").set_index("path")
    assert truth["malignant"].equals(truth["dx"].isin(MALIGNANT).astype(int))
    assert all(truth.loc[f"train/1/{n:06d}.jpg", "malignant"] == 1 for n in range(3))


def test_other_settings_are_refused(phantom: tuple[Path, pd.DataFrame]) -> None:
    root, _ = phantom
    before = contents(root)
    with pytest.raises(UserError, match=r"seed is 0, wanted is 9.*another data\.root"):
        read_phantom(root, **SMALL, seed=9)
    assert contents(root) == before
    read_phantom(root, **SMALL, n_test=77)  # of the other layout: no matter here


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "photo.jpg").write_bytes(b"precious")
    with pytest.raises(UserError, match="is not a phantom"):
        read_phantom(tmp_path / "mine", **SMALL)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["photo.jpg"]


def test_interrupted_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(writer, "write_truth", stop)
    with pytest.raises(KeyboardInterrupt):
        read_phantom(tmp_path / "set", **SMALL)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("same", [True, False])
def test_losing_the_race(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, same: bool) -> None:
    root, write = tmp_path / "set", writer._write

    def slow(folder: Path, ours: Settings, num_workers: int) -> None:
        write(folder, ours, num_workers)
        monkeypatch.setattr(writer, "_write", write)
        writer.ensure_phantom(root, ours if same else settings(seed=1), num_workers)

    monkeypatch.setattr(writer, "_write", slow)
    if same:
        writer.ensure_phantom(root, settings(), 0)
    else:
        with pytest.raises(UserError, match="seed is 1"):
            writer.ensure_phantom(root, settings(), 0)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    assert json.loads((root / "phantom.json").read_text())["seed"] == (0 if same else 1)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("layout=ham1000", "=ham1000: ham10000 or dsm2025 is expected (did you mean ham10000?)"),
        ("phantom_size=8", "=8: a number of at least 32 is expected"),
        ("phantom_seed=-1", "=-1: a number of at least 0 is expected"),
        ("n_images=3", "=3: a number of at least 7 is expected"),
        ("n_test=0", "=0: a number of at least 1 is expected"),
        ("artefact_bias={rulr: {mel: 1}}", ".rulr: ink, ruler, hair or bubbles is expected (did you mean ruler?)"),
        ("artefact_bias={ruler: {melanom: 1}}", ".melanom: akiec, .* or vasc is expected (did you mean mel?)"),
        ("device_bias={slides: {mel: 1}}", ".slides: polarised, .* or slide is expected (did you mean slide?)"),
        ("device_bias={slide: {mel: 0.7}, contact: {mel: 0.6}}", ": the shares of mel add up to 1.3"),
        ("artefact_bias={ruler: {mel: 1.5}}", ".ruler.mel=1.5: a number of at most 1 is expected"),
    ],
)
def test_mistakes_name_the_remedy(override: str, message: str) -> None:
    place = "data." + override.partition("=")[0]
    with pytest.raises(UserError, match=place + ".*" + message.replace("(", r"\(").replace("?)", r"\?\)")):
        compose_settings("train", ["data=phantom", f"data.{override}"])


def test_the_settings_know_the_artefacts_and_diagnoses() -> None:
    assert set(get_args(Artefact)) == set(ARTEFACTS)
    assert get_args(Diagnosis) == CLASSES


@pytest.mark.parametrize("total", [0, 1, 7, 100, 10_015])
def test_apportion_adds_up(total: int) -> None:
    assert sum(apportion(total, HAM10000_COUNTS).values()) == total


def test_contact_sheet_has_a_row_of_every_class(phantom: tuple[Path, pd.DataFrame]) -> None:
    _, manifest = phantom
    sheet = contact_sheet(manifest, per_class=3, size=32)
    assert sheet.shape == (7 * (11 + 32 + 2), 3 * (32 + 2), 3)
    np.testing.assert_array_equal(sheet, contact_sheet(manifest, per_class=3, size=32))
    assert not np.array_equal(sheet, contact_sheet(manifest, per_class=3, size=32, seed=1))
