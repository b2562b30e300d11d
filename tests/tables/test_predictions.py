"""Tables of predictions and labels as people have them: read alike, or refused with the remedy."""

import numpy as np
import pandas as pd
import pytest

from skinlab.errors import UserError
from skinlab.tables.predictions import TableReader, read_predictions

IDS = [f"ISIC_{k:07d}" for k in range(6)]
LABELS = ["mel", "nv", "bkl"] * 2
SHARES = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.25, 0.25, 0.5]] * 2)


def frame(ids=IDS, labels=LABELS, names=("prob_mel", "prob_nv", "prob_bkl"), shares=SHARES, **columns) -> pd.DataFrame:
    table = pd.DataFrame(shares, columns=list(names))
    table.insert(0, "image_id", ids)
    if labels is not None:
        table.insert(1, "label", labels)
    return table.assign(**columns)


def write(path, table, **how):
    table.to_csv(path, index=False, **how)
    return path


def read(path, **settings):
    return TableReader(**settings).read(path)


@pytest.mark.parametrize(
    ("table", "how"),
    [
        (frame(), {"sep": ";", "decimal": ","}),
        (frame(), {"sep": "\t", "encoding": "utf-8-sig"}),
        (frame().assign(**{"": ""}), {}),
        (frame(names=("p_mel", "p_nv", "p_bkl")), {}),
        (frame(names=("mel_prob", "nv_prob", "bkl_prob")), {}),
        (frame(names=("score mel", "score nv", "score bkl")), {}),
        (frame(names=("mel", "nv", "bkl")).rename(columns={"image_id": "image"}), {}),
        (frame(shares=SHARES * 100).rename(columns={"image_id": "Image Name"}), {}),
        (frame(labels=["MEL", " nv", "Bkl\u00a0"] * 2, ids=[f" {name} " for name in IDS]), {}),
        (frame(labels=["melanoma", "nevus", "bkl"] * 2).rename(columns={"label": "diagnosis"}), {}),
    ],
    ids=["semicolons", "tabs", "trailing", "p_", "_prob", "score", "bare", "percent", "untrimmed", "columns"],
)
def test_other_ways_to_write_a_table_give_the_same_predictions(tmp_path, table, how):
    settings = {"columns": {"label": "diagnosis"}, "label_map": {"Melanoma": "mel", "nevus": "nv"}}
    found = read(write(tmp_path / "p.csv", table, **how), **(settings if "diagnosis" in table else {})).rows
    assert found.classes == ["mel", "nv", "bkl"]
    assert found.image_id.tolist() == IDS
    assert found.target.tolist() == [0, 1, 2, 0, 1, 2]
    assert np.allclose(found.probabilities, SHARES, atol=1e-9)


@pytest.mark.parametrize(
    ("column", "shares"),
    [
        ("prob_malignant", [4.5, 80, 99.9, 0.2, 12, 3]),
        ("malignant_prob", ["4,5 %", "80%", "99,9 %", "0,2 %", "12 %", "3 %"]),
        ("prob_malignant", ["0.045", ".8", ".999", ".002", "0,12", "3%"]),
    ],
    ids=["numbers", "signs", "mixed"],
)
def test_a_single_column_may_be_in_percent(tmp_path, column, shares):
    table = frame(labels=["malignant", "benign"] * 3)[["image_id", "label"]].assign(**{column: shares})
    found = read(write(tmp_path / "p.csv", table, sep=";")).rows
    malignant = found.probabilities[:, found.classes.index("malignant")]
    assert np.allclose(malignant, [0.045, 0.8, 0.999, 0.002, 0.12, 0.03], atol=1e-9)


def devices(tmp_path, **of_b):
    """Two devices' tables with other names for everything; rows of the second in another order."""
    a = pd.DataFrame({"File name": [f"{name}.jpg" for name in IDS], "Histology": ["melanoma", "nevus"] * 3})
    a["Malignancy score (%)"] = [81, 4, 55, 12, 99, 7]
    b = pd.DataFrame({"filename": IDS[::-1], "label": ["benign", "malignant"] * 3, "risk": [0.1, 0.9] * 3})
    return write(tmp_path / "a.csv", a, sep=";"), write(tmp_path / "b.csv", b.rename(columns=of_b))


