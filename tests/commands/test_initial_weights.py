"""Initial weights of a hub, from the command line to the report: found, checked, named with their licence."""

import json
import logging

import pytest
import torch
from safetensors.torch import save

from skinlab.cli.config import compose_settings
from skinlab.commands.predict import predict
from skinlab.commands.pretrain import pretrain
from skinlab.commands.train import train
from skinlab.errors import UserError
from skinlab.models.backbone import build_network
from skinlab.models.weights import read_checkpoint
from tests.hub_server import COMMIT, Hub

INIT = "hf-hub:clinic/net"
NETWORK = ["model=timm", "model.name=test_resnet", f"model.init={INIT}", "trainer.max_epochs=1"]
LIMITS = "licence cc-by-nc-4.0, which restricts commercial use"


@pytest.fixture
def weights(hub: Hub) -> dict[str, torch.Tensor]:
    """The tensors of a network in the hub, with timm's configuration and a card."""
    torch.manual_seed(7)
    state = build_network("test_resnet", 5).state_dict()
    config = {"architecture": "test_resnet", "pretrained_cfg": {"mean": [0.4] * 3, "std": [0.3] * 3}}
    hub.files["clinic/net"] = {
        "README.md": b"---\nlicense: cc-by-nc-4.0\n---\n",
        "config.json": json.dumps(config).encode(),
        "model.safetensors": save(state),
    }
    return state


def test_their_licence_is_shown_wherever_they_are_used(weights, tiny, phantom, compose_train, tmp_path, caplog):
    run_dir, table = tmp_path / "run", tmp_path / "p.csv"
    words = [each for each in tiny if each != "evidence=off"] + ["evidence.n_draws=100", "evidence.saliency=false"]
    with caplog.at_level(logging.INFO):
        train(compose_train(*words, *NETWORK, "finetune=linear_probe", run_dir=run_dir))
        assert f"initial weights {INIT}@{COMMIT}: {LIMITS}" in caplog.messages
        caplog.clear()
        image = next(phantom.rglob("*.jpg"))
        predict(compose_settings("predict", [f"ckpt={run_dir}", f"input={image}", f"output={table}"]))
        assert f"initial weights of test_resnet: {LIMITS}" in caplog.messages
    metrics = json.loads((run_dir / "metrics.json").read_text())
    assert (metrics["init_used"], metrics["init_licence"]) == (f"{INIT}@{COMMIT}", "cc-by-nc-4.0")
    assert (
        f"Licence of the initial weights: {LIMITS.removeprefix('licence ')}." in (run_dir / "report.html").read_text()
    )
    assert f"Licence of these weights: {LIMITS.removeprefix('licence ')}" in (run_dir / "model_card.md").read_text()
    assert json.loads((tmp_path / "p.meta.json").read_text())["init_licences"] == ["cc-by-nc-4.0"]

    checkpoint = read_checkpoint(run_dir / "checkpoints" / "best.ckpt")
    assert checkpoint["hyper_parameters"]["inputs"]["mean"] == pytest.approx([0.4] * 3)
    kept = {name.removeprefix("network."): value for name, value in checkpoint["state_dict"].items()}
    assert torch.equal(kept["layer1.0.conv1.weight"], weights["layer1.0.conv1.weight"]), (
        "a linear probe leaves the backbone as it was"
    )


def test_a_pretraining_starts_from_them_and_hands_the_licence_on(weights, tiny, compose_pretrain, tmp_path, caplog):
    words = [each for each in tiny if not each.startswith(("evidence", "trainer.max"))]
    pretrain(compose_pretrain(*words, *NETWORK, "ssl=simclr", "probe.every_n_epochs=0", run_dir=tmp_path / "ssl"))
    assert f"initial weights {INIT}@{COMMIT}: {LIMITS}" in caplog.messages
    record = json.loads((tmp_path / "ssl" / "backbone.json").read_text())
    assert (record["init_licence"], record["inputs"]["mean"]) == ("cc-by-nc-4.0", pytest.approx([0.4] * 3))


def test_weights_of_another_network_are_refused_before_the_data_are_read(
    weights, compose_train, compose_pretrain, hub, tmp_path
):
    wrong = ["data=ham10000", "data.root=/nowhere", f"model.init={INIT}", "model=resnet18"]
    message = f"model.init={INIT}: weights of test_resnet, not of resnet18; set model=timm model.name=test_resnet"
    for command, compose in ((train, compose_train), (pretrain, compose_pretrain)):
        with pytest.raises(UserError, match=message):
            command(compose(*wrong, run_dir=tmp_path / "run"))
    hub.files["clinic/dino"] = {"config.json": b'{"model_type": "dinov2"}', "model.safetensors": save(weights)}
    with pytest.raises(UserError, match="dinov2 in the layout of the library transformers, where CLIP alone"):
        train(compose_train(*wrong[:2], "model.init=hf-hub:clinic/dino", run_dir=tmp_path / "run"))


@pytest.mark.parametrize("name", ["damaged.ckpt", "damaged.safetensors"])
def test_damaged_weights_are_refused_before_the_data_are_read(compose_train, tmp_path, name):
    (tmp_path / name).write_bytes(b"PK\x03\x04 and then nothing more")
    given = ["data=ham10000", "data.root=/nowhere", f"model.init={tmp_path / name}"]
    with pytest.raises(UserError, match=rf"model\.init=.*{name}: .*(damaged|not a readable safetensors file)"):
        train(compose_train(*given, run_dir=tmp_path / "run"))


def test_a_downloaded_repository_is_taken_as_a_folder(weights, hub, tiny, compose_train, tmp_path, caplog):
    folder = tmp_path / "net"
    folder.mkdir()
    for name, content in hub.files["clinic/net"].items():
        if name != "README.md":
            (folder / name).write_bytes(content)
    given = [*tiny, *NETWORK, f"model.init={folder}"]
    train(compose_train(*given, run_dir=tmp_path / "run"))
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["init_used"] == str(folder / "model.safetensors")
    assert "init_licence" not in metrics
    assert not hub.requests
