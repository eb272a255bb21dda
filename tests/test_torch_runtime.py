"""The PyTorch adapter: really on the CPU; on NPU and GPU the order of calls, with doubles."""

import copy
import socket
import sys
import warnings

import pytest

torch = pytest.importorskip("torch")

from common.core.errors import InfrastructureError, ZooError  # noqa: E402
from common.core.text import version_numbers  # noqa: E402
from common.machine import precision as vocabulary  # noqa: E402
from common.machine.ports import reserve_port  # noqa: E402
from common.training.torch import optimizers, runtime  # noqa: E402
from common.training.torch import step as stepping  # noqa: E402
from tests.ascend_doubles.torch_steps import open_stepper, small_network  # noqa: E402

pytestmark = pytest.mark.pytorch
TORCH = version_numbers(str(torch.__version__))
new_torch = pytest.mark.skipif(TORCH < (2, 4), reason="what torch 2 brought")


def cpu_precision():
    return vocabulary.resolve("O0", "torch", "cpu", runtime.capabilities("cpu"))


def cpu_device():
    return runtime.open_device("cpu", 0, cpu_precision())


def stepper_on_cpu(mode="O0", **options):
    return open_stepper(mode, "cpu", lr=0.1, **options)[0]


def train(stepper, steps=4):
    """Steps on one batch; the losses, and what became of the last one."""
    generator = torch.Generator().manual_seed(3)
    images, labels = torch.randn(6, 3, 8, 8, generator=generator), torch.arange(6) % 5
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
    assert (health.skipped, health.loss_scale) == (False, None)


@pytest.mark.skipif(TORCH < (1, 10), reason="bfloat16 autocast came with torch 1.10")
def test_bfloat16_computes_in_bfloat16_and_keeps_float32_weights():
    stepper = stepper_on_cpu("mixed_bfloat16")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        losses, _ = train(stepper, steps=8)
    with stepper.forward_context():
        assert stepper.model(torch.zeros(2, 3, 8, 8)).dtype == torch.bfloat16
    assert {weight.dtype for weight in stepper.module.parameters()} == {torch.float32}
    assert losses[-1] < 0.5 * losses[0]


def test_the_proof_counts_the_parameters_on_the_device_and_fails_where_one_is_elsewhere():
    network = torch.nn.Linear(2, 2)
    assert runtime.proof(cpu_device(), network).startswith("2 parameter tensors on cpu (")
    device = runtime.TorchDevice("gpu", 0, "a GPU", "", "", "", "cuda:0")
    with pytest.raises(ZooError, match="2 of 2 parameter tensors are on cpu"):
        runtime.proof(device, network)


def test_a_checkpoint_with_another_loss_scale_is_refused():
    stepper = stepper_on_cpu()
    stepper.load_state_dict(stepper.state_dict())
    with pytest.raises(ZooError, match="resume with the --precision_mode"):
        stepper.load_state_dict({"scaling": "grad_scaler", "state": {}})


# --- ranks -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rank, method, told",
    [
        (0, "tcp://127.0.0.1:{used}", "rank 0 of 2 did not meet the others at tcp://127.0.0.1"),
        (1, "tcp://127.0.0.1:{free}", "rank 1 of 2 did not meet the others at tcp://127.0.0.1"),
        (0, "env://", "logs, --master_addr and --master_port"),
    ],
)
def test_ranks_that_cannot_meet_are_told_in_one_line(monkeypatch, rank, method, told):
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    monkeypatch.delenv("MASTER_PORT", raising=False)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        ports = {"used": listener.getsockname()[1], "free": reserve_port().port}
        with pytest.raises(InfrastructureError) as caught:
            runtime.init_process_group(
                cpu_device(), rank, 2, method.format(**ports), timeout_seconds=2
            )
    assert told.format(**ports) in str(caught.value) and "\n" not in str(caught.value)


