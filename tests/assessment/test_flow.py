import json

import pandas as pd

from skinlab.assessment.flow import image_flow
from skinlab.assessment.systems import find_systems
from skinlab.report.flow import flow_sentences
from tests.assessment.test_systems import write_run


def test_a_run_tells_what_was_found_left_out_and_split(tmp_path):
    run = write_run(tmp_path / "run")
    bad = [{"image_id": "x", "path": "x.jpg", "reason": "truncated"}] * 2
    audit = {"images": 26, "kept": 24, "bad_images": bad, "not_in_table": ["y"], "other_formats": []}
    (run / "audit.json").write_text(json.dumps(audit))
    flow = image_flow(find_systems([str(run)], split="test")[0])
    assert (flow["found"], flow["left_out"], flow["kept"]) == (27, {"truncated": 2, "not in the table": 1}, 24)
    assert [(part["name"], part["images"], part["evaluated"]) for part in flow["parts"]] == [
        ("train", 12, False),
        ("val", 6, False),
        ("test", 6, True),
    ]
    assert sum(flow["parts"][2]["classes"].values()) == 6
    first, *others = flow_sentences(flow)
    assert first == "27 images found; 2 left out (truncated); 1 left out (not in the table); 24 kept."
    assert others[-1].startswith("test: 6 images, 6 groups (evaluated): ")


def test_pooled_folds_are_one_part(tmp_path):
    for fold in range(3):
        write_run(tmp_path / f"{fold}", fold=fold)
    flow = image_flow(find_systems([str(tmp_path)], split="auto")[0])
    assert [(part["name"], part["images"]) for part in flow["parts"]] == [
        ("cross-validation, 3 folds", 18),
        ("test", 6),
    ]
    assert flow["parts"][0]["evaluated"]


def test_a_table_tells_which_rows_were_left_out(tmp_path):
    table = pd.DataFrame({"image_id": range(9), "label": ["nv", "mel", "nv"] * 3, "prob_nv": 0.5, "prob_mel": 0.5})
    table.assign(split=["train"] * 2 + ["val"] * 3 + ["test"] * 4).to_csv(tmp_path / "p.csv", index=False)
    flow = image_flow(find_systems([str(tmp_path / "p.csv")], split="auto")[0])
    assert (flow["found"], flow["left_out"], flow["kept"]) == (9, {"of split train": 2}, 7)
    assert [(part["name"], part["images"]) for part in flow["parts"]] == [("val (thresholds)", 3), ("test", 4)]


def test_images_that_the_pool_leaves_out_are_counted_and_all_numbers_add_up(tmp_path):
    run = write_run(tmp_path / "run")
    rows = pd.read_csv(run / "split.csv", dtype=str, keep_default_na=False)
    pool = rows.head(5).assign(image_id=[f"p{i}" for i in range(5)], label="", split="pool")
    pd.concat([rows, pool]).to_csv(run / "split.csv", index=False)
    audit = {"images": 29, "kept": 29, "bad_images": [], "not_in_table": [], "other_formats": []}
    audit["pool"] = {"images": 5, "held_out_groups": 2, "copies": 1}
    (run / "audit.json").write_text(json.dumps(audit))
    flow = image_flow(find_systems([str(run)], split="test")[0])
    assert flow["found"] - sum(flow["left_out"].values()) == flow["kept"] == sum(p["images"] for p in flow["parts"])
    part = flow["parts"][-1]
    assert part["left_out"] == {"of groups in validation or test": 2, "copies of other pool images": 1}
    assert flow_sentences(flow)[-1].endswith(
        "without a label 5; 2 of groups in validation or test and 1 copies of other pool images: never trained on; "
        "2 left."
    )
