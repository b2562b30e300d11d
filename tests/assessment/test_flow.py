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