NAMED = {"image_id": "File name", "label": "Histology", "prob": {"malignant": "Malignancy score (%)"}}
MAP = {"melanoma": "malignant", "nevus": "benign"}


@pytest.mark.parametrize(
    ("of_b", "columns"),
    [
        ({"risk": "prob_malignant"}, {}),
        ({"risk": "malignant_probability"}, {}),
        ({"risk": "score"}, {}),
        ({"risk": "malignant"}, {}),
        ({}, {"prob": {"malignant": ["Malignancy score (%)", "risk"]}}),
        (
            {"filename": "Bild", "label": "Befund", "risk": "score"},
            {"image_id": ["Bild", "File name"], "label": ["Histology", "Befund"]},
        ),
    ],
)
def test_tables_with_other_names_are_read_together(tmp_path, of_b, columns):
    paths = devices(tmp_path, **of_b)
    reader = TableReader(columns=NAMED | columns, label_map=MAP).for_tables(paths)
    a, b = (reader.read(path) for path in paths)
    assert a.rows.classes == b.rows.classes == ["benign", "malignant"]
    assert a.rows.probabilities[:, 1].tolist() == [0.81, 0.04, 0.55, 0.12, 0.99, 0.07]
    assert b.rows.probabilities[:, 1].tolist() == [0.1, 0.9] * 3
    assert b.rows.image_id.tolist() == IDS[::-1]
    assert a.facts["columns"] == {ours: NAMED[ours] for ours in ("image_id", "label")} | {
        "prob.malignant": "Malignancy score (%)"
    }


@pytest.mark.parametrize(
    ("of_b", "columns", "message"),
    [
        ({"filename": "Bild"}, {}, r"b.csv has no column image_id .*'columns.image_id=\[\"File name\", NAME\]'"),
        (
            {"risk": "quality"},
            {},
            r"b.csv has neither Malignancy score \(%\) nor other columns for malignant \(it has quality\); .*"
            r"'columns.prob=\{malignant: \[\"Malignancy score \(%\)\", NAME\]\}'",
        ),
        ({}, {"label": "Histolgy"}, r"columns.label=Histolgy: no such column in .*b.csv or .*a.csv .did you mean Hist"),
        ({}, {"prob": {"malignant": "risc"}}, r"columns.prob.malignant=risc: no such column in .*did you mean risk"),
    ],
)
def test_a_table_without_a_named_column_and_without_a_known_one_is_refused(tmp_path, of_b, columns, message):
    paths = devices(tmp_path, **of_b)
    reader = TableReader(columns=NAMED | columns, label_map=MAP).for_tables(paths)
    with pytest.raises(UserError, match=message):
        reader.read(paths[1])


def test_the_labels_of_one_table_are_those_of_the_others(tmp_path):
    a, b = devices(tmp_path, risk="score", label="remark")
    reader = TableReader(columns=NAMED, label_map=MAP).for_tables([b, a])
    found = reader.read(b)
    assert found.rows.target.tolist() == [0, 1] * 3
    assert f"{a} gives the label of 6 rows (of 6)." in found.cautions
    assert reader.read(a).facts.get("labels") is None
    write(a, pd.read_csv(a, sep=";")[1:], sep=";")
    with pytest.raises(UserError, match=r"^.*a.csv lacks 1 of 6 images of .*b.csv \(first: ISIC_0000000\)"):
        TableReader(columns=NAMED, label_map=MAP).for_tables([b, a]).read(b)


