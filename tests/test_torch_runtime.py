"""The PyTorch adapter: really on the CPU; on NPU and GPU the order of calls, with doubles."""

import contextlib
import copy
import os
import random
import socket
import subprocess
import sys
import textwrap
import types
import warnings
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from common.core.errors import InfrastructureError, UsageError, ZooError  # noqa: E402
from common.core.versions import version_numbers  # noqa: E402
from common.machine import precision as vocabulary  # noqa: E402
from common.training.torch import gradients, runtime  # noqa: E402
from common.training.torch import step as stepping  # noqa: E402

pytestmark = pytest.mark.pytorch
ROOT = Path(__file__).resolve().parents[1]
TORCH = version_numbers(str(torch.__version__))
new_torch = pytest.mark.skipif(TORCH < (2, 4), reason="what torch 2 brought")


def cpu_precision(mode="O0"):
    return vocabulary.resolve(mode, "torch", "cpu", runtime.capabilities("cpu"))


def precision_for(kind, mode, version, **able):
    return vocabulary.resolve(mode, "torch", kind, vocabulary.Capabilities(version, **able))


def small_network():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 1),
        torch.nn.BatchNorm2d(4),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(64, 5),
    )


def cpu_device(precision=None):
    return runtime.open_device("cpu", 0, precision or cpu_precision())


def batch():
    generator = torch.Generator().manual_seed(3)
    return torch.randn(6, 3, 4, 4, generator=generator), torch.arange(6) % 5


def stepper_on_cpu(mode="O0", **options):
    precision = cpu_precision(mode)
    device = cpu_device(precision)
    network = runtime.place_model(small_network(), device, precision)
    optimizer = stepping.make_sgd(
        device,
        precision,
        network.parameters(),
        lr=0.1,
        momentum=0.9,
        weight_decay=1e-4,
        nesterov=True,
    )
    return stepping.make_stepper(network, optimizer, device, precision, **options)


def train(stepper, steps=4):
    images, labels = batch()
    losses = []
    for _ in range(steps):
        stepper.zero_grad()
        with stepper.forward_context():
            loss = torch.nn.functional.cross_entropy(stepper.model(images), labels)
        health = stepper.step(loss)
        losses.append(loss.item())
    return losses, health


# --- the CPU, for real -----------------------------------------------------------------------


def test_training_on_a_cpu_learns_without_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        losses, health = train(stepper_on_cpu(), steps=8)
    assert losses[-1] < 0.5 * losses[0]
    assert (health.skipped, health.loss_scale) == (False, 1.0)


@pytest.mark.skipif(TORCH < (1, 10), reason="bfloat16 autocast came with torch 1.10")
def test_bfloat16_computes_in_bfloat16_and_keeps_float32_weights():
    stepper = stepper_on_cpu("mixed_bfloat16")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        losses, _ = train(stepper, steps=8)
    with stepper.forward_context():
        assert stepper.model(batch()[0]).dtype == torch.bfloat16
    assert {weight.dtype for weight in stepper.module.parameters()} == {torch.float32}
    assert losses[-1] < 0.5 * losses[0]


def test_float32_forward_is_float32():
    stepper = stepper_on_cpu()
    with stepper.forward_context():
        assert stepper.model(batch()[0]).dtype == torch.float32


def test_make_sgd_is_the_plain_formula():
    expected, network = small_network(), small_network()
    plain = torch.optim.SGD(
        expected.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-2, nesterov=True
    )
    fast = stepping.make_sgd(
        cpu_device(),
        cpu_precision(),
        network.parameters(),
        lr=0.1,
        momentum=0.9,
        weight_decay=1e-2,
        nesterov=True,
    )
    images, labels = batch()
    for _ in range(5):
        for model, optimizer in ((expected, plain), (network, fast)):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(images), labels).backward()
            optimizer.step()
    for one, other in zip(expected.parameters(), network.parameters()):
        torch.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6) if TORCH < (
            2,
        ) else torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_gradients_are_clipped_by_their_global_norm():
    stepper = stepper_on_cpu(max_gradient_norm=0.01)
    train(stepper, steps=1)
    norms = [weight.grad.norm() for weight in stepper.module.parameters()]
    assert torch.stack(norms).norm().item() == pytest.approx(0.01, rel=1e-3)


