"""PH2 as its authors publish it and as a folder with a table."""

import pytest

from skinlab.data.readers.ph2 import read_ph2
from skinlab.errors import UserError

HEADER = "||   Name || Histological Diagnosis || Clinical Diagnosis || Asymmetry | Pigment Network ||   Colors ||"


def authors_folder(root, *rows):
    for name in ("IMD002", "IMD003", "IMD435"):
        folder = root / "PH2 Dataset images" / name
        for kind in (f"Dermoscopic_Image/{name}", f"lesion/{name}_lesion", f"roi/{name}_R1_Label3"):
            path = folder / f"{name}_{kind}.bmp"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    (root / "PH2_dataset.txt").write_text("\n".join([HEADER, *rows, "", "Legends: 0 - Common Nevus;"]))


def row(name, diagnosis):
    return f"|| {name} ||                        ||                  {diagnosis} ||   0 |   T ||  4 ||"


def test_the_authors_layout(tmp_path):
    authors_folder(tmp_path, row("IMD003", 0), row("IMD002", 1), row("IMD435", 2))
    manifest = read_ph2(tmp_path)
    assert manifest["label"].tolist() == ["atypical_nevus", "common_nevus", "melanoma"]
    assert manifest["path"].iloc[0] == f"{tmp_path}/PH2 Dataset images/IMD002/IMD002_Dermoscopic_Image/IMD002.bmp"
    assert manifest["group"].tolist() == ["IMD002", "IMD003", "IMD435"]


def test_a_table_without_rows_or_with_another_diagnosis_is_refused(tmp_path):
    authors_folder(tmp_path)
    with pytest.raises(UserError, match="has no row such as"):
        read_ph2(tmp_path)
    (tmp_path / "PH2_dataset.txt").unlink()
    with pytest.raises(UserError, match=r"holds no PH2_simple_dataset.csv: put it there"):
        read_ph2(tmp_path)
    (tmp_path / "PH2_simple_dataset.csv").write_text("image_name,diagnosis\nIMD002,Wart\n")
    with pytest.raises(UserError, match="the diagnosis 'wart' is none of PH2's"):
        read_ph2(tmp_path)


def test_a_missing_folder_names_the_command(tmp_path):
    with pytest.raises(UserError, match="get the data there: skinlab fetch data=ph2"):
        read_ph2(tmp_path / "nowhere")


def test_a_copy_with_a_table_of_one_s_own(tmp_path):
    (tmp_path / "images").mkdir()
    for name in ("IMD003", "IMD435"):
        (tmp_path / "images" / f"{name}.jpg").touch()
    (tmp_path / "labels.csv").write_text("image_id,diagnosis,dx\nIMD003,common_nevus,nv\nIMD435,melanoma,mel\n")
    manifest = read_ph2(tmp_path)
    assert manifest["label"].tolist() == ["common_nevus", "melanoma"]
    assert manifest["path"].iloc[0] == f"{tmp_path}/images/IMD003.jpg"