def test_a_label_map_that_renames_nothing_is_a_caution(tmp_path):
    truth = write(tmp_path / "truth.csv", frame(labels=["melanoma", "nv", "bkl"] * 2)[["image_id", "label"]])
    settings = {"labels": str(truth), "label_map": {"melanoma": "mel", "nevus": "nv"}}
    found = read(write(tmp_path / "p.csv", frame(labels=None)), **settings)
    assert [each for each in found.cautions if each.startswith("label_map")] == [
        "label_map renames nevus, which is the label of no image here."
    ]


def test_a_table_of_this_project_keeps_its_numbers(tmp_path):
    shares = np.random.default_rng(0).dirichlet(np.ones(3), 500).round(6)
    table = frame([f"a/{k}.jpg" for k in range(500)], ["mel", "nv"] * 250, shares=shares)
    path = write(tmp_path / "p.csv", table, float_format="%.6f")
    before = pd.read_csv(path)[["prob_mel", "prob_nv", "prob_bkl"]].to_numpy()
    assert (read_predictions(path).probabilities == before).all()


@pytest.mark.parametrize(
    ("labels", "names", "classes"),
    [
        (["0.0", "1.0"], ("prob_0", "prob_1"), ["0", "1"]),
        ([0, 1], ("target",), ["0", "1"]),
        (["0.0", "1.0"], ("score",), ["0", "1"]),
        (["nv", "MEL"], ("prob_mel",), ["nv", "mel"]),
        (["benign", "malignant"], ("malignant",), ["benign", "malignant"]),
    ],
)
def test_two_classes_may_have_one_column(tmp_path, labels, names, classes):
    shares = np.array([[0.75, 0.25], [0.4, 0.6], [0.9, 0.1]] * 2)[:, -len(names) :]
    found = read(write(tmp_path / "p.csv", frame(labels=labels * 3, names=names, shares=shares))).rows
    assert found.classes == classes
    assert found.target.tolist() == [0, 1] * 3
    assert found.probabilities[:, 1].tolist() == pytest.approx([0.25, 0.6, 0.1] * 2)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (frame(ids=["a", "a", *IDS[2:]]), "image a has several rows"),
        (frame(ids=[IDS[0], "", *IDS[2:]]), "row 3 has no image_id"),
        (frame().drop(columns="image_id"), "has no column image_id .*columns.image_id=NAME"),
        (frame(labels=None), "has no column label .*labels=FILE.csv"),
        (
            frame(labels=None, dx="nv", truth="mel"),
            "several columns of labels, dx, truth; choose one: columns.label=dx",
        ),
        (
            frame(labels=["df", *LABELS[1:]]),
            "label 'df' of image ISIC_0000000 \\(row 2; 1 of 6 rows\\) is none of .*label_map={df: CLASS}",
        ),
        (frame(labels=["NA", *LABELS[1:]]), "1 of 6 rows has no label"),
        (frame(shares=SHARES * 4 - 2), "don't sum to one; write a softmax"),
        (frame(shares=SHARES.round(1) * 0.9), "don't sum to one"),
        (frame(names=("prob_mel", "prob_mel", "prob_nv")), "more than one column prob_mel"),
        (frame(names=("prob_mel", "prob_MEL", "prob_nv")), "two columns of one class: MEL and mel"),
        (frame()[["image_id", "label"]], "no columns prob_<class>"),
        (
            frame()[["image_id", "label"]].assign(target=0.5),
            r"class, 1; the labels are mel \(2\), nv \(2\), bkl \(2\): .*label_map={mel: 1, nv: 0, bkl: 0}",
        ),
        (frame(labels=[0, 1] * 3)[["image_id", "label"]].assign(target=[0, 1] * 3), "all of them 0 or 1"),
        (frame(labels=[0, 1] * 3)[["image_id", "label"]].assign(score=3.5), "3.5, which is no probability"),
        (frame(split="train"), "6 rows are of split train and none of another"),
        (frame(split=["siteA", "siteB"] * 3), "which are not evaluated together"),
        (frame(fold=[-1, 0] * 3), "3 rows have no fold and the others have one"),
    ],
)
def test_a_mistake_ends_in_one_line_with_the_remedy(tmp_path, table, message):
    with pytest.raises(UserError, match=rf"p\.csv.*{message}") as error:
        read(write(tmp_path / "p.csv", table))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "columns",
    [
        {"split": ["train", "train", "val", "val", "test", "test"]},
        {"split": ["Training", "TRAIN ", "validation", "valid", "Test", "testing"]},
        {"fold": ["train", "train", "val", "val", "test", "test"]},
    ],
)
def test_rows_of_one_split_are_evaluated(tmp_path, columns):
    path = write(tmp_path / "p.csv", frame(group=["g", "a", "b", "c", "g", "d"], **columns))
    found = read(path)
    assert found.rows.image_id.tolist() == IDS[4:]
    assert found.selection.image_id.tolist() == IDS[2:4]
    assert (found.split, found.facts) == ("test", {"left_out": {"train": 2}, "selection": {"val": 2}})
    assert "left out are 2 of train" in found.cautions[0]
    assert "1 of the evaluated images share a group" in found.cautions[1]
    on_val = TableReader().read(path, "val")
    assert on_val.rows.image_id.tolist() == IDS[2:4]
    assert on_val.selection is None
    with pytest.raises(UserError, match=r"split=val: .* has no rows of it"):
        TableReader().read(write(tmp_path / "test.csv", frame(split="test")), "val")