def test_zero_grad_drops_the_gradients():
    stepper = stepper_on_cpu()
    train(stepper, steps=1)
    stepper.zero_grad()
    assert all(weight.grad is None for weight in stepper.module.parameters())


def test_random_states_can_be_set_back():
    import numpy

    device = cpu_device()
    runtime.seed_everything(7, device)
    state = copy.deepcopy(runtime.rng_state(device))
    first = (random.random(), numpy.random.rand(), torch.rand(1).item())
    runtime.set_rng_state(state, device)
    assert (random.random(), numpy.random.rand(), torch.rand(1).item()) == first


@pytest.mark.parametrize("kind, restored", [("cpu", True), ("npu", False)])
def test_a_devices_random_state_goes_to_no_other_kind(kind, restored, monkeypatch):
    seen = []
    device = cpu_device()
    state = dict(runtime.rng_state(device), device_kind=kind, device=torch.zeros(3))
    monkeypatch.setattr(
        runtime, "_device_module", lambda device: types.SimpleNamespace(set_rng_state=seen.append)
    )
    runtime.set_rng_state(state, device)
    assert bool(seen) is restored


def test_a_scaler_takes_what_it_knows_of_another_kinds_state():
    loaded = []
    scaler = types.SimpleNamespace(
        state_dict=lambda: {"scale": 2.0, "dynamic": True}, load_state_dict=loaded.append
    )
    scaling = gradients._GradScalerScaling(None, None, scaler, None, None)
    scaling.load_state_dict({"scale": 8.0, "growth_tracker": 1})
    assert loaded == [{"scale": 8.0, "dynamic": True}]


def test_the_same_seed_draws_the_same_numbers():
    import numpy

    draws = []
    for _ in range(2):
        runtime.seed_everything(11, cpu_device())
        draws.append((random.random(), numpy.random.rand(), torch.rand(1).item()))
    assert draws[0] == draws[1]


def test_random_states_are_plain_values_and_tensors():
    def plain(value):
        if isinstance(value, (list, tuple)):
            return all(plain(item) for item in value)
        return value is None or type(value) in (int, float, str) or torch.is_tensor(value)

    assert all(plain(value) for value in runtime.rng_state(cpu_device()).values())


def test_the_peak_of_memory_is_in_bytes():
    assert 10e6 < runtime.memory_peak(cpu_device()) < 1e12


def test_the_device_part_of_a_record():
    record = cpu_device().as_record(ranks=2)
    assert (record["kind"], record["count"]) == ("cpu", 2)
    assert record["framework"] == f"torch {torch.__version__}"
    assert set(record) == {"kind", "name", "count", "driver", "runtime", "framework", "python"}


def test_the_proof_counts_the_parameters_on_the_device():
    device = cpu_device()
    assert runtime.proof(device, small_network()).startswith("6 parameter tensors on cpu (")


def test_the_proof_fails_where_a_parameter_is_elsewhere():
    network = torch.nn.Linear(2, 2)
    network.weight = torch.nn.Parameter(torch.zeros(2, 2, device="cpu"))
    device = runtime.TorchDevice("gpu", 0, "cuda:0", "a GPU", 1, "", "", "")
    with pytest.raises(ZooError, match="2 of 2 parameter tensors are on cpu"):
        runtime.proof(device, network)


def test_a_precision_for_another_device_is_a_programming_error():
    with pytest.raises(ValueError, match="for cpu on gpu"):
        runtime.open_device("gpu", 0, cpu_precision())


def test_a_checkpoint_with_another_loss_scale_is_refused():
    stepper = stepper_on_cpu()
    stepper.load_state_dict(stepper.state_dict())
    with pytest.raises(ZooError, match="resume with the --precision_mode"):
        stepper.load_state_dict({"scaling": "grad_scaler", "state": {}})


def test_many_ranks_without_a_process_group_are_a_programming_error():
    with pytest.raises(ValueError, match="init_process_group comes before make_stepper"):
        stepper_on_cpu(world_size=2)


def test_the_module_imports_no_framework_by_itself():
    code = (
        "import sys, common.training.torch.runtime; print([n for n in ('torch', 'apex', "
        "'torch_npu') "
        "if n in sys.modules])"
    )
    assert run_python(code).strip() == "[]"


# --- ranks -----------------------------------------------------------------------------------


