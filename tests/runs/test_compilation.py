"""A network is compiled as set, or with ``auto`` where a measurement says that it pays."""

import copy
import logging

import pytest
import torch

from skinlab.errors import UserError
from skinlab.models.backbone import build_network
from skinlab.runs import compilation
from skinlab.runs.compilation import Speed, check_compiler, compile_network, measure_speed


@pytest.fixture
def settings(compose_train, tiny, tmp_path):
    def make(*overrides):
        return compose_train(*tiny, f"data.cache_dir={tmp_path / 'cache'}", "model.compile=auto", *overrides)

    return make


@pytest.fixture
def network():
    return build_network("test_resnet", 2)


@pytest.fixture
def measured(monkeypatch):
    """What is measured without measuring: an hour of eager steps a thousand, of which compiling saves a tenth."""
    found = []

    def measure(network, images, precision):
        found.append((len(images), precision))
        return Speed(eager=3.6, compiled=3.2, compiling=100.0)

    monkeypatch.setattr(compilation, "measure_speed", measure)
    monkeypatch.setattr(compilation, "_eager_step", lambda *_: 3.6)
    monkeypatch.setattr(compilation, "compiler_fault", lambda *, gpu: "")
    return found


@pytest.fixture(autouse=True)
def leaves_the_random_numbers_alone(network):
    state = torch.get_rng_state()
    yield
    assert torch.equal(torch.get_rng_state(), state)


def decided(settings, network, n_batches, precision="32-true"):
    return compile_network(settings, network, precision=precision, n_batches=n_batches).model.compile


def is_compiled(network):
    return network._compiled_call_impl is not None


def test_false_and_true_do_as_they_say(settings, network):
    assert decided(settings("model.compile=false"), network, 10**6) is False
    assert not is_compiled(network)
    assert decided(settings("model.compile=true"), network, 1) is True
    assert is_compiled(network)


@pytest.mark.parametrize(("n_batches", "pays"), [(120, False), (130, True)])
def test_auto_compiles_where_the_run_saves_more_than_compiling_takes(settings, network, measured, n_batches, pays):
    """Of two epochs: 100 s of compiling are 250 steps that save 0.4 s each."""
    assert decided(settings(), network, n_batches) is pays
    assert is_compiled(network) is pays


def test_a_gain_within_the_spread_of_measurements_is_none():
    assert not Speed(eager=1.0, compiled=0.96, compiling=1.0).pays(10**6)
    assert Speed(eager=1.0, compiled=0.94, compiling=1.0).pays(10**6)


def test_a_short_training_is_not_compiled_whether_or_not_another_was_measured():
    assert not Speed(eager=1.0, compiled=0.1, compiling=1.0).pays(500)


def test_what_was_measured_is_kept_for_runs_of_the_same_kind(settings, network, measured):
    for _ in range(2):
        assert decided(settings("seed=3"), network, 1000)
    assert decided(settings(), network, 100) is False
    assert measured == [(16, "32-true")]
    decided(settings(), network, 1000, precision="bf16-mixed")
    decided(settings("data.batch_size=8"), network, 1000)
    decided(settings("model=resnet34"), network, 1000)
    decided(settings("data.cache_dir=null"), network, 1000)
    decided(settings("data.cache_dir=null"), network, 1000)
    assert len(measured) == 6


def test_a_damaged_measurement_is_made_again(settings, network, measured, tmp_path, caplog):
    decided(settings(), network, 1000)
    (path,) = (tmp_path / "cache").glob("compile-*.bin")
    path.write_bytes(path.read_bytes()[:-1] + b"0")
    assert decided(settings(), network, 1000)
    assert len(measured) == 2
    assert "is damaged" in caplog.text
    decided(settings(), network, 1000)
    assert len(measured) == 2


def test_a_short_training_is_not_measured(settings, network, measured):
    assert decided(settings("trainer.limit_train_batches=5"), network, 1000) is False
    assert not measured


def test_without_a_compiler_auto_does_without_and_true_is_refused(settings, network, monkeypatch, caplog):
    def fail(function):
        raise RuntimeError("InvalidCxxCompiler: no working compiler\n\nSet TORCHDYNAMO_VERBOSE=1")

    monkeypatch.setattr(torch, "compile", fail)
    monkeypatch.setattr(compilation, "_eager_step", lambda *_: 3.6)
    reason = r"torch can't compile on this machine \(InvalidCxxCompiler: no working compiler\); install g\+\+"
    check_compiler(settings())
    with caplog.at_level(logging.WARNING):
        assert decided(settings(), network, 1000) is False
    assert len(caplog.messages) == 1
    assert not is_compiled(network)
    with pytest.raises(UserError, match=rf"^model\.compile=true: {reason}.*, or set model\.compile=false$"):
        check_compiler(settings("model.compile=true"))


def test_a_measurement_of_another_machine_needs_a_compiler_here(settings, network, measured, monkeypatch, caplog):
    assert decided(settings(), network, 1000)
    monkeypatch.setattr(compilation, "compiler_fault", lambda *, gpu: "no compiler")
    assert decided(settings(), copy.deepcopy(network), 1000) is False
    assert "no compiler" in caplog.text


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a CUDA device")
def test_cuda_graphs_need_a_gpu(settings):
    with pytest.raises(UserError, match="cuda_graphs: this machine has no CUDA device"):
        check_compiler(settings("trainer=auto", "model.compile=cuda_graphs"))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model.compile=cuda_graphs"], "the processor has none"),
        (["model.compile=cuda_graphs", "trainer=gpu", "trainer.accumulate_grad_batches=2"], "overwrites the gradients"),
        (["model.compile=cuda_graphs", "trainer=gpu", "semi=fixmatch"], "it is for one pass a step"),
        (["trainer=ddp"], "model.compile=auto: it is for one device"),
        (["trainer.devices=[0,1]"], "model.compile=auto: it is for one device"),
        (["model.compile=fast"], "model.compile=fast: .*auto.*cuda_graphs"),
    ],
)
def test_what_does_not_go_together_is_refused(settings, overrides, message):
    with pytest.raises(UserError, match=message):
        settings(*overrides)


def test_a_pretraining_has_no_cuda_graphs(compose_pretrain, tiny):
    words = [word for word in tiny if word not in ("evidence=off", "trainer=cpu")]
    with pytest.raises(UserError, match=r"cuda_graphs: it is for skinlab\.train"):
        compose_pretrain(*words, "ssl=simclr", "trainer=gpu", "model.compile=cuda_graphs")


@pytest.mark.slow
def test_measuring_leaves_the_network_alone(network):
    before = copy.deepcopy(network.state_dict())
    speed = measure_speed(network, torch.full((4, 3, 32, 32), 0.5), "32-true")
    assert min(speed) > 0
    assert not is_compiled(network)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name
