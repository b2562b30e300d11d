import logging

import pytest

from skinlab.data.manifest import relabel
from skinlab.data.readers.folder import read_folder
from skinlab.errors import UserError


@pytest.fixture
def root(tmp_path):
    for name in ("mel/p1/a.jpg", "mel/b.jpg", "nv/a.jpg", "Unlabeled/x/u.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def write(path, *lines):
    path.write_text("\n".join(lines) + "\n")
    return path


def test_folders_are_classes_and_unlabeled_is_the_pool(root):
    manifest = read_folder(root)
    assert manifest["image_id"].tolist() == ["Unlabeled/x/u.jpg", "mel/b.jpg", "mel/p1/a.jpg", "nv/a.jpg"]
    assert manifest["label"].tolist() == ["", "mel", "mel", "nv"]
    assert manifest["split"].tolist() == ["pool", "", "", ""]
    assert manifest["group"].tolist() == manifest["image_id"].tolist()


def test_a_root_above_or_below_the_class_folders_is_answered_with_the_right_one(tmp_path):
    nested = tmp_path / "download" / "archive" / "images"
    for name in ("mel/a.jpg", "nv/1/b.jpg"):
        (nested / name).parent.mkdir(parents=True, exist_ok=True)
        (nested / name).touch()
    with pytest.raises(UserError, match=f"set data.root={nested}, which has mel, nv"):
        read_folder(tmp_path / "download")
    with pytest.raises(UserError, match=f"of {nested / 'mel'} in no class folder: a.jpg; move them into one"):
        read_folder(nested / "mel")  # nv holds folders
    (nested / "nv" / "c.png").touch()
    with pytest.raises(UserError, match=f"set data.root={nested}, if mel is a class beside nv"):
        read_folder(nested / "mel")
    (nested / "mel" / "p1").mkdir()
    (nested / "mel" / "p1" / "b.jpg").touch()
    assert set(read_folder(nested)["label"]) == {"mel", "nv"}


def test_one_class_may_have_folders(tmp_path):
    for name in ("mel/p1/a.jpg", "mel/b.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert set(read_folder(tmp_path)["label"]) == {"mel"}


@pytest.mark.parametrize("column", ["lesion_id", "Patient", "group"])
def test_the_groups_are_those_of_lesions_or_patients(root, column):
    """A column of another name is named with the remedy."""
    lines = ["mel/p1/a.jpg,1", "b,1", "nv/a,2"]
    manifest = read_folder(root, groups=write(root / "groups.csv", f"image_id,{column}", *lines)).set_index("image_id")
    assert manifest.loc[["mel/p1/a.jpg", "mel/b.jpg", "nv/a.jpg"], "group"].tolist() == ["1", "1", "2"]
    with pytest.raises(UserError, match=r"no column group.*: its columns are image_id, who; rename the one of lesions"):
        read_folder(root, groups=write(root / "groups.csv", "image_id,who", *lines))


def test_groups_are_found_by_path_name_or_stem(root):
    table = ["image_id,group,source,age", "mel/p1/a.jpg,1,north,40", "b,1,south,", "u.jpg,2,north,60"]
    write(root / "groups.csv", *table)
    manifest = read_folder(root, groups="groups.csv").set_index("image_id")
    assert manifest["group"].to_dict() == {
        "Unlabeled/x/u.jpg": "2",
        "mel/b.jpg": "1",
        "mel/p1/a.jpg": "1",
        "nv/a.jpg": "nv/a.jpg",
    }
    assert manifest["source"].tolist() == ["north", "south", "north", ""]
    assert manifest["age"].isna().tolist() == [False, True, False, True]


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ("a.jpg,1", r"several images, such as a\.jpg: mel/p1/a\.jpg or nv/a\.jpg; give"),
        ("zzz,1", "names none of the images"),
        ("b,1\nmel/b.jpg,2", "names an image twice: mel/b.jpg"),
    ],
)
def test_a_groups_table_that_does_not_fit_is_refused(root, row, complaint):
    with pytest.raises(UserError, match=complaint):
        read_folder(root, groups=write(root / "groups.csv", "image_id,group", row))