def run_python(code, *arguments, **variables):
    environment = dict(os.environ, PYTHONPATH=str(ROOT), **variables)
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=environment,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
    ).stdout


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return str(listener.getsockname()[1])


RANK = textwrap.dedent("""
    import sys, warnings
    import torch
    from common.training.torch import runtime, step as stepping
    from common.machine import precision
    torch.set_num_threads(1)
    rank, size, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    able = runtime.capabilities("cpu")
    wanted = precision.resolve("O0", "torch", "cpu", able)
    device = runtime.open_device("cpu", 0, wanted)
    warnings.simplefilter("error")
    if size > 1:
        runtime.init_process_group(device, rank, size, timeout_seconds=60)
    runtime.seed_everything(5, device)
    network = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.Tanh(), torch.nn.Linear(16, 3))
    network = runtime.place_model(network, device, wanted)
    optimizer = stepping.make_sgd(device, wanted, network.parameters(), 0.1, 0.9, 1e-4, True)
    stepper = stepping.make_stepper(network, optimizer, device, wanted, size)
    generator = torch.Generator().manual_seed(1)
    for _ in range(5):
        inputs = torch.randn(8, 8, generator=generator)
        labels = torch.randint(0, 3, (8,), generator=generator)
        share = slice(rank * 8 // size, (rank + 1) * 8 // size)
        stepper.zero_grad()
        with stepper.forward_context():
            outputs = stepper.model(inputs[share])
            loss = torch.nn.functional.cross_entropy(outputs, labels[share])
        stepper.step(loss)
    torch.save(stepper.module.state_dict(), "{}/{}_of_{}.pt".format(folder, rank, size))
    runtime.leave_process_group()
    from common.core.command_line import run_program
    run_program(lambda argv: 0)
""")


def test_two_gloo_ranks_train_as_one_rank_with_the_whole_batch(tmp_path):
    run_python(RANK, "0", "1", str(tmp_path))
    environment = dict(
        os.environ, PYTHONPATH=str(ROOT), MASTER_ADDR="127.0.0.1", MASTER_PORT=free_port()
    )
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", RANK, str(rank), "2", str(tmp_path)], env=environment
        )
        for rank in range(2)
    ]
    assert [rank.wait(timeout=120) for rank in ranks] == [0, 0]
    alone, first, second = (
        torch.load(str(tmp_path / name)) for name in ("0_of_1.pt", "0_of_2.pt", "1_of_2.pt")
    )
    for name in alone:
        assert torch.equal(first[name], second[name])
        # Two half sums add in another order than one whole sum.
        assert (alone[name] - first[name]).abs().max().item() < 1e-5


def test_a_port_in_use_is_named_with_the_flag_that_changes_it(monkeypatch):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        port = listener.getsockname()[1]
        with pytest.raises(InfrastructureError) as caught:
            runtime.init_process_group(
                cpu_device(), 0, 2, f"tcp://127.0.0.1:{port}", timeout_seconds=5
            )
    assert str(caught.value) == (
        f"port {port} of 127.0.0.1 is in use by another program; give another --master_port"
    )


def test_ranks_that_do_not_come_are_told_in_one_line(monkeypatch):
    port = free_port()
    with pytest.raises(InfrastructureError) as caught:
        runtime.init_process_group(cpu_device(), 1, 2, f"tcp://127.0.0.1:{port}", timeout_seconds=1)
    assert "rank 1 of 2" in str(caught.value) and port in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_master_address_is_told_in_one_line(monkeypatch):
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    monkeypatch.delenv("MASTER_PORT", raising=False)
    with pytest.raises(InfrastructureError, match="--master_addr and --master_port"):
        runtime.init_process_group(cpu_device(), 0, 2, timeout_seconds=1)


@pytest.mark.parametrize("kind, backend", [("npu", "hccl"), ("gpu", "nccl"), ("cpu", "gloo")])
def test_the_backend_of_a_device(kind, backend):
    assert runtime.backend_for(kind) == backend


# --- doubles ---------------------------------------------------------------------------------


class Calls(list):
    """What was called, in order; .recorder(name) makes a function that notes its call."""

    def recorder(self, name, result=None):
        def note(*positional, **named):
            self.append((name, positional, named))
            return result(*positional, **named) if callable(result) else result

        return note

    @property
    def names(self):
        return [name for name, _, _ in self]

    def of(self, name):
        return next((positional, named) for called, positional, named in self if called == name)


