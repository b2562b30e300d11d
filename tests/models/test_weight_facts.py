"""Licence, mean and std of initial weights: read from files, kept in runs and bundles, named before sharing."""

import json

import pytest
import torch
from safetensors.torch import save_file

from skinlab.errors import UserError
from skinlab.models.backbone import build_network
from skinlab.models.weight_facts import WeightFacts, read_weight_facts

MEAN, STD = (0.48, 0.46, 0.41), (0.27, 0.26, 0.28)  # about CLIP's, not ImageNet's
TENSORS = {"weight": torch.zeros(2)}


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({}, WeightFacts()),
        ({"license": "CC BY-NC-ND 4.0"}, WeightFacts("CC BY-NC-ND 4.0")),
        (
            {"licence": '"mit"', "normalisation": json.dumps([{"mean": MEAN, "std": STD}])},
            WeightFacts("mit", MEAN, STD),
        ),
        (
            {"skinlab": json.dumps({"init_licence": "apache-2.0", "inputs": {"mean": MEAN, "std": STD}})},
            WeightFacts("apache-2.0", MEAN, STD),
        ),
    ],
)
def test_metadata_of_safetensors(tmp_path, metadata, expected):
    save_file(TENSORS, tmp_path / "w.safetensors", metadata | {"format": "pt"})
    assert read_weight_facts(tmp_path / "w.safetensors") == expected


def test_settings_of_a_checkpoint(tmp_path):
    settings = {"licence": "mit", "inputs": {"mean": list(MEAN), "std": list(STD)}}
    torch.save({"state_dict": TENSORS, "hyper_parameters": settings}, tmp_path / "w.ckpt")
    assert read_weight_facts(tmp_path / "w.ckpt") == WeightFacts("mit", MEAN, STD)
    settings["inputs"]["colour_constancy"] = "shades_of_gray"
    torch.save({"state_dict": TENSORS, "hyper_parameters": settings}, tmp_path / "w.ckpt")
    assert read_weight_facts(tmp_path / "w.ckpt") == WeightFacts("mit", MEAN, STD, "shades_of_gray")
    torch.save(TENSORS, tmp_path / "w.pth")
    assert read_weight_facts(tmp_path / "w.pth") == WeightFacts()


@pytest.mark.parametrize("std", [[0.2, 0.2], [0.2, 0.2, 0.0], [0.2, 0.2, float("nan")], "large", [[0.2], [0.2], [0.2]]])
def test_a_std_that_is_not_three_positive_numbers_is_refused(tmp_path, std):
    record = json.dumps({"inputs": {"mean": MEAN, "std": std}})
    save_file(TENSORS, tmp_path / "w.safetensors", {"skinlab": record})
    with pytest.raises(UserError, match=r"w\.safetensors records mean=.*write the file again"):
        read_weight_facts(tmp_path / "w.safetensors")


def test_they_travel_from_a_file_through_run_and_bundle(tiny, compose_train, tmp_path, caplog):
    from skinlab.cli.config import compose_settings
    from skinlab.commands.bundle import bundle
    from skinlab.commands.train import train
    from skinlab.inference.bundle import load_bundle

    weights, run_dir = tmp_path / "clip.safetensors", tmp_path / "run"
    metadata = {"license": "cc-by-nc-nd-4.0", "normalisation": json.dumps([{"mean": MEAN, "std": STD}])}
    save_file(build_network("test_resnet", 2).state_dict(), weights, metadata)
    given = [*tiny, "model=timm", "model.name=test_resnet", f"model.init={weights}", "trainer.max_epochs=1"]
    train(compose_train(*given, run_dir=run_dir))
    assert json.loads((run_dir / "metrics.json").read_text())["init_licence"] == "cc-by-nc-nd-4.0"

    bundle(compose_settings("bundle", [f"ckpt={run_dir}", f"output={tmp_path / 'm.bundle'}", "gate=none"]))
    limits = "which restricts commercial use and sharing a model trained from them"
    assert f"initial weights of test_resnet: licence cc-by-nc-nd-4.0, {limits}" in caplog.text
    (member,) = load_bundle(tmp_path / "m.bundle").members
    assert member.licence == "cc-by-nc-nd-4.0"
    assert tuple(member.classifier.hparams["inputs"]["mean"]) == MEAN
    torch.testing.assert_close(member.classifier.normalise.std.flatten() / 255, torch.tensor(STD))

    exported = tmp_path / "m.safetensors"
    bundle(compose_settings("bundle", [f"ckpt={run_dir}", f"output={exported}", "format=safetensors"]))
    assert read_weight_facts(exported) == WeightFacts("cc-by-nc-nd-4.0", MEAN, STD)
