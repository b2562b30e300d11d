"""From a model of a fold to pseudo-labels, and to the runs that may and may not use them."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from skinlab.cli.api import run
from skinlab.errors import UserError

SEVEN = ["akiec", "bcc", "bkl", "df", "mel", "nv", "vasc"]


@pytest.fixture
def audited(phantom: Path, shared_tmp: Path, tmp_path: Path) -> Callable[..., Path]:
    """Audit the phantom with half of its labels hidden in a fold; return the directory with its split."""

    def start(name: str, *overrides: str) -> Path:
        words = ["data=ham10000", f"data.root={phantom}", f"data.cache_dir={shared_tmp / 'cache'}", "data.n_folds=2"]
        words += ["data.label_budget=0.5", "data.num_workers=0", f"hydra.run.dir={tmp_path / name}"]
        return run("audit", [*words, *overrides]).path

    return start


@pytest.mark.parametrize("unknown", [False, True])
def test_pseudo_labels_are_for_the_fold_of_their_model(audited, save_classifier, phantom, tmp_path, unknown, caplog):
    model = audited("model", "data.fold=0")
    save_classifier(model / "checkpoints" / "best.ckpt", SEVEN)
    init = {"init": "old.ckpt" if unknown else "random"}
    (model / "config.yaml").write_text(json.dumps({"model": init}))
    (model / "metrics.json").write_text("{}")
    pseudo = tmp_path / "pseudo.csv"
    words = [f"ckpt={model}", f"input={phantom}", f"output={pseudo}", "format=labels", "num_workers=0", "device=cpu"]
    with pytest.raises(
        UserError, match=r"confidence=1: none of \d+ images is labelled, the largest probability is 0\."
    ):
        run("predict", [*words, "confidence=1"])
    classes = "akiec, bcc, bkl, df, mel, nv, vasc"
    with pytest.raises(UserError, match=rf"confidence={{mell: 0.8}}: mell is no class of the model: .* {classes}"):
        run("predict", [*words, "confidence={mell: 0.8}"])
    caplog.set_level("INFO")
    run("predict", [*words, "confidence=0.05"])
    table = pd.read_csv(pseudo)
    assert f"{len(table)} pseudo-labels: akiec {(table['label'] == 'akiec').sum()}, " in caplog.text
    assert " that the model knows from its training are left out" in caplog.text
    missing = [name for name in SEVEN if name not in set(table["label"])]
    assert not missing or f"no image is labelled {' or '.join(missing)}: " in caplog.text
    assert list(table.columns) == ["image_id", "label", "confidence", "path", "labelled_by"]
    split = pd.read_csv(model / "split.csv", keep_default_na=False).set_index("image_id")["split"]
    names = [Path(each).stem for each in table["image_id"]]
    assert not {"train", "val"} & set(split[names])
    assert "pool" in set(split[names])
    if unknown:
        with pytest.raises(UserError, match=r"whose training images are not all known \(.*old.ckpt"):
            audited("run", "data.fold=0", f"data.labels={pseudo}")
        return
    own = audited("own", "data.fold=0", f"data.labels={pseudo}")
    rows = pd.read_csv(own / "split.csv", keep_default_na=False).set_index("image_id")
    joined = rows[rows["answered"]]  # the pool's; wrong labels of the test part change nothing
    assert set(joined.index) == {name for name in names if split[name] == "pool"}
    assert set(joined["split"]) == {"train"}
    labels = dict(zip(names, table["label"], strict=True))
    assert joined["label"].to_dict() == {name: labels[name] for name in joined.index}
    assert (rows["label"] != "").sum() > len(joined)
    for other in (["data.fold=1"], ["data.fold=0", "data.split_seed=1"]):
        with pytest.raises(UserError, match=r"the model of these pseudo-labels was trained on .* val images"):
            audited("other", *other, f"data.labels={pseudo}")