class FakeScaler:
    """Scales by 4, and finds an overflow in every step where told to."""

    def __init__(self, calls, overflow=False):
        self.calls, self.overflow, self.current = calls, overflow, 4.0

    def scale(self, loss):
        self.calls.append(("scale", (), {}))
        return loss * self.current

    def unscale_(self, optimizer):
        self.calls.append(("unscale_", (), {}))

    def step(self, optimizer):
        self.calls.append(("scaler.step", (), {}))

    def update(self, new_scale=None):
        self.calls.append(("update", (new_scale,), {}))
        if new_scale is not None:
            self.current = new_scale
        elif self.overflow:
            self.current *= 0.5

    def get_scale(self):
        return self.current


class NpuFusedSGD(torch.optim.SGD):
    """Ascend's fused optimizer as far as its rules go."""

    calls = None

    def zero_grad(self, set_to_none=False):
        if set_to_none:
            raise ValueError("set_to_none is not supported in fused optimizers")
        super().zero_grad()

    def step(self, closure=None):
        self.calls.append(("optimizer.step", (), {}))

    def clip_grad_norm_fused_(self, max_norm, norm_type):
        self.calls.append(("clip fused", (max_norm,), {}))

    def clip_optimizer_grad_norm_fused(self, max_norm, norm_type=2):
        self.calls.append(("clip apex fused", (max_norm,), {}))


@pytest.fixture
def calls():
    return Calls()


@pytest.fixture
def npu(monkeypatch, calls):
    """A torch_npu whose device is the CPU; returns a function that chooses its versions."""

    def install(version, name="Ascend910A", optimizers=True, scaler=None):
        module = types.ModuleType("torch_npu")
        module.__version__ = version
        amp = types.SimpleNamespace(
            autocast=calls.recorder("autocast", lambda **named: contextlib.nullcontext()),
            GradScaler=calls.recorder("GradScaler", lambda **named: scaler or FakeScaler(calls)),
        )
        module.npu = types.SimpleNamespace(
            is_available=lambda: True,
            device_count=lambda: 8,
            amp=amp,
            get_device_name=lambda index: name,
            set_device=calls.recorder("set_device"),
            set_option=calls.recorder("set_option"),
            synchronize=calls.recorder("synchronize"),
            max_memory_allocated=lambda: 1234,
            memory_allocated=lambda: 5e6,
            conv=types.SimpleNamespace(),
            matmul=types.SimpleNamespace(),
        )
        monkeypatch.setitem(sys.modules, "torch_npu", module)
        NpuFusedSGD.calls = calls
        if optimizers:
            module.optim = types.ModuleType("torch_npu.optim")
            module.optim.NpuFusedSGD = NpuFusedSGD
            monkeypatch.setitem(sys.modules, "torch_npu.optim", module.optim)
        monkeypatch.setattr(torch, "__version__", version)
        monkeypatch.setattr(runtime, "_device_object", lambda *_: torch.device("cpu"))
        return module

    return install


@pytest.fixture
def apex(monkeypatch, calls):
    """Ascend's apex."""
    module, amp = types.ModuleType("apex"), types.ModuleType("apex.amp")
    optimizers = types.ModuleType("apex.optimizers")
    scale = types.SimpleNamespace(value=128.0)

    @contextlib.contextmanager
    def scale_loss(loss, optimizer):
        calls.append(("scale_loss", (), {}))
        yield loss * scale.value
        calls.append(("unscaled", (), {}))

    amp.initialize = calls.recorder(
        "amp.initialize",
        lambda model, optimizer=None, **_: model if optimizer is None else (model, optimizer),
    )
    amp.scale_loss = scale_loss
    amp.state_dict = lambda: {"loss_scaler0": {"loss_scale": scale.value, "unskipped": 3}}
    amp.load_state_dict = calls.recorder("amp.load_state_dict")
    amp.master_params = lambda optimizer: [p for g in optimizer.param_groups for p in g["params"]]
    optimizers.NpuFusedSGD = NpuFusedSGD
    module.amp, module.optimizers = amp, optimizers
    for name, part in (("apex", module), ("apex.amp", amp), ("apex.optimizers", optimizers)):
        monkeypatch.setitem(sys.modules, name, part)
    NpuFusedSGD.calls = calls
    return scale