# --- NPU -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "release, remedy",
    [("1.8.1", "release page of Ascend's pytorch"), ("2.13.0+cpu", "'torch_npu==2.13.0.*'")],
)
def test_an_npu_without_torch_npu_names_what_to_install(monkeypatch, release, remedy):
    monkeypatch.setitem(sys.modules, "torch_npu", None)
    monkeypatch.setattr(torch, "__version__", release)
    with pytest.raises(ZooError, match=remedy) as caught:
        runtime.capabilities("npu")
    assert ("pip" in str(caught.value)) is release.startswith("2")


# --- GPU -------------------------------------------------------------------------------------


@pytest.fixture
def gpu(monkeypatch):
    """A torch.cuda of two Hoppers whose tensors lie on the CPU; the devices made current."""
    current = []
    for name, value in (
        ("is_available", True),
        ("device_count", 2),
        ("memory_allocated", 7e6),
        ("get_device_capability", (9, 0)),
        ("get_device_name", "NVIDIA H100"),
        ("synchronize", None),
    ):
        monkeypatch.setattr(torch.cuda, name, lambda *_, value=value: value)
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    monkeypatch.setattr(runtime, "_device_object", lambda *_: torch.device("cpu"))
    monkeypatch.setitem(runtime.TORCH_NAMES, "gpu", "cpu")
    before, benchmark = tf32_settings(), torch.backends.cudnn.benchmark
    yield current
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
    optimizer = optimizers.make_sgd(device, wanted, network.parameters(), lr=0.05)
    return stepping.make_stepper(network, optimizer, device, wanted, **options)


def test_a_gpu_that_torch_cannot_use_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ZooError, match="--device gpu: torch .* give --device cpu"):
        runtime.capabilities("gpu")


@pytest.mark.parametrize("mode, allowed", [("O0", False), ("force_fp32", True), ("O2", False)])
def test_tf32_is_set_as_the_mode_says_without_warnings(gpu, mode, allowed):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        runtime.open_device("gpu", 0, gpu_precision(mode))
    expected = ("tf32" if allowed else "ieee") if TORCH >= (2, 9) else allowed
    assert tf32_settings() == (expected, expected)


@new_torch
def test_mixed_precision_trains_and_scales(gpu):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        losses, health = train(gpu_stepper("O2"), steps=8)
    assert losses[-1] < losses[0]
    assert (health.skipped, health.loss_scale) == (False, 65536.0)


@new_torch
@pytest.mark.parametrize("loss_scale, following", [("dynamic", 32768.0), ("128", 128.0)])
@pytest.mark.parametrize("mode, norm", [("O2", None), ("O2", 1.0), ("force_fp16", None)])
def test_an_overflow_skips_the_step_and_only_a_dynamic_scale_shrinks(
    gpu, mode, norm, loss_scale, following
):
    stepper = gpu_stepper(mode, loss_scale, max_gradient_norm=norm)
    before = copy.deepcopy(stepper.module.state_dict())
    loss = sum(weight.float().sum() for weight in stepper.module.parameters()) * float("inf")
    assert stepper.step(loss).skipped
    after = stepper.module.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    stepper.zero_grad()
    health = stepper.step(sum(weight.float().sum() for weight in stepper.module.parameters()))
    assert (health.skipped, health.loss_scale) == (False, following)


@new_torch
def test_the_scale_survives_a_checkpoint_of_another_kind_of_device_too(gpu):
    stepper, other = gpu_stepper("O2"), gpu_stepper("O2")
    loss = sum(weight.sum() for weight in stepper.module.parameters()) * float("inf")
    stepper.step(loss)
    other.load_state_dict(copy.deepcopy(stepper.state_dict()))
    assert train(other, steps=1)[1].loss_scale == 32768.0
    stepper.load_state_dict({"scaling": "grad_scaler", "state": {"scale": 8.0, "dynamic": True}})
    assert train(stepper, steps=1)[1].loss_scale == 8.0