def test_folds_evaluated_together_are_mentioned(tmp_path):
    found = read(write(tmp_path / "p.csv", frame(fold=[0, 1, 2] * 2)))
    assert len(found.rows) == 6
    assert "images of 3 folds are evaluated together" in found.cautions[0]
    assert not read(write(tmp_path / "oof.csv", frame(fold=[0, 1, 2] * 2, split="oof"))).cautions[1:]


@pytest.mark.parametrize(
    "ids",
    [
        [f"images/{name}.jpg" for name in IDS],
        [rf"C:\isic\{name}.PNG" for name in IDS],
        [f"{name}_downsampled" for name in IDS],
    ],
)
@pytest.mark.parametrize("one_hot", [False, True])
def test_labels_are_joined_by_the_name_of_the_image(tmp_path, ids, one_hot):
    truth = frame(names=("MEL", "NV", "BKL"), shares=np.eye(3)[[0, 1, 2] * 2]).rename(columns={"image_id": "isic_id"})
    truth = (truth.drop(columns="label") if one_hot else truth[["isic_id", "label"]]).iloc[::-1]
    labels = write(tmp_path / "truth.csv", truth)
    found = read(write(tmp_path / "p.csv", frame(ids, labels=None)), labels=str(labels))
    assert found.rows.target.tolist() == [0, 1, 2] * 2
    assert found.rows.image_id.tolist() == ids
    assert found.facts["labels"] == {"path": str(labels), "rows": 6, "label": 6, "replaced": 0}
    assert "gives the label of 6 rows (of 6)" in " ".join(found.cautions)


def test_labels_that_contradict_the_table_are_refused_or_counted(tmp_path):
    path = write(tmp_path / "p.csv", frame(group="g"))
    truth = str(
        write(tmp_path / "truth.csv", pd.DataFrame({"image_id": IDS, "label": ["nv", *LABELS[1:]], "group": "h"}))
    )
    with pytest.raises(UserError, match=r"contradicts 1 of 6 labels .*ISIC_0000000 is nv there and mel in"):
        read(path, labels=truth)
    found = read(path, labels=truth, on_label_conflict="labels")
    assert found.rows.target.tolist() == [1, 1, 2, 0, 1, 2]
    assert set(found.rows.group) == {"h"}
    assert found.facts["labels"] == {"path": truth, "rows": 6, "label": 6, "group": 6, "replaced": 1}
    assert "1 label of the table that would differ" in " ".join(found.cautions)