@pytest.fixture
def group(monkeypatch, calls):
    """A process group and a DistributedDataParallel that only note their calls."""
    monkeypatch.setattr(
        torch.distributed, "init_process_group", calls.recorder("init_process_group")
    )
    monkeypatch.setattr(
        torch.distributed, "is_initialized", lambda: "init_process_group" in calls.names
    )
    monkeypatch.setattr(
        torch.nn.parallel,
        "DistributedDataParallel",
        calls.recorder("DDP", lambda model, **_: model),
    )


def npu_stepper(mode, version, world_size=1, loss_scale=None, **options):
    wanted = precision_for("npu", mode, version, ascend_apex=version < "2")
    if loss_scale is not None:
        wanted = vocabulary.with_loss_scale(wanted, loss_scale)
    device = runtime.open_device("npu", 3, wanted)
    if world_size > 1:
        runtime.init_process_group(device, 3, world_size)
    network = runtime.place_model(small_network(), device, wanted)
    optimizer = stepping.make_sgd(device, wanted, network.parameters(), lr=0.1, momentum=0.9)
    return stepping.make_stepper(network, optimizer, device, wanted, world_size, **options)


# --- NPU -------------------------------------------------------------------------------------


def test_an_npu_without_torch_npu_names_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_npu", None)
    with pytest.raises(ZooError) as caught:
        runtime.capabilities("npu")
    release = str(torch.__version__).split("+")[0]
    assert "install CANN" in str(caught.value)
    assert f"pip install 'torch_npu=={release}.*'" in str(caught.value)


def test_a_torch_npu_that_sees_no_device_says_where_to_look(npu):
    npu("2.1.0").npu.is_available = lambda: False
    with pytest.raises(ZooError, match="npu-smi info"):
        runtime.capabilities("npu")


@pytest.mark.parametrize(
    "name, bfloat16",
    [
        ("Ascend910A", False),
        ("Ascend910B", False),
        ("Ascend910ProB", False),
        ("Ascend910B1", True),
        ("Ascend910B4", True),
        ("Ascend910_9391", True),
    ],
)
def test_bfloat16_is_known_by_the_chips_name(npu, name, bfloat16):
    npu("2.1.0", name=name)
    assert runtime.capabilities("npu").bfloat16 is bfloat16


@pytest.mark.parametrize(
    "version, mode, option",
    [
        ("1.8.1", "O2", "allow_fp32_to_fp16"),
        ("1.8.1", "O0", "must_keep_origin_dtype"),
        ("2.1.0", "O0", "must_keep_origin_dtype"),
    ],
)
def test_opening_an_npu_sets_the_device_and_then_its_arithmetic(npu, calls, version, mode, option):
    npu(version)
    runtime.open_device("npu", 3, precision_for("npu", mode, version, ascend_apex=True))
    assert calls == [
        ("set_device", (3,), {}),
        ("set_option", ({"ACL_PRECISION_MODE": option},), {}),
    ]


def test_float32_on_a_new_npu_turns_hf32_off(npu):
    module = npu("2.1.0", name="Ascend910B1")
    runtime.open_device("npu", 0, precision_for("npu", "O0", "2.1.0"))
    assert module.npu.conv.allow_hf32 is False and module.npu.matmul.allow_hf32 is False


def test_a_device_number_beyond_the_last_is_refused(npu):
    npu("2.1.0")
    with pytest.raises(UsageError, match="--device_id 8: torch sees 8 npu devices"):
        runtime.open_device("npu", 8, precision_for("npu", "O0", "2.1.0"))


def test_apex_comes_after_the_process_group_and_before_ddp(npu, apex, group, calls):
    npu("1.8.1")
    npu_stepper("O2", "1.8.1", world_size=8)
    assert calls.names == [
        "set_device",
        "set_option",
        "init_process_group",
        "amp.initialize",
        "DDP",
    ]
    assert calls.of("init_process_group")[1]["backend"] == "hccl"
    assert calls.of("DDP")[1] == {"broadcast_buffers": False, "device_ids": [3]}


@pytest.mark.parametrize("text, value", [(None, "dynamic"), ("128", 128.0)])
def test_apex_gets_its_loss_scale_as_a_number_or_dynamic(npu, apex, calls, text, value):
    npu("1.8.1")
    npu_stepper("O2", "1.8.1", loss_scale=text)
    assert calls.of("amp.initialize")[1] == {"opt_level": "O2", "loss_scale": value}


