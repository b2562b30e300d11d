import json
import logging
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from skinlab.data.audit import fingerprint, fingerprint_cache
from skinlab.data.audit.checks import AuditFailed, audit, merge_groups
from skinlab.data.audit.duplicates import PAIR
from skinlab.data.audit.report import summary
from skinlab.data.manifest import build_manifest
from skinlab.errors import UserError


def picture(seed: int, size: int = 32) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC)


@pytest.fixture
def manifest(tmp_path):
    """Twelve images, two a lesion, half mel, half nv."""
    rows = []
    for number in range(12):
        path = tmp_path / f"{number:02d}.png"
        picture(number).save(path)
        lesion = number // 2
        rows.append((f"{number:02d}", str(path), ["mel", "nv"][lesion % 2], f"lesion{lesion}"))
    return build_manifest(pd.DataFrame(rows, columns=["image_id", "path", "label", "group"]))


def run(manifest, **changes):
    audited = audit(manifest, **{"n_folds": 3, "cache_dir": None, "num_workers": 0} | changes)
    return audited.manifest, audited.report


def truncate(path):
    os.truncate(path, path.stat().st_size // 2)


def test_a_sound_data_set_passes_unchanged(manifest, caplog):
    manifest.attrs["classes"] = "kept"
    kept, report = run(manifest)
    pd.testing.assert_frame_equal(kept, manifest)
    assert kept.attrs == manifest.attrs
    assert report["images"] == report["kept"] == 12
    assert report["groups"] == 6
    assert report["labels"] == {"mel": 6, "nv": 6}
    assert report["kinds"] == {"PNG RGB": 12}
    assert report["sizes"] == {"32x32": 12}
    assert not report["problems"] + report["warnings"] + report["duplicates"] + report["bad_images"]
    assert not caplog.records
    assert json.loads(json.dumps(report)) == report
    assert summary(report)[0] == "12 of 12 images in 6 groups: mel 6, nv 6"


def spoil(manifest, folder):
    """Make six images bad, each in its own way; return the reasons."""
    truncate(folder / "00.png")
    (folder / "01.png").write_bytes(b"")
    (folder / "02.png").write_text("not an image")
    (folder / "03.png").unlink()
    Image.new("RGB", (32, 32), (90, 60, 50)).save(folder / "04.png")
    picture(5, size=15).save(folder / "05.png")
    manifest.loc[6, "path"] = ""
    return ["truncated", "is empty", "is not a whole", "does not exist", "is blank", "15x15", "has no file on disk"]


def test_bad_images_are_refused_in_one_line(manifest, tmp_path):
    reasons = spoil(manifest, tmp_path)
    with pytest.raises(AuditFailed, match=r"7 of 12 images can't be used: .*00\.png .* and 4 more; .*=drop") as caught:
        run(manifest, n_folds=1)
    assert "\n" not in str(caught.value)
    found = [image["reason"] for image in caught.value.report["bad_images"]]
    assert all(reason in text for reason, text in zip(reasons, found, strict=True))


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_what_is_no_photograph_is_refused(manifest, tmp_path, suffix):
    mask = np.zeros((96, 96), np.uint8)
    mask[20:60, 30:70] = 255
    for name, grey in (("0", mask), ("1", mask // 64)):
        Image.fromarray(grey).save(tmp_path / f"{name}.{suffix}")
        manifest.loc[int(name), "path"] = str(tmp_path / f"{name}.{suffix}")
    manifest.loc[3, "path"] = str(picture_at(tmp_path / "02_mask.png"))  # a table may name one
    with pytest.raises(AuditFailed, match="3 of 12 images") as caught:
        run(manifest, n_folds=1)
    reasons = [image["reason"] for image in caught.value.report["bad_images"]]
    assert [reason.split(":")[0] for reason in reasons] == ["is a mask", "is nearly black", "is a mask by its name"]


def picture_at(path: Path) -> Path:
    picture(0).save(path)
    return path


def test_a_dark_or_cut_out_photograph_is_kept(manifest, tmp_path):
    cut_out = np.array(picture(0, 96))
    cut_out[:, 8:] = 0
    Image.fromarray(cut_out).save(tmp_path / "00.png")
    Image.fromarray(np.array(picture(1)) // 10).save(tmp_path / "01.png")
    assert run(manifest)[1]["kept"] == 12


def test_images_of_one_fault_are_counted_together(manifest, tmp_path):
    for number in range(5):
        (tmp_path / f"{number:02d}.png").write_bytes(b"")
    with pytest.raises(
        AuditFailed, match=r"5 of 12 images can't be used: \S+00\.png, \S+ \S+ and 2 more \(is empty\); fix"
    ):
        run(manifest)


def test_what_a_reader_left_out_is_reported(manifest, tmp_path, caplog):
    manifest.attrs |= {"masks": ("a_mask.png",) * 4, "other_formats": ("1.HEIC", "2.heic", "3.dcm")}
    picture(0).save(tmp_path / "00.tif", save_all=True, append_images=[picture(1)])
    manifest.loc[0, "path"] = str(tmp_path / "00.tif")
    report = run(manifest)[1]
    assert (len(report["masks"]), report["other_formats"][2], report["several_frames"]) == (4, "3.dcm", ["00"])
    assert [record.message.split(":")[0] for record in caplog.records] == [
        "4 masks are left out",
        "3 files left out, of formats that can't be read (2 .heic, 1 .dcm)",
        "1 image has several frames or pages, of which the first is used",
    ]
    (tmp_path / "01.png").write_bytes(b"")
    caplog.clear()
    with pytest.raises(AuditFailed):
        run(manifest)
    assert len(caplog.records) == 3  # whatever else is wrong


def test_bad_images_are_dropped_and_listed(manifest, tmp_path, caplog):
    spoil(manifest, tmp_path)
    kept, report = run(manifest, n_folds=1, on_bad_image="drop")
    assert kept["image_id"].tolist() == ["07", "08", "09", "10", "11"]
    assert kept.index.equals(pd.RangeIndex(5))
    assert [image["image_id"] for image in report["bad_images"]] == [f"{number:02d}" for number in range(7)]
    assert "7 of 12 images can't be used" in caplog.text
    assert len(caplog.records) == 1


def test_nothing_left_is_refused(manifest):
    manifest["path"] = ""
    with pytest.raises(AuditFailed, match="no image is left"):
        run(manifest, on_bad_image="drop", n_folds=1)


def test_a_class_needs_a_group_a_fold(manifest):
    with pytest.raises(AuditFailed, match=r"n_folds=4: mel has 3, nv has 3; lower data\.n_folds") as caught:
        run(manifest, n_folds=4)
    assert caught.value.report["few_groups"] == {"mel": 3, "nv": 3}


def test_folds_are_not_required_with_the_user_s_own_validation_split(manifest):
    manifest["split"] = ["train", "val", "test"] * 4
    assert run(manifest, n_folds=9)[1]["few_groups"] == {}


def test_dropping_counts_before_the_folds(manifest, tmp_path):
    for name in ("00.png", "01.png"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(AuditFailed, match="mel has 2"):
        run(manifest, on_bad_image="drop")


def test_copies_across_groups_merge_them(manifest, tmp_path, caplog):
    picture(0).save(tmp_path / "04.jpg", quality=80)
    manifest.loc[4, "path"] = str(tmp_path / "04.jpg")
    kept, report = run(manifest, n_folds=2)
    assert kept["group"].tolist()[:6] == ["lesion0", "lesion0", "lesion1", "lesion1", "lesion0", "lesion0"]
    assert report["merged_groups"] == {"lesion0": ["lesion2"]}
    assert report["groups"] == 5
    [copy] = report["duplicates"]
    assert (copy["a"], copy["b"], copy["exact"]) == ("00", "04", False)
    assert "lesion0 with lesion2" in caplog.text
    assert not report["label_conflicts"]


def test_merged_groups_count_for_the_folds(manifest, tmp_path):
    picture(0).save(tmp_path / "04.png")
    with pytest.raises(AuditFailed, match="mel has 2"):
        run(manifest)


def test_copies_with_other_labels_are_listed(manifest, tmp_path, caplog):
    picture(0).save(tmp_path / "03.png")
    report = run(manifest, n_folds=1)[1]
    [copy] = report["label_conflicts"]
    assert (copy["a"], copy["b"], copy["labels"], copy["exact"]) == ("00", "03", ["mel", "nv"], True)
    assert "1 pair of copies has different labels: 00 = 03 (mel and nv)" in caplog.text


def test_copies_in_the_pool_are_listed(manifest, tmp_path, caplog):
    picture(0).save(tmp_path / "11.png")
    manifest.loc[11, "label"] = ""
    report = run(manifest)[1]
    assert [(copy["a"], copy["b"]) for copy in report["pool_duplicates"]] == [("00", "11")]
    assert not report["label_conflicts"]
    assert "1 unlabeled image is a copy of labelled ones: 00 = 11 (all in audit.json)" in caplog.text


def test_copies_in_the_test_are_counted(manifest, tmp_path, caplog):
    for i, split in ((11, "held_out"), (10, "pool")):
        picture(0).save(tmp_path / f"{i}.png")
        manifest.loc[i, ["label", "split"]] = "", split
    run(manifest, n_folds=1)
    assert "2 unlabeled images (1 of the test) are copies of labelled ones: " in caplog.text


def test_files_outside_the_table_are_named(manifest, caplog):
    manifest.attrs["not_in_table"] = ["extra/1.jpg"]
    assert run(manifest)[1]["not_in_table"] == ["extra/1.jpg"]
    assert "extra/1.jpg" in caplog.text


def test_merging_follows_chains_and_takes_the_first_name():
    frame = pd.DataFrame({"group": ["d", "c", "b", "a", "e"]})
    pairs = np.zeros(3, PAIR)
    pairs["a"], pairs["b"] = [0, 1, 0], [1, 2, 0]
    merged, names = merge_groups(frame, pairs)
    assert merged["group"].tolist() == ["b", "b", "b", "a", "e"]
    assert names == {"b": ["c", "d"]}


def test_the_order_of_rows_changes_nothing(manifest, tmp_path):
    picture(0).save(tmp_path / "04.png")
    forward = run(manifest, n_folds=1)[0]
    backward = run(manifest[::-1].reset_index(drop=True), n_folds=1)[0]
    pd.testing.assert_frame_equal(forward, backward[::-1].reset_index(drop=True))


class Counter:
    """Stands in for the reading of files and counts them."""

    def __init__(self, monkeypatch):
        self.read: list[str] = []
        monkeypatch.setattr(fingerprint_cache, "fingerprint_all", self)

    def __call__(self, paths, num_workers):
        self.read += [Path(path).name for path in paths]
        return fingerprint.fingerprint_all(paths, num_workers)


def test_only_what_changed_is_read_again(manifest, tmp_path, monkeypatch):
    counter, cache = Counter(monkeypatch), tmp_path / "cache"
    truncate(tmp_path / "05.png")
    settings = {"cache_dir": cache, "n_folds": 2, "on_bad_image": "drop"}
    first = run(manifest, **settings)
    assert len(counter.read) == 12
    counter.read.clear()
    second = run(manifest, **settings)
    assert counter.read == ["05.png"]  # bad ones are read again
    assert second[1]["remembered"] == 11
    pd.testing.assert_frame_equal(first[0], second[0])
    unchanged = first[1].keys() - {"seconds", "remembered"}
    assert {key: first[1][key] for key in unchanged} == {key: second[1][key] for key in unchanged}
    counter.read.clear()
    os.utime(tmp_path / "03.png", ns=(1, 1))
    picture(9, size=40).save(tmp_path / "08.png")
    assert run(manifest, **settings)[1]["sizes"] == {"32x32": 10, "40x40": 1}
    assert counter.read == ["03.png", "05.png", "08.png"]


def test_a_part_of_the_data_keeps_the_rest_of_the_cache(manifest, tmp_path, monkeypatch):
    counter, cache = Counter(monkeypatch), tmp_path / "cache"
    run(manifest[:7], n_folds=1, cache_dir=cache)
    run(manifest[5:], n_folds=1, cache_dir=cache)
    assert sorted(counter.read) == sorted(f"{number:02d}.png" for number in range(12))
    run(manifest, n_folds=1, cache_dir=cache)
    assert len(counter.read) == 12


def zeroed(content: bytes) -> bytes:
    return bytes(len(content))


def foreign(content: bytes) -> bytes:
    """Other fingerprints of the same files, as another program might leave them."""
    return content[:-300] + bytes(300)


@pytest.mark.parametrize("damage", [lambda _: b"", lambda _: b"junk", lambda content: content[:-1], zeroed, foreign])
def test_a_damaged_cache_is_built_again(manifest, tmp_path, damage, caplog):
    cache = tmp_path / "cache"
    picture(0).save(tmp_path / "04.png")
    expected = run(manifest, n_folds=1, cache_dir=cache)
    for file in cache.iterdir():
        file.write_bytes(damage(file.read_bytes()))
    found = run(manifest, n_folds=1, cache_dir=cache)
    assert "is damaged" in caplog.text
    assert found[1]["merged_groups"] == expected[1]["merged_groups"] == {"lesion0": ["lesion2"]}
    assert run(manifest, n_folds=1, cache_dir=cache)[1]["remembered"] == 12
    assert not list(cache.glob("*.tmp"))


def test_a_cache_that_others_can_write_is_built_again(manifest, tmp_path, caplog):
    cache = tmp_path / "cache"
    run(manifest, cache_dir=cache)
    (store,) = cache.glob("fingerprints-*")
    store.chmod(0o666)
    assert run(manifest, cache_dir=cache)[1]["remembered"] == 0
    theirs = store.rename(tmp_path / "theirs")
    store.symlink_to(theirs)
    assert run(manifest, cache_dir=cache)[1]["remembered"] == 0
    assert [record.message.rpartition(".bin ")[2] for record in caplog.records] == [
        "can be written by other users",
        "is a symbolic link",
    ]
    assert run(manifest, cache_dir=cache)[1]["remembered"] == 12
    assert not store.is_symlink()


def test_an_unwritable_cache_is_a_warning(manifest, tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    kept, _ = run(manifest, cache_dir=tmp_path / "file" / "cache")
    assert len(kept) == 12
    assert "can't be cached" in caplog.text


def test_processes_and_none_agree(manifest, tmp_path, monkeypatch):
    monkeypatch.setattr(fingerprint, "_WORTH_STARTING", 1)
    monkeypatch.setattr(fingerprint, "_CHUNK", 5)
    truncate(tmp_path / "06.png")
    paths = manifest["path"].tolist()
    alone, together = (fingerprint.fingerprint_all(paths, workers) for workers in (0, 2))
    np.testing.assert_array_equal(alone[0], together[0])
    assert alone[1] == together[1]
    assert list(alone[1]) == [6]


@pytest.mark.real_data
@pytest.mark.slow
def test_ham10000_holds_one_picture_under_two_lesions(tmp_path):
    if not (root := os.environ.get("SKINLAB_DATA_ROOT")):
        pytest.skip("SKINLAB_DATA_ROOT is not set")
    from skinlab.data.readers.ham10000 import read_ham10000

    manifest = read_ham10000(Path(root) / "ham10000")
    logging.disable()
    _, report = run(manifest, n_folds=5, cache_dir=tmp_path, num_workers=2)
    logging.disable(logging.NOTSET)
    assert report["merged_groups"] == {"HAM_0000140": ["HAM_0004919"]}  # the same hair in both, another white balance
    exact = {(copy["a"], copy["b"]) for copy in report["duplicates"] if copy["exact"]}
    assert ("ISIC_0024366", "ISIC_0029861") in exact
    assert len(report["duplicates"]) >= 20
    assert not report["label_conflicts"]


def test_images_that_vanish_while_they_are_read_are_no_bad_images(tmp_path, monkeypatch):
    Image.new("RGB", (48, 48), "pink").save(path := tmp_path / "a.png")

    def read(paths, num_workers):
        path.unlink(missing_ok=True)
        return fingerprint.fingerprint_all(paths, num_workers)

    monkeypatch.setattr(fingerprint_cache, "fingerprint_all", read)
    with pytest.raises(UserError, match=r"1 of 1 image was removed while they were read \(first: .*a\.png\); put"):
        fingerprint_cache.fingerprints([str(path)], None, 0)
    assert fingerprint_cache.fingerprints([str(path)], None, 0)[1] == {0: "does not exist"}