@pytest.mark.parametrize(
    ("rows", "settings", "message"),
    [
        ({"image_id": ["x"], "label": ["nv"]}, {}, "names none of 6 images"),
        ({"image_id": IDS[1:], "label": LABELS[1:]}, {}, r"lacks 1 of 6 images .*\(first: ISIC_0000000\)"),
        ({"image_id": ["a/" + IDS[0], "b/" + IDS[0]], "label": "nv"}, {}, "1 id may mean several"),
        ({"image_id": IDS, "diagnosis": LABELS, "dx": LABELS}, {}, "several columns of labels.*columns.label="),
        ({"image_id": IDS, "what": LABELS}, {}, "columns.label=NAME"),
        (
            {"image_id": IDS, "what": LABELS},
            {"columns": {"label": "waht"}},
            "column waht .did you mean what.*columns.label=NAME",
        ),
        (
            {"image_id": [*IDS, f"{IDS[0]}.jpg"], "label": [*LABELS, "nv"]},
            {},
            f"1 image has rows that contradict each other, such as {IDS[0]} .{IDS[0]}: mel, {IDS[0]}.jpg: nv.",
        ),
    ],
)
def test_a_table_of_labels_that_does_not_fit_is_refused(tmp_path, rows, settings, message):
    labels = write(tmp_path / "truth.csv", pd.DataFrame(rows))
    with pytest.raises(UserError, match=message):
        read(write(tmp_path / "p.csv", frame(labels=None)), labels=str(labels), **settings)


@pytest.mark.parametrize(
    ("table", "caution"),
    [
        (frame(), "images tie"),
        (frame(shares=np.eye(3)[[0, 1, 2] * 2]), "all probabilities are 0 or 1"),
        (frame(group=["P7", "p7", *"abcd"]), "groups 'P7' and 'p7' are two groups"),
        (frame(shares=SHARES * 100), "percentages were divided by 100"),
    ],
)
def test_what_makes_a_table_doubtful_is_mentioned(tmp_path, table, caution):
    assert caution in " ".join(read(write(tmp_path / "p.csv", table)).cautions)


def test_a_word_for_a_missing_group_is_no_group(tmp_path):
    groups = ["NA", "N/A", "unknown", "", "P7", "P7 "]
    assert read(write(tmp_path / "p.csv", frame(group=groups))).rows.group.tolist() == [*IDS[:4], "P7", "P7"]


def test_a_rounded_table_is_named_with_its_zeros_and_ties(tmp_path):
    shares = np.array([[0.9999, 0.0001, 0], [0.5, 0.25, 0.25], [0.3333, 0.3333, 0.3333]] * 2)
    (found,) = (each for each in read(write(tmp_path / "p.csv", frame(shares=shares))).cautions if "rounded" in each)
    assert found == (
        "probabilities are rounded to 4 decimals; 2 of them are 0 and count as 5e-05 in log-loss and calibration; "
        "in the whole table 6 of 6 images tie with another in a class, which makes ranking and thresholds coarser."
    )
    exact = np.random.default_rng(0).dirichlet(np.ones(3), 6)
    assert not [each for each in read(write(tmp_path / "q.csv", frame(shares=exact))).cautions if "rounded" in each]


PATIENTS = ["P1", "P1", "P2", "P2", "NA", ""]


@pytest.mark.parametrize("where", ["table", "labels", "metadata"])
@pytest.mark.parametrize(("column", "setting"), [("patient_id", {}), ("Patient number", {"patient": "Patient number"})])
def test_without_groups_those_of_a_patient_are_together_and_that_is_said(tmp_path, where, column, setting):
    path = write(tmp_path / "p.csv", frame(**({column: PATIENTS} if where == "table" else {})))
    known = pd.DataFrame({"File name": [f"{name}.jpg" for name in IDS], "label": LABELS, column: PATIENTS})
    other = {} if where == "table" else {where: str(write(tmp_path / "other.csv", known))}
    found = read(path, columns=setting, **other)
    assert found.rows.group.tolist() == ["P1", "P1", "P2", "P2", *IDS[4:]]
    assert "without a column group, images of one patient are a group." in found.cautions