def test_apex_steps_its_own_fused_optimizer_inside_its_scale(npu, apex, calls):
    npu("1.8.1")
    stepper = npu_stepper("O1", "1.8.1", max_gradient_norm=2.0)
    calls.clear()
    _, health = train(stepper, steps=1)
    assert calls.names == ["scale_loss", "unscaled", "clip apex fused", "optimizer.step"]
    assert (health.loss_scale, health.skipped) == (128.0, False)


def test_apex_skipping_a_step_is_seen_by_its_scale(npu, apex, monkeypatch):
    npu("1.8.1")
    stepper = npu_stepper("O2", "1.8.1")
    monkeypatch.setattr(NpuFusedSGD, "step", lambda self: setattr(apex, "value", 64.0))
    assert train(stepper, steps=1)[1].skipped


def test_apex_state_is_part_of_the_checkpoint(npu, apex, calls):
    npu("1.8.1")
    stepper = npu_stepper("O2", "1.8.1")
    state = stepper.state_dict()
    assert state["state"]["amp"]["loss_scaler0"]["unskipped"] == 3
    stepper.load_state_dict(state)
    assert calls.of("amp.load_state_dict")[0] == (state["state"]["amp"],)


def test_apexs_float32_weights_take_their_place_in_the_first_step(npu, apex):
    npu("1.8.1")
    trained, resumed = npu_stepper("O2", "1.8.1"), npu_stepper("O2", "1.8.1")
    train(trained, steps=1)
    state, optimizer = trained.state_dict(), trained.optimizer_state()
    weights = state["state"]["float32_weights"]
    assert len(weights) == len(list(trained.module.parameters()))
    resumed.load_state_dict(state)
    resumed.load_optimizer_state(optimizer)
    kept = resumed.state_dict()["state"]["float32_weights"]  # before the first step, too
    assert all(torch.equal(one, other) for one, other in zip(kept, weights))
    assert resumed.optimizer_state() == optimizer
    resumed.optimizer.param_groups[0]["lr"] = 0.0  # the first step leaves them as they came
    train(resumed, steps=1)
    for weight, stored in zip(resumed.module.parameters(), weights):
        assert torch.equal(weight, stored)


def test_a_network_that_is_only_evaluated_is_cast_by_apex(apex, calls):
    precision = precision_for("npu", "O2", "1.8.1", ascend_apex=True)
    network = small_network()
    stepping.prepare_evaluation(network, precision)
    assert calls.of("amp.initialize")[1] == {"opt_level": "O2"}
    assert stepping.prepare_evaluation(network, cpu_precision()) is network


def test_autocast_on_torch_1_8_takes_no_type(npu, calls):
    npu("1.8.1")
    stepper = npu_stepper("allow_mix_precision", "1.8.1")
    with stepper.forward_context():
        pass
    assert calls.of("autocast") == ((), {})


@pytest.mark.parametrize("version", ["1.11.0", "2.1.0"])
def test_later_autocast_is_told_its_type(npu, calls, version):
    npu(version)
    stepper = npu_stepper("allow_mix_precision", version)
    with stepper.forward_context():
        pass
    assert calls.of("autocast") == ((), {"dtype": torch.float16})


def test_the_npu_scaler_is_made_by_keyword_and_always_checks(npu, calls):
    npu("2.1.0")
    npu_stepper("O2", "2.1.0", loss_scale="128")
    positional, named = calls.of("GradScaler")
    assert positional == ()
    assert (named["dynamic"], named["init_scale"]) == (True, 128.0)


def test_clipping_comes_between_unscaling_and_the_step(npu, calls):
    npu("2.1.0")
    stepper = npu_stepper("O2", "2.1.0", max_gradient_norm=2.0)
    calls.clear()
    train(stepper, steps=1)
    assert calls.names == ["autocast", "scale", "unscale_", "clip fused", "scaler.step", "update"]


def test_a_skipped_step_is_told_and_a_static_scale_is_put_back(npu, calls):
    npu("2.1.0", scaler=FakeScaler(calls, overflow=True))
    stepper = npu_stepper("O2", "2.1.0", loss_scale="4")
    _, health = train(stepper, steps=1)
    assert (health.skipped, health.loss_scale) == (True, 4.0)
    assert calls.names[-2:] == ["update", "update"]
    assert calls[-1][1] == (4.0,)


