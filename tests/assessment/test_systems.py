"""Systems from runs written by hand: a sweep is sorted into recipes, seeds and folds."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from skinlab.assessment.alignment import align
from skinlab.assessment.systems import find_systems
from skinlab.errors import UserError
from skinlab.tables.predictions import TableReader
from tests import run_directory

IMAGES = [f"i{k}" for k in range(24)]


def write_run(
    folder, *, fold=0, seed=0, model="resnet18", loss="skinlab.losses.CrossEntropy", n_folds=3, finished=True
):
    """A run on 24 images: the first six are the test, the others are dealt into folds."""
    frame = pd.DataFrame({"image_id": IMAGES, "path": "", "label": ["nv", "mel"] * 12, "group": IMAGES, "source": ""})
    frame["fold"] = [-1] * 6 + [k % n_folds for k in range(18)]
    frame["split"] = ["test"] * 6 + ["val" if k == fold else "train" for k in frame["fold"][6:]]
    p = np.random.default_rng([seed, fold, len(model)]).uniform(0.1, 0.9, 24).round(6)
    table = frame.drop(columns="path").assign(prob_nv=p, prob_mel=1 - p)
    config = {"seed": seed, "run_dir": str(folder), "model": {"name": model}, "loss": {"_target_": loss}}
    return run_directory.write_run(
        folder,
        config=config | {"data": {"fold": fold, "n_folds": n_folds}},
        metrics={"init_used": "imagenet"} if finished else None,
        meta={"classes": ["nv", "mel"]},
        split=frame,
        **{split: table[table["split"] == split] for split in ("val", "test")},
    )


def find(*places, split="auto"):
    return find_systems([str(place) for place in places], split=split)


def test_a_run_is_judged_on_its_test_and_chosen_on_its_validation(tmp_path):
    (system,) = find(write_run(tmp_path / "run"), split="test")
    assert system.name == "run"
    assert len(system.tables[0]) == 6
    assert len(system.selection) == 6
    assert system.sources[0]["meta"] == {"classes": ["nv", "mel"]}
    (on_val,) = find(tmp_path / "run")
    assert on_val.selection is None
    assert on_val.tables[0].image_id.tolist() == system.selection.image_id.tolist()


def test_folds_are_pooled_and_seeds_stand_side_by_side(tmp_path):
    for seed in (0, 1):
        for fold in range(3):
            write_run(tmp_path / f"{seed}{fold}", fold=fold, seed=seed)
    (system,) = find(tmp_path)
    assert system.pooled
    assert (system.replicate_axis, system.replicate_ids) == ("seed", [0, 1])
    assert all(sorted(table.image_id) == sorted(IMAGES[6:]) for table in system.tables)
    assert (system.tables[0].image_id == system.tables[1].image_id).all()
    assert len(system.runs) == len(system.sources) == 6


def test_the_test_of_a_sweep_has_the_folds_side_by_side(tmp_path):
    for fold in range(3):
        write_run(tmp_path / str(fold), fold=fold)
    (system,) = find(tmp_path, split="test")
    assert (system.replicate_axis, system.replicate_ids, system.pooled) == ("fold", [0, 1, 2], False)
    assert all(len(table) == 6 for table in system.tables)
    assert sorted(system.selection.image_id) == sorted(IMAGES[6:])  # out of fold


def test_rules_of_seeds_are_chosen_on_the_mean_of_their_validation_probabilities(tmp_path):
    for seed in (0, 1):
        write_run(tmp_path / str(seed), seed=seed)
    (system,) = find(tmp_path, split="test")
    each = [part.probabilities for one in (0, 1) for part in find(tmp_path / str(one))[0].tables]
    assert (system.replicate_axis, len(system.selections)) == ("seed", 2)
    np.testing.assert_allclose(system.selection.probabilities, np.mean(each, axis=0))


def test_recipes_are_named_by_what_differs(tmp_path):
    for model in ("resnet18", "densenet121"):
        for loss in ("cross_entropy.CrossEntropy", "focal.Focal"):
            write_run(tmp_path / model / loss, model=model, loss=f"skinlab.losses.{loss}")
    names = {system.name for system in find(tmp_path)}
    assert names == {f"model={model} loss={loss}" for model in ("resnet18", "densenet121") for loss in ("ce", "focal")}


def test_what_can_not_be_judged_is_reported(tmp_path):
    write_run(tmp_path / "sweep" / "0")
    write_run(tmp_path / "sweep" / "1", fold=1)
    with pytest.raises(UserError, match="sweep lacks fold 2 of 3"):
        find(tmp_path / "sweep")
    write_run(tmp_path / "sweep" / "again", fold=1)
    with pytest.raises(UserError, match="fold 1 several times"):
        find(tmp_path / "sweep")
    write_run(tmp_path / "unfinished", finished=False)
    with pytest.raises(UserError, match=r"stopped before its first checkpoint; .* predictions.val.csv"):
        find(tmp_path / "unfinished")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no run with predictions"):
        find(tmp_path / "empty")


@pytest.mark.parametrize("name", ["config.yaml", "metrics.json", "split.csv", "predictions/test.csv"])
def test_a_file_of_a_run_that_is_cut_in_half_is_named(tmp_path, name):
    run = write_run(tmp_path / "run")
    (run / "metrics.json").write_text(json.dumps({"init_used": "imagenet", "run_id": "1234abcd"}))
    with (run / "config.yaml").open("a") as file:
        file.write("run_id: 1234abcd\n")
    find(run, split="test")
    lines = (run / name).read_text().splitlines(keepends=True)
    (run / name).write_text("".join(lines[: len(lines) // 2]))
    with pytest.raises(UserError, match=name if name != "metrics.json" else "run"):
        find(run, split="test")


def test_systems_of_other_rows_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"b \(.*/b\) has no row for \d+ images that a .*, i6, .* same images$"):
        align(find(write_run(tmp_path / "a"), write_run(tmp_path / "b", fold=1), split="val"))


def test_the_training_prior_is_cross_entropy_s_and_of_the_classes_judged(tmp_path):
    meta = {"classes": ["nv", "mel"], "loss": "CrossEntropy", "training_prior": [0.75, 0.25]}
    (write_run(tmp_path / "run") / "predictions" / "meta.json").write_text(json.dumps(meta))
    (system,) = find(tmp_path / "run")
    assert system.training_prior == [0.75, 0.25]
    calls = replace(system.tables[0], classes=["a", "b", "c"])
    assert replace(system, tables=[calls]).training_prior is None
    meta["loss"] = "FocalLoss"
    (tmp_path / "run" / "predictions" / "meta.json").write_text(json.dumps(meta))
    assert find(tmp_path / "run")[0].training_prior is None


def test_a_system_without_groups_takes_those_of_another_on_all_its_rows(tmp_path):
    run = write_run(tmp_path / "run")
    table = pd.read_csv(run / "predictions" / "test.csv")
    table.drop(columns=["group", "source"])[::-1].to_csv(tmp_path / "bare.csv", index=False)
    for split in ("val", "test"):
        place = run / "predictions" / f"{split}.csv"
        pd.read_csv(place).assign(group=lambda rows: "L" + rows["image_id"].str[1:-1]).to_csv(place, index=False)
    run, bare = align(find(tmp_path / "run", tmp_path / "bare.csv", split="test"))
    assert (run.groups_from, bare.groups_from) == (None, "run")
    assert bare.tables[0].group.tolist() == run.tables[0].group.tolist()
    assert len(set(run.tables[0].group)) < len(run.tables[0])
    assert len(set(run.selection.group)) < len(run.selection)


def test_systems_may_spell_images_and_classes_in_other_ways(tmp_path):
    ours = pd.DataFrame({"image_id": ["a/1.jpg", "a/2.jpg"], "label": ["nv", "mel"], "prob_mel": [0.2, 0.7]})
    ours.assign(prob_nv=1 - ours["prob_mel"]).to_csv(tmp_path / "ours.csv", index=False)
    theirs = pd.DataFrame({"image": ["2", "1"], "label": ["MEL", "NV"], "NV": [0.3, 0.8], "MEL": [0.7, 0.2]})
    theirs.to_csv(tmp_path / "theirs.csv", index=False)
    first, second = (each.tables[0] for each in align(find(tmp_path / "ours.csv", tmp_path / "theirs.csv")))
    assert second.classes == ["nv", "mel"]
    for key in ("image_id", "group", "target"):
        assert getattr(first, key).tolist() == getattr(second, key).tolist()
    assert np.allclose(first.probabilities, second.probabilities)


def test_labels_for_a_run_are_held_against_its_own(tmp_path):
    run = write_run(tmp_path / "run")
    truth = pd.DataFrame({"image_id": IMAGES, "label": ["nv", "mel"] * 12})
    truth.to_csv(tmp_path / "truth.csv", index=False)
    (system,) = find_systems([str(run)], split="auto", reader=TableReader(labels=str(tmp_path / "truth.csv")))
    assert system.sources[0]["labels"]["label"] == 6
    assert sum("gives the label" in text for text in system.cautions) == 1
    truth.assign(label="nv").to_csv(tmp_path / "truth.csv", index=False)
    with pytest.raises(UserError, match="contradicts 3 of 6 labels"):
        find_systems([str(run)], split="auto", reader=TableReader(labels=str(tmp_path / "truth.csv")))


def test_the_positive_class_comes_last_in_whatever_order_the_columns_stand(tmp_path):
    meta = {"classes": ["nv", "mel"], "loss": "CrossEntropy", "training_prior": [0.75, 0.25]}
    write_run(tmp_path / "old").joinpath("predictions", "meta.json").write_text(json.dumps(meta))
    for split in ("val", "test"):
        place = tmp_path / "old" / "predictions" / f"{split}.csv"
        table = pd.read_csv(place)
        table[[*table.columns[:-2], "prob_mel", "prob_nv"]].to_csv(place, index=False)
    old, new = align(find(tmp_path / "old", write_run(tmp_path / "new"), split="test"))
    for system in (old, new):
        assert system.tables[0].classes == system.selection.classes == ["nv", "mel"]
        assert system.tables[0].target.tolist() == [0, 1] * 3
    assert (old.tables[0].probabilities == new.tables[0].probabilities).all()
    assert old.training_prior == [0.75, 0.25]
    chosen, _ = align(find(tmp_path / "old", tmp_path / "new"), ["nv"])
    assert (chosen.tables[0].classes, chosen.training_prior) == (["mel", "nv"], [0.25, 0.75])


def test_a_run_records_the_positive_class_that_names_do_not_show(tmp_path):
    run = write_run(tmp_path / "run")
    for place in (run / "predictions").glob("*.csv"):
        place.write_text(place.read_text().replace("mel", "A").replace("nv", "B"))
    with pytest.raises(ValueError, match=r"set 'positive=\[B\]' or 'positive=\[A\]'"):
        align(find(run))
    (run / "predictions" / "meta.json").write_text(json.dumps({"classes": ["B", "A"], "positive": ["B"]}))
    assert align(find(run))[0].tables[0].classes == ["A", "B"]


@pytest.mark.parametrize("key", ["training_overlap", "seen"])  # "seen" is that of older tables
def test_the_training_images_of_a_table_are_those_of_its_meta_data(tmp_path, key):
    pd.DataFrame({"image_id": IMAGES[:2], "label": ["nv", "mel"], "prob_nv": 0.5, "prob_mel": 0.5}).to_csv(
        tmp_path / "p.csv", index=False
    )
    counts = {"images": 2, "train": 1, "val": 0, "group": 0}
    (tmp_path / "p.meta.json").write_text(json.dumps({"classes": ["nv", "mel"], key: counts}))
    (system,) = find(tmp_path / "p.csv")
    assert system.sources[0]["training_overlap"] == counts
