import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from skinlab.data.datamodule import SkinDataModule, loading_processes
from skinlab.data.pool import UNLABELED
from skinlab.data.readers.ham10000 import read_ham10000
from skinlab.data.readers.images import read_images
from skinlab.data.transforms import heavy
from skinlab.data.views import ssl_default, ssl_derm
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


def test_budgets_and_the_pool_share_one_cache_on_disk(build, tmp_path):
    full, budgeted = build(cache="disk"), build(cache="disk", label_budget=0.3)
    for module in (full, budgeted):
        module.dataset("train")
    plain = next(iter(build(label_budget=0.3).pool_loader()))
    assert all(torch.equal(plain[name], value) for name, value in next(iter(budgeted.pool_loader())).items())
    assert len(list(tmp_path.glob("*.u8"))) == 1


def test_inference_shows_training_images_as_they_are(build):
    plain, augmented = build(), build(transform=heavy)
    a, b = (next(iter(module.inference_loader("train"))) for module in (plain, augmented))
    assert torch.equal(a["image"], b["image"])
    assert not torch.equal(a["image"], augmented.dataset("train").batch(a["row"].tolist())["image"])


def test_prior_follows_the_sampler(build):
    assert build(power=1.0).training_prior() == pytest.approx([0.5, 0.5])
    counts = build().class_counts()
    assert build().training_prior() == pytest.approx([n / sum(counts) for n in counts])


def test_prior_of_balanced_sources_is_that_of_the_draws(build, monkeypatch):
    module = build(power=0.0, by_source=True)
    rows = module.rows("train")
    first = rows["label"] == module.prepared.classes[0]
    rows["source"] = np.where(first & (np.arange(len(rows)) % 2 == 0), "a", "b")
    monkeypatch.setattr(module, "rows", lambda split: rows)
    inside = (first & (rows["source"] == "b")).sum() / (rows["source"] == "b").sum()
    assert module.training_prior() == pytest.approx([(1 + inside) / 2, (1 - inside) / 2])
    drawn = rows["source"][[draw.row for draw in module.train_dataloader().sampler]]
    assert (drawn == "a").mean() == pytest.approx(0.5, abs=0.2)


@pytest.mark.parametrize(("source", "reason"), [("", "no image has a source"), ("x", "have the source x")])
def test_balanced_sources_need_two(build, monkeypatch, source, reason):
    module = build(by_source=True)
    rows = module.rows("train").assign(source=source)
    monkeypatch.setattr(module, "rows", lambda split: rows)
    with pytest.raises(UserError, match=f"sampler=source: .*{reason}; use another sampler"):
        module.training_prior()


def test_domains_are_numbered_as_in_training_and_counted_by_class(build):
    module = build(domain="sex")
    rows, of = module.rows("train"), {}
    for split, loader in (("train", module.train_dataloader()), ("val", module.val_dataloader())):
        for batch in loader:
            for sex, number in zip(
                module.rows(split)["sex"].iloc[batch["row"].numpy()], batch["domain"].tolist(), strict=True
            ):
                assert of.setdefault(sex, number) == number
    assert "domain" not in module.dataset("train", plain=True)[0]
    counts = rows.groupby("sex", sort=False)["label"].value_counts().unstack(fill_value=0)[module.prepared.classes]
    assert module.group_counts() == counts.to_numpy().ravel().tolist()
    with pytest.raises(UserError, match=r"loss\.domain=artefact: the data has no such column; it has image_id"):
        build(domain="artefact").train_dataloader()


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


def test_pretraining_visits_every_row_it_may_once_an_epoch(build):
    module = build(transform=ssl_derm, label_budget=0.3, batch_size=8, seed=3)
    manifest = module.prepared.manifest
    for pool, splits in (("all", ["train", "pool"]), ("pool", ["pool"]), ("train", ["train"])):
        rows = module.pool_rows(pool)
        assert rows["image_id"].tolist() == manifest["image_id"][manifest["split"].isin(splits)].tolist()
        seen = torch.cat([batch["row"] for batch in module.pretrain_loader(pool)])
        assert len(seen.unique()) == len(seen) == len(rows) // 8 * 8
    batch = next(iter(module.pretrain_loader(n_small=2, small_size=16, lesion_pairs=0.5)))
    assert [tuple(view.shape[1:]) for view in batch["views"]] == [(3, 32, 32)] * 2 + [(3, 16, 16)] * 2


def test_processes_share_the_pretraining_rows(build):
    seen = []
    for rank in range(2):
        module = build(transform=ssl_derm, batch_size=4)
        module.trainer = type("T", (), {"global_rank": rank, "world_size": 2})()
        seen += [row for batch in module.pretrain_loader() for row in batch["row"].tolist()]
    assert len(set(seen)) == len(seen) >= len(module.pool_rows()) - 8


def test_the_pool_comes_weak_and_strong_with_its_hidden_truth_apart(build):
    module = build(label_budget=0.3, batch_size=4)
    pool = module.pool_rows(UNLABELED)
    batch = next(iter(module.pool_loader(ratio=3)))
    assert set(batch) == {"weak", "strong", "row"}
    assert batch["weak"].shape == batch["strong"].shape == (12, 3, 32, 32)
    assert not torch.equal(batch["weak"], batch["strong"])
    names = [module.prepared.classes[target] for target in module.hidden_targets(batch["row"])]
    assert names == pool["hidden_label"].iloc[batch["row"].tolist()].tolist()


def test_what_is_not_hidden_is_unknown(tmp_path):
    module = images_only(tmp_path)
    assert module.hidden_targets(torch.arange(3)).tolist() == [-1, -1, -1]


def images_only(folder, **settings) -> SkinDataModule:
    """Six images without labels, the last a copy of the first."""
    for number in range(6):
        coarse = np.random.default_rng(number % 5).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((40, 40), Image.Resampling.BICUBIC).save(folder / f"{number}.png")
    common = {"image_size": 32, "num_workers": 0, "batch_size": 2, "transform": ssl_default, "unlabeled_ok": True}
    return SkinDataModule(lambda: read_images(folder), **common | settings)


def test_a_folder_of_images_pretrains_without_its_copies(tmp_path):
    module = images_only(tmp_path)
    assert module.pool_rows()["image_id"].tolist() == ["0.png", "1.png", "2.png", "3.png", "4.png"]
    assert len(list(module.pretrain_loader())) == 2


@pytest.mark.parametrize(
    ("settings", "arguments", "complaint"),
    [
        ({"transform": None}, {}, "set views=ssl_derm"),
        ({"transform": heavy}, {"n_small": 2}, "no small views"),
        ({}, {"pool": "train"}, "no such image is left"),
        ({"batch_size": 6}, {}, "5 images a process are less than a batch of 6"),
    ],
)
def test_a_pretraining_that_can_not_be_is_refused_in_one_line(tmp_path, settings, arguments, complaint):
    with pytest.raises(UserError, match=complaint) as raised:
        images_only(tmp_path, **settings).pretrain_loader(**arguments)
    assert "\n" not in str(raised.value)


def test_semi_supervision_without_a_pool_is_refused(build):
    with pytest.raises(UserError, match=r"hide labels by data\.label_budget"):
        build().pool_loader()


def test_loading_processes_leave_a_core(monkeypatch):
    monkeypatch.setattr("skinlab.data.datamodule.available_cores", lambda: 2)
    assert loading_processes("auto") == 1
    assert loading_processes(3) == 3