def test_torch_npu_without_fused_optimizers_gets_torchs_own(npu, monkeypatch):
    npu("1.8.1", optimizers=False)
    monkeypatch.setitem(sys.modules, "torch_npu.optim", None)
    assert type(npu_stepper("allow_mix_precision", "1.8.1").optimizer) is torch.optim.SGD


def test_a_fused_optimizer_keeps_its_gradients_when_zeroed(npu):
    npu("2.1.0")
    stepper = npu_stepper("O2", "2.1.0")
    assert isinstance(stepper.optimizer, NpuFusedSGD)
    stepper.zero_grad()


def test_the_clock_waits_for_the_npu(npu, calls):
    npu("2.1.0")
    device = runtime.open_device("npu", 0, precision_for("npu", "O0", "2.1.0"))
    runtime.synchronize(device)
    assert calls.names[-1] == "synchronize"
    assert runtime.memory_peak(device) == 1234


def test_channels_last_never_pays_on_an_npu():
    assert runtime.channels_last_pays("npu") is False
    assert runtime.channels_last_pays("gpu") is True


# --- GPU -------------------------------------------------------------------------------------


@pytest.fixture
def gpu(monkeypatch, calls):
    """A torch.cuda of two Hoppers whose tensors lie on the CPU."""
    for name, value in (
        ("is_available", True),
        ("device_count", 2),
        ("memory_allocated", 7e6),
        ("get_device_capability", (9, 0)),
        ("get_device_name", "NVIDIA H100"),
        ("set_device", None),
        ("synchronize", None),
    ):
        monkeypatch.setattr(torch.cuda, name, calls.recorder(name, value))
    monkeypatch.setattr(runtime, "_device_object", lambda *_: torch.device("cpu"))
    monkeypatch.setitem(runtime.TORCH_NAMES, "gpu", "cpu")
    before = tf32_settings()
    benchmark = torch.backends.cudnn.benchmark
    yield
    torch.backends.cudnn.benchmark = benchmark
    set_tf32(before)


def tf32_settings():
    cuda, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    if TORCH >= (2, 9):
        return cuda.fp32_precision, cudnn.conv.fp32_precision
    return cuda.allow_tf32, cudnn.allow_tf32


def set_tf32(values):
    cuda, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    if TORCH >= (2, 9):
        cuda.fp32_precision, cudnn.conv.fp32_precision = values
    else:
        cuda.allow_tf32, cudnn.allow_tf32 = values


def gpu_precision(mode):
    return vocabulary.resolve(mode, "torch", "gpu", runtime.capabilities("gpu"))


def gpu_stepper(mode, loss_scale=None, **options):
    wanted = gpu_precision(mode)
    if loss_scale is not None:
        wanted = vocabulary.with_loss_scale(wanted, loss_scale)
    device = runtime.open_device("gpu", 1, wanted)
    network = runtime.place_model(small_network(), device, wanted)
    optimizer = stepping.make_sgd(device, wanted, network.parameters(), lr=0.05)
    return stepping.make_stepper(network, optimizer, device, wanted, **options)


def test_a_gpu_that_torch_cannot_use_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ZooError, match="--device gpu: torch .* give --device cpu"):
        runtime.capabilities("gpu")


def test_opening_a_gpu_makes_it_the_current_one(gpu, calls):
    device = runtime.open_device("gpu", 1, gpu_precision("O0"))
    assert calls.of("set_device") == ((1,), {})
    assert (device.name, device.count) == ("NVIDIA H100", 2)


@pytest.mark.parametrize("mode, allowed", [("O0", False), ("force_fp32", True), ("O2", False)])
def test_tf32_is_set_as_the_mode_says_without_warnings(gpu, mode, allowed):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        runtime.open_device("gpu", 0, gpu_precision(mode))
    expected = ("tf32" if allowed else "ieee") if TORCH >= (2, 9) else allowed
    assert tf32_settings() == (expected, expected)


def test_a_gpu_joins_by_nccl_and_wraps_with_its_own_number(gpu, group, calls):
    wanted = gpu_precision("O0")
    device = runtime.open_device("gpu", 1, wanted)
    runtime.init_process_group(device, 1, 2)
    network = small_network()
    optimizer = stepping.make_sgd(device, wanted, network.parameters(), lr=0.1)
    stepping.make_stepper(network, optimizer, device, wanted, world_size=2)
    assert calls.of("init_process_group")[1]["backend"] == "nccl"
    ddp = calls.of("DDP")[1]
    assert (ddp["device_ids"], ddp["broadcast_buffers"]) == ([1], False)