@pytest.mark.parametrize("name", ["image", "image_name", "isic_id"])
def test_a_groups_table_names_images_as_people_do(root, name):
    lines = [f"\ufeff{name};group", "MEL\\P1\\A.JPG; 1", "C:\\data\\b_downsampled;NA", "nv/a;1 "]
    manifest = read_folder(root, groups=write(root / "groups.csv", *lines)).set_index("image_id")
    assert manifest.loc[["mel/p1/a.jpg", "mel/b.jpg", "nv/a.jpg"], "group"].tolist() == ["1", "mel/b.jpg", "1"]
    assert manifest.attrs.keys() == {"masks", "other_formats", "text_changes"}


def test_a_class_folder_is_trimmed_and_folders_that_look_like_one_stop(root):
    write_image = root / "nv " / "c.jpg"
    write_image.parent.mkdir()
    write_image.touch()
    manifest = read_folder(root)
    assert sorted(manifest["label"].unique()) == ["", "mel", "nv"]
    assert manifest.loc[manifest["image_id"] == "nv /c.jpg", "path"].tolist() == [f"{root}/nv /c.jpg"]
    write_image.parent.rename(root / "NV")
    with pytest.raises(UserError, match=r"classes 'NV' \(1 image\) and 'nv' \(1\) seem to be one"):
        relabel(read_folder(root))


def test_rows_that_name_no_image_are_reported(root, caplog):
    with caplog.at_level(logging.WARNING):
        read_folder(root, groups=write(root / "groups.csv", "image_id,group", "b,1", "zzz,1"))
    assert "1 row not used, without an image: zzz" in caplog.text


def test_images_outside_a_class_are_refused(root):
    (root / "loose.jpg").touch()
    with pytest.raises(UserError, match=r"in no class folder: loose\.jpg"):
        read_folder(root)


def test_folders_that_are_splits_are_no_classes(tmp_path):
    for name in ("train/nv/a.jpg", "test/nv/b.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(UserError, match=r"holds test, train and no class folders: give .*/test as data.root"):
        read_folder(tmp_path)


POOLS = [
    "Unlabelled",
    "UNLABELLED",
    "un-labeled",
    "unlabeled_images",
    "no_label",
    "No Labels",
    "not labeled",
    "unannotated",
]


@pytest.mark.parametrize("name", POOLS)
def test_every_spelling_of_unlabeled_is_the_pool(root, name):
    (root / "Unlabeled").rename(root / name)
    manifest = read_folder(root)
    assert manifest["label"].value_counts().to_dict() == {"mel": 2, "nv": 1, "": 1}
    assert manifest["split"].tolist().count("pool") == 1


@pytest.mark.parametrize("name", ["unknown", "NA", "None", "UNK", "unclassified", "unlabelde", "labeled", "pool"])
def test_a_folder_that_may_be_a_class_or_the_pool_is_refused(root, name):
    (root / "Unlabeled").rename(root / name)
    with pytest.raises(UserError, match=f"/{name} may be a class or the pool: rename it to unlabeled if its images"):
        read_folder(root)


@pytest.mark.parametrize("name", ["test", "Train", "Validation"])
def test_a_part_of_a_split_is_no_class(root, name):
    (root / "nv").rename(root / name)
    with pytest.raises(UserError, match=f"/{name} is a part of a split beside class folders"):
        read_folder(root)


def test_what_is_left_out_goes_to_the_audit(root):
    (root / "mel" / "b_segmentation.png").touch()
    (root / "mel" / "c.HEIC").touch()
    manifest = read_folder(root)
    assert len(manifest) == 4
    assert manifest.attrs == {"masks": ("mel/b_segmentation.png",), "other_formats": ("mel/c.HEIC",)}