def test_lesions_are_groups_where_neither_group_nor_patient_is_known(tmp_path):
    lesions = ["L1", "L1", *IDS[2:]]
    assert read(write(tmp_path / "a.csv", frame(lesion_id=lesions))).rows.group.tolist() == lesions
    both = read(write(tmp_path / "b.csv", frame(lesion=lesions, patient=["P"] * 5 + ["Q"], group="")))
    assert both.rows.group.tolist() == ["P"] * 5 + ["Q"]
    own = read(write(tmp_path / "c.csv", frame(patient="P", group=lesions)))
    assert (own.rows.group.tolist(), own.cautions) == (lesions, read(write(tmp_path / "d.csv", frame())).cautions)


def test_a_number_of_the_patient_is_no_class(tmp_path):
    table = frame(names=("mel", "nv", "bkl"), patient=[1, 1, 2, 2, 3, 3])
    assert read(write(tmp_path / "p.csv", table)).rows.classes == ["mel", "nv", "bkl"]


HEADER = "Malignancy probability (%)"
DIAGNOSES = ["melanoma", "nevus", "nevus", "BCC", "nevus", "melanoma"]


def vendor(labels=DIAGNOSES, **columns) -> pd.DataFrame:
    table = pd.DataFrame({"File name": IDS, "diagnosis": labels, **columns})
    return table.assign(**{HEADER: [0.9, 0.2, 0.1, 0.7, 0.3, 0.8]})


def test_the_column_of_probabilities_can_be_named_by_its_class(tmp_path):
    path = write(tmp_path / "p.csv", vendor(**{"Age (years)": 50}))
    label_map = {"melanoma": "malignant", "BCC": "malignant", "nevus": "benign"}
    how = {"columns": {"label": "diagnosis", "prob": {"malignant": HEADER}}, "label_map": label_map}
    found = read(path, **how)
    assert found.rows.classes == ["benign", "malignant"]
    assert found.rows.probabilities[:, 1].tolist() == [0.9, 0.2, 0.1, 0.7, 0.3, 0.8]
    assert found.facts["columns"] == {"label": "diagnosis", "prob.malignant": HEADER}
    with pytest.raises(UserError, match=r"columns\.prob\.malignant=Risk: no such column in .*p\.csv"):
        read(path, columns={"label": "diagnosis", "prob": {"malignant": "Risk"}})


def test_messages_of_a_vendor_s_table_list_its_labels_and_name_every_one_that_fits_no_class(tmp_path):
    path, columns = write(tmp_path / "p.csv", vendor()), {"label": "diagnosis"}
    unnamed = r"of which class .*the labels are nevus \(3\), melanoma \(2\), BCC \(1\)\); name it, as in columns\.prob="
    with pytest.raises(UserError, match=unnamed):
        read(path, columns=columns)
    columns["prob"] = {"malignant": HEADER}
    hint = r"label_map={nevus: benign, melanoma: malignant, BCC: CLASS}"
    with pytest.raises(UserError, match=rf"the labels are nevus \(3\), melanoma \(2\), BCC \(1\): .*{hint}"):
        read(path, columns=columns)
    with pytest.raises(UserError, match=r"label_map={melanoma: malignant, nevus: benign, BCC: CLASS}"):
        read(path, columns=columns, label_map={"melanoma": "malignant"})
    numbers = write(tmp_path / "n.csv", vendor(**{"Age (years)": 50}))
    with pytest.raises(UserError, match=r"columns of numbers Age \(years\), Malignancy .*prob=.CLASS: .Malignancy"):
        read(numbers, columns={"label": "diagnosis"})
    both = {"prob": {"malignant": HEADER, "benign": "other"}, "label": "diagnosis"}
    misspelt = vendor(["malignant", "benign", "bengin", "maligant", "bengin", "benign"], other=1 - vendor()[HEADER])
    message = r"'bengin' of image ISIC_0000002 \(row 4; 2 of 6 rows\) is none of .*mean benign\?\), nor are maligant"
    with pytest.raises(UserError, match=message):
        read(write(tmp_path / "m.csv", misspelt), columns=both)