@new_torch
def test_mixed_precision_trains_and_scales(gpu):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        losses, health = train(gpu_stepper("O2"), steps=8)
    assert losses[-1] < losses[0]
    assert (health.skipped, health.loss_scale) == (False, 65536.0)


@new_torch
@pytest.mark.parametrize("loss_scale, following", [("dynamic", 32768.0), ("128", 128.0)])
@pytest.mark.parametrize("norm", [None, 1.0])
def test_an_overflow_skips_the_step_and_only_a_dynamic_scale_shrinks(
    gpu, loss_scale, following, norm
):
    stepper = gpu_stepper("O2", loss_scale, max_gradient_norm=norm)
    before = copy.deepcopy(stepper.module.state_dict())
    loss = sum(weight.sum() for weight in stepper.module.parameters()) * float("inf")
    assert stepper.step(loss).skipped
    after = stepper.module.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    stepper.zero_grad()
    health = stepper.step(sum(weight.sum() for weight in stepper.module.parameters()))
    assert (health.skipped, health.loss_scale) == (False, following)


@new_torch
def test_the_scale_survives_a_checkpoint(gpu):
    stepper, other = gpu_stepper("O2"), gpu_stepper("O2")
    loss = sum(weight.sum() for weight in stepper.module.parameters()) * float("inf")
    stepper.step(loss)
    other.load_state_dict(copy.deepcopy(stepper.state_dict()))
    assert train(other, steps=1)[1].loss_scale == 32768.0


def test_torch_1_8_gets_the_scaler_and_autocast_of_its_time(monkeypatch, calls):
    monkeypatch.setattr(torch, "__version__", "1.8.1")
    monkeypatch.setattr(torch.cuda.amp, "GradScaler", calls.recorder("GradScaler"))
    monkeypatch.setattr(torch.cuda.amp, "autocast", calls.recorder("autocast"))
    gradients._grad_scaler("gpu", 128.0)
    device = runtime.TorchDevice("gpu", 0, "cuda:0", "", 1, "", "", "")
    stepping.forward_context(device, precision_for("gpu", "O2", "1.8.1"))
    assert calls.of("GradScaler")[1]["init_scale"] == 128.0
    assert calls.of("autocast") == ((), {})


@new_torch
def test_float16_weights_take_and_give_float32_batches(gpu):
    stepper = gpu_stepper("force_fp16")
    assert {weight.dtype for weight in stepper.module.parameters()} == {torch.float16}
    assert stepper.model(batch()[0]).dtype == torch.float32


@new_torch
@pytest.mark.parametrize("loss_scale, following", [("dynamic", 32768.0), ("128", 128.0)])
def test_float16_weights_skip_an_overflow_too(gpu, loss_scale, following):
    stepper = gpu_stepper("force_fp16", loss_scale)
    before = copy.deepcopy(stepper.module.state_dict())
    loss = sum(weight.float().sum() for weight in stepper.module.parameters()) * float("inf")
    assert stepper.step(loss).skipped
    after = stepper.module.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert stepper.state_dict()["state"]["scale"] == following


@new_torch
def test_float16_weights_learn_under_a_static_scale(gpu):
    losses, health = train(gpu_stepper("force_fp16"), steps=8)
    assert losses[-1] < losses[0]
    assert (health.skipped, health.loss_scale) == (False, 128.0)


class Allocator:
    """Stands for the C library and notes what it is told."""

    def __init__(self):
        self.told = []

    def mallopt(self, name, value):
        self.told.append((name, value))


def test_freed_memory_is_kept_on_a_cpu_unless_the_user_says_otherwise(monkeypatch):
    library = Allocator()
    monkeypatch.setattr(runtime.ctypes, "CDLL", lambda name: library)
    for name in [name for name in os.environ if name.startswith("MALLOC_")]:
        monkeypatch.delenv(name)
    runtime.keep_freed_memory()
    assert library.told == [(-3, 1 << 30), (-1, 1 << 30)]
    monkeypatch.setenv("MALLOC_ARENA_MAX", "2")
    runtime.keep_freed_memory()
    assert len(library.told) == 2
