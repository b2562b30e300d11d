import pandas as pd
import pytest
import torch

from skinlab.data.datamodule import SkinDataModule, loading_processes
from skinlab.data.readers.ham10000 import read_ham10000
from skinlab.errors import UserError

MERGED = {"mel": "malignant", "bcc": "malignant", "akiec": "malignant"}
MERGED |= {"nv": "benign", "bkl": "benign", "vasc": "benign", "df": "benign"}


@pytest.fixture
def build(phantom, tmp_path):
    def module(**settings):
        common = {"image_size": 32, "num_workers": 0, "cache_dir": tmp_path, "label_map": MERGED, "n_folds": 2}
        return SkinDataModule(lambda: read_ham10000(phantom), **common | settings)

    return module


def test_loaders_serve_the_split(build):
    module = build()
    manifest = module.prepared.manifest
    for split in ("val", "test"):
        rows = torch.cat([batch["row"] for batch in module.inference_loader(split)])
        assert rows.tolist() == list(range((manifest["split"] == split).sum()))
    targets = torch.cat([batch["target"] for batch in module.val_dataloader()])
    assert torch.bincount(targets).tolist() == module.class_counts("val")


@pytest.mark.parametrize("cache", ["ram", "disk"])
def test_a_cache_changes_nothing_and_serves_every_fold(build, cache):
    for fold in (0, 1):
        plain, cached = build(fold=fold), build(fold=fold, cache=cache)
        for split in ("train", "val", "test"):
            a, b = (list(module.inference_loader(split)) for module in (plain, cached))
            assert all(torch.equal(x["image"], y["image"]) for x, y in zip(a, b, strict=True))


def test_prior_follows_the_sampler(build):
    assert build(power=1.0).training_prior() == pytest.approx([0.5, 0.5])
    counts = build().class_counts()
    assert build().training_prior() == pytest.approx([n / sum(counts) for n in counts])


def test_counts_flow_from_the_manifest(build):
    module = build()
    rows = module.prepared.manifest.query("split == 'train'")
    assert module.class_counts() == [(rows["label"] == name).sum() for name in ("benign", "malignant")]


def test_a_table_without_validation_rows_is_refused(tmp_path):
    frame = pd.DataFrame({"image_id": ["a"], "path": ["a"], "label": ["x"], "split": ["train"]})
    module = SkinDataModule(lambda: frame, image_size=32)
    module._prepared = type("P", (), {"manifest": frame})()
    with pytest.raises(UserError, match="no val rows"):
        module.setup("fit")


@pytest.mark.parametrize("wrong", [{"image_size": 0}, {"batch_size": 0}, {"cache": "rma"}, {"num_workers": -1}])
def test_wrong_settings_are_refused(build, wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        build(**wrong)


def test_loading_processes_leave_a_core(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    assert loading_processes("auto") == 1
    assert loading_processes(3) == 3
