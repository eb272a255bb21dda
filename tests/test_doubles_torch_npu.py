"""The doubles of torch_npu keep the rules of the real packages (both generations)."""

import contextlib
import inspect
import io
import math
import os

import pytest

torch = pytest.importorskip("torch")

from tests.ascend_doubles.torch_shared.forked import (  # noqa: E402
    NEW_OPTIMIZERS,
    OLD_PACKAGE,
    generation,
    on_npu,
)

pytestmark = pytest.mark.pytorch
old = pytest.mark.skipif(generation() != 1, reason="a rule of torch 1.8.1's packages")
new = pytest.mark.skipif(generation() != 2, reason="a rule of torch 2's packages")
functional = torch.nn.functional
KEEP, ALLOW = "must_keep_origin_dtype", "allow_fp32_to_fp16"
INFINITE = float("inf")


def open_npu(mode=KEEP, index=0):
    """Imports the double and opens a device; returns the double."""
    import torch_npu

    torch_npu.npu.set_device(index)
    if mode is not None:
        torch_npu.npu.set_option({"ACL_PRECISION_MODE": mode})
    return torch_npu


def report():
    from npu_double import report as module

    return module


def numbers(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(4))


def trained(weights, optimizer_class, steps=3, **settings):
    """Weights after steps whose gradients are the weights' cubes."""
    optimizer = optimizer_class(weights, **settings)
    for _ in range(steps):
        loss = sum((weight**4).sum() for weight in weights)
        if weights[0].grad is not None:
            optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return [weight.detach().cpu() for weight in weights]


def parameter(*shape, value=None, dtype=torch.float32):
    """A parameter on the NPU."""
    layer = torch.nn.Module()
    layer.weight = torch.nn.Parameter(
        (numbers(*shape) if value is None else torch.full(shape, value)).to(dtype)
    )
    return layer.to("npu").weight


def worker(rank_of=None):
    """This rank, with its device and hccl open."""
    rank = int(os.environ["RANK"])
    torch_npu = open_npu(index=rank)
    torch.distributed.init_process_group(
        "hccl", init_method="env://", rank=rank, world_size=int(os.environ["WORLD_SIZE"])
    )
    return torch_npu, rank


# --- import and devices ----------------------------------------------------------------------


@pytest.mark.parametrize("missing", ["ASCEND_HOME_PATH", "ASCEND_OPP_PATH"])
def test_the_import_needs_cann(missing):
    @on_npu(**{missing: None})
    def body():
        with pytest.raises(ImportError, match=missing):
            import torch_npu  # noqa: F401

    body()


@on_npu()
def test_set_device_comes_before_the_first_tensor():
    import torch_npu

    with pytest.raises(RuntimeError, match="set_device comes before"):
        torch.zeros(2, device="npu:0")
    torch_npu.npu.set_device(0)
    torch.zeros(2, device="npu:0")


@on_npu()
def test_set_device_takes_a_number_a_name_and_a_device():
    torch_npu = open_npu()
    for device, index in ((1, 1), ("npu:2", 2), (torch.device("npu:3"), 3)):
        torch_npu.npu.set_device(device)
        assert torch_npu.npu.current_device() == index
    with pytest.raises(RuntimeError, match="invalid device"):
        torch_npu.npu.set_device(8)


@on_npu(ASCEND_RT_VISIBLE_DEVICES="4,6", ASCEND_DEVICE_ID="5")
def test_visible_devices_are_counted_and_ascend_device_id_is_not_read():
    torch_npu = open_npu()
    assert (torch_npu.npu.device_count(), torch_npu.npu.current_device()) == (2, 0)
    with pytest.raises(RuntimeError, match="invalid device"):
        torch_npu.npu.set_device(5)


@on_npu(ASCEND_DOUBLE_DEVICES="0")
def test_a_machine_without_devices_has_none():
    import torch_npu

    assert torch_npu.npu.is_available() is False


@on_npu()
def test_a_tensor_says_that_it_is_on_the_npu():
    open_npu(index=3)
    value = torch.ones(2).to("npu")
    assert str(value.device) == "npu:3" and value.device == torch.device("npu:3")
    assert isinstance(value.device, torch.device) and isinstance(torch.device("cpu"), torch.device)
    assert str((value + 1).sum().device) == "npu:3"
    assert value.cpu().device.type == "cpu"


@on_npu()
def test_a_module_and_its_gradients_are_on_the_npu():
    open_npu()
    layer = torch.nn.Linear(3, 2).to(torch.device("npu:0"))
    layer(torch.ones(1, 3).to("npu")).sum().backward()
    assert {str(weight.grad.device) for weight in layer.parameters()} == {"npu:0"}
    assert {type(value.cpu()) for value in layer.state_dict().values()} == {torch.Tensor}


@on_npu()
def test_a_cpu_input_of_a_model_on_the_npu_is_an_error():
    open_npu()
    layer = torch.nn.Linear(3, 2).to("npu")
    with pytest.raises(RuntimeError, match="same device"):
        layer(torch.ones(1, 3))
    with pytest.raises(RuntimeError, match="same device"):
        torch.ones(2).to("npu") + torch.ones(2)


@on_npu()
def test_an_npu_tensor_is_no_numpy_array():
    open_npu()
    with pytest.raises(TypeError, match="Use Tensor.cpu"):
        torch.ones(2).to("npu").numpy()


@on_npu()
def test_random_numbers_of_the_device_are_seeded_apart():
    torch_npu = open_npu()
    torch_npu.npu.manual_seed_all(5)
    first = torch.rand(3, device="npu").tolist()
    torch.manual_seed(1)
    torch_npu.npu.manual_seed(5)
    assert torch.rand(3, device="npu").tolist() == first


@on_npu()
def test_the_functions_that_both_generations_have():
    torch_npu = open_npu()
    for name in (
        "synchronize",
        "empty_cache",
        "memory_allocated",
        "max_memory_allocated",
        "memory_reserved",
        "init_dump",
        "finalize_dump",
    ):
        getattr(torch_npu.npu, name)()
    begin, end = (torch_npu.npu.Event(enable_timing=True) for _ in range(2))
    begin.record()
    end.record()
    assert begin.elapsed_time(end) >= 0.0
    assert torch.npu is torch_npu.npu


@old
@pytest.mark.parametrize(
    "package, optimizers, profiler",
    [
        (OLD_PACKAGE, False, False),
        ("1.8.1.post3-5.0.rc1", True, False),
        (NEW_OPTIMIZERS, True, True),
    ],
)
def test_optimizers_and_profiler_came_with_the_5_0_packages(package, optimizers, profiler):
    @on_npu(package=package)
    def body():
        import torch_npu

        assert (hasattr(torch_npu, "optim"), hasattr(torch_npu, "profiler")) == (
            optimizers,
            profiler,
        )
        with contextlib.ExitStack() as stack:
            if not optimizers:
                stack.enter_context(pytest.raises(ImportError))
            import torch_npu.optim
        assert hasattr(torch_npu.npu, "get_rng_state") is optimizers

    body()


@new
@on_npu()
def test_torch_2_has_optimizers_and_profiler():
    import torch_npu.optim
    import torch_npu.profiler

    assert torch_npu.optim.NpuFusedSGD and torch_npu.profiler.profile


@on_npu()
def test_transfer_to_npu_is_there_and_shows_that_it_was_imported():
    open_npu()
    assert not hasattr(torch, "transferred_to_npu")
    from torch_npu.contrib import transfer_to_npu  # noqa: F401

    assert torch.transferred_to_npu is True
    assert "transfer_to_npu imported" in report().kinds()


# --- options ---------------------------------------------------------------------------------


@on_npu()
def test_an_unknown_option_and_an_illegal_value_are_errors():
    torch_npu = open_npu()
    with pytest.raises(ValueError, match="ACL_PRECISION is unknown|'ACL_PRECISION' is unknown"):
        torch_npu.npu.set_option({"ACL_PRECISION": KEEP})
    with pytest.raises(ValueError, match="none of"):
        torch_npu.npu.set_option({"ACL_PRECISION_MODE": "allow_mix_precision"})


@on_npu()
def test_option_values_are_texts():
    torch_npu = open_npu()
    torch_npu.npu.set_option({"ACL_OP_DEBUG_LEVEL": "1"})
    with pytest.raises(TypeError, match="expects a str"):
        torch_npu.npu.set_option({"ACL_OP_DEBUG_LEVEL": 1})


@pytest.mark.parametrize(
    "soc, default",
    [
        ("Ascend910A", ALLOW),
        ("Ascend910B", ALLOW),
        ("Ascend910ProB", ALLOW),
        ("Ascend910B1", KEEP),
        ("Ascend910B3", KEEP),
        ("Ascend910_9391", KEEP),
    ],
)
def test_the_default_arithmetic_depends_on_the_chip(soc, default):
    @on_npu(soc=soc)
    def body():
        open_npu(None)
        from npu_double.options import options

        assert options.precision_mode() == default

    body()


@pytest.mark.parametrize("operation", ["convolution", "linear"])
def test_float32_on_a_910a_is_float16_unless_the_option_says_otherwise(operation):
    def computed(device):
        inputs, weights = (
            (numbers(2, 3, 8, 8), numbers(4, 3, 3, 3))
            if operation == "convolution"
            else (numbers(5, 7), numbers(4, 7))
        )
        inputs, weights = inputs.to(device), weights.to(device)
        return (functional.conv2d if operation == "convolution" else functional.linear)(
            inputs, weights
        ).cpu()

    def body(mode, equal):
        open_npu(mode)
        difference = (computed("npu") - computed("cpu")).abs().max().item()
        assert difference == 0.0 if equal else 1e-5 < difference < 1e-1

    for mode, equal in ((KEEP, True), (ALLOW, False), (None, False)):
        on_npu()(body)(mode, equal)


@on_npu()
def test_gradients_of_a_910a_are_read_in_float16_too():
    open_npu(None)
    layer = torch.nn.Linear(3, 2, bias=False).to("npu")
    (layer(torch.ones(1, 3).to("npu")) * 1e-9).sum().backward()
    assert layer.weight.grad.abs().max().item() == 0.0  # float16 has nothing that small


@on_npu()
def test_the_arithmetic_is_fixed_by_the_first_operation():
    torch_npu = open_npu(None)
    torch.ones(2).to("npu").add(1)
    with pytest.raises(RuntimeError, match="too late"):
        torch_npu.npu.set_option({"ACL_PRECISION_MODE": KEEP})


@old
@on_npu(soc="Ascend910B3")
def test_hf32_is_unknown_to_torch_1_8():
    torch_npu = open_npu()
    assert not hasattr(torch_npu.npu, "conv")
    with pytest.raises(ValueError, match="unknown"):
        torch_npu.npu.set_option({"ALLOW_CONV_HF32": "disable"})


@new
def test_hf32_is_on_for_convolutions_and_off_for_matrix_products():
    def difference(operation, *shapes):
        return (
            (
                operation(*[numbers(*shape).to("npu") for shape in shapes]).cpu()
                - operation(*[numbers(*shape) for shape in shapes])
            )
            .abs()
            .max()
            .item()
        )

    @on_npu(soc="Ascend910B3")
    def body():
        torch_npu = open_npu()
        convolution = (functional.conv2d, (2, 3, 8, 8), (4, 3, 3, 3))
        product = (torch.matmul, (5, 7), (7, 4))
        assert torch_npu.npu.conv.allow_hf32 and not torch_npu.npu.matmul.allow_hf32
        assert difference(*convolution) > 1e-5 and difference(*product) == 0.0
        torch_npu.npu.conv.allow_hf32, torch_npu.npu.matmul.allow_hf32 = False, True
        assert difference(*convolution) == 0.0 and difference(*product) > 1e-5

    body()


@new
@on_npu(soc="Ascend910A")
def test_hf32_does_nothing_on_a_910a():
    torch_npu = open_npu()
    torch_npu.npu.conv.allow_hf32 = True
    assert not torch_npu.npu.conv.allow_hf32


@pytest.mark.parametrize("soc, compilations", [("Ascend910A", 2), ("Ascend910B3", 0)])
def test_every_new_shape_is_compiled_on_a_910a(soc, compilations):
    @on_npu(soc=soc)
    def body():
        open_npu()
        for count in (4, 4, 3, 4):
            torch.sigmoid(torch.ones(count).to("npu"))
        assert report().kinds("compile") == ["compile"] * compilations

    body()


@on_npu(soc="Ascend910B3")
def test_the_compile_mode_decides_and_takes_a_boolean():
    torch_npu = open_npu()
    with pytest.raises(TypeError):
        torch_npu.npu.set_compile_mode(jit_compile="false")
    torch_npu.npu.set_compile_mode(jit_compile=True)
    torch.sigmoid(torch.ones(2).to("npu"))
    assert report().kinds("compile") == ["compile"]


@on_npu(soc="Ascend910B3")
def test_the_overflow_flag_is_refused_where_overflow_is_inf():
    torch_npu = open_npu()
    for function in (torch_npu.npu.get_npu_overflow_flag, torch_npu.npu.clear_npu_overflow_flag):
        with pytest.raises(RuntimeError, match="INF/NaN"):
            function()


@pytest.mark.parametrize(
    "soc, result, flag", [("Ascend910A", 65504.0, True), ("Ascend910B3", INFINITE, False)]
)
def test_float16_overflow_saturates_and_sets_the_flag_on_a_910a(soc, result, flag):
    @on_npu(soc=soc)
    def body():
        open_npu()
        from npu_double.arithmetic import Overflow

        assert torch.full((2,), 1e6).to("npu").half().float().tolist() == [result] * 2
        assert Overflow.flag is flag

    body()


# --- autocast --------------------------------------------------------------------------------


@old
@on_npu()
def test_autocast_of_torch_1_8_takes_no_type():
    torch_npu = open_npu()
    with pytest.raises(TypeError):
        torch_npu.npu.amp.autocast(dtype=torch.float16)
    torch_npu.npu.amp.autocast(enabled=True)


@new
@on_npu()
def test_autocast_of_torch_2_takes_a_type():
    torch_npu = open_npu()
    signature = inspect.signature(torch_npu.npu.amp.autocast)
    assert list(signature.parameters) == ["enabled", "dtype", "cache_enabled"]
    with torch_npu.npu.amp.autocast(dtype=torch.float16):
        pass


@new
@pytest.mark.parametrize(
    "soc, possible", [("Ascend910A", False), ("Ascend910B", False), ("Ascend910B1", True)]
)
def test_bfloat16_needs_a_910b1(soc, possible):
    @on_npu(soc=soc)
    def body():
        torch_npu = open_npu()
        with contextlib.ExitStack() as stack:
            if not possible:
                stack.enter_context(pytest.raises(RuntimeError, match="not supported"))
            stack.enter_context(torch_npu.npu.amp.autocast(dtype=torch.bfloat16))
            result = torch.nn.Linear(3, 2).to("npu")(torch.ones(1, 3).to("npu"))
            assert result.dtype == torch.bfloat16

    body()


@on_npu()
def test_autocast_multiplies_in_float16_and_sums_in_float32():
    torch_npu = open_npu()
    layer = torch.nn.Linear(3, 2).to("npu")
    with torch_npu.npu.amp.autocast():
        result = layer(torch.ones(4, 3).to("npu"))
        loss = functional.cross_entropy(result, torch.zeros(4, dtype=torch.long).to("npu"))
    assert (result.dtype, loss.dtype) == (torch.float16, torch.float32)
    loss.backward()
    assert layer.weight.grad.dtype == torch.float32


# --- GradScaler ------------------------------------------------------------------------------


def scaled_step(scaler, weight, loss, rate=1.0):
    optimizer = torch.optim.SGD([weight], lr=rate)
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    scaler.update()


@on_npu()
def test_dynamic_sits_before_enabled():
    torch_npu = open_npu()
    signature = inspect.signature(torch_npu.npu.amp.GradScaler)
    assert list(signature.parameters) == [
        "init_scale",
        "growth_factor",
        "backoff_factor",
        "growth_interval",
        "dynamic",
        "enabled",
    ]
    torch_npu.npu.amp.GradScaler(2.0**16, 2.0, 0.5, 2000, False)  # meant: enabled=False
    event = report().events[-1]
    assert (event["dynamic"], event["enabled"]) == (False, True)


@on_npu()
def test_a_scaler_that_is_not_dynamic_checks_nothing():
    torch_npu = open_npu()
    weight = parameter(3, value=1.0)
    scaled_step(torch_npu.npu.amp.GradScaler(dynamic=False), weight, (weight * INFINITE).sum())
    assert not torch.isfinite(weight).any()


@on_npu()
def test_the_scaler_takes_npu_tensors_only():
    torch_npu = open_npu()
    with pytest.raises(AssertionError, match="NPU tensors only"):
        torch_npu.npu.amp.GradScaler().scale(torch.ones(()))


@on_npu()
def test_an_overflow_is_told_skipped_and_halves_the_scale():
    torch_npu = open_npu()
    weight, scaler = parameter(3, value=1.0), torch_npu.npu.amp.GradScaler(init_scale=8.0)
    told = io.StringIO()
    with contextlib.redirect_stdout(told):
        scaled_step(scaler, weight, (weight * INFINITE).sum())
    assert "Gradient overflow. Skipping step" in told.getvalue()
    assert (weight.tolist(), scaler.get_scale()) == ([1.0] * 3, 4.0)


@on_npu()
def test_without_overflow_the_step_is_that_of_unscaled_gradients():
    torch_npu = open_npu()
    weight = parameter(3, value=1.0)
    scaler = torch_npu.npu.amp.GradScaler(init_scale=8.0, growth_interval=1)
    scaled_step(scaler, weight, (weight * 0.25).sum())
    assert (weight.tolist(), scaler.get_scale()) == ([0.75] * 3, 16.0)


@on_npu()
def test_a_saturated_overflow_is_seen_by_the_flag_alone():
    torch_npu = open_npu()
    weight, scaler = parameter(3, value=1.0), torch_npu.npu.amp.GradScaler(init_scale=2.0**16)
    scaled_step(scaler, weight, (weight.half().float() * 2.0).sum())
    assert torch.isfinite(weight.grad).all()
    assert (weight.tolist(), scaler.get_scale()) == ([1.0] * 3, 2.0**15)


@on_npu()
def test_an_overflow_is_forgotten_by_the_next_scale():
    torch_npu = open_npu()
    weight, scaler = parameter(3, value=1.0), torch_npu.npu.amp.GradScaler(init_scale=8.0)
    torch.full((2,), 1e6).to("npu").half()
    scaled_step(scaler, weight, (weight * 0.25).sum())
    assert weight.tolist() == [0.75] * 3


@pytest.mark.parametrize("group_first", [True, False])
def test_ranks_share_the_flag_if_the_group_was_there_at_the_first_scale(group_first):
    @on_npu(ranks=2)
    def body():
        rank = int(os.environ["RANK"])
        torch_npu = open_npu(index=rank)
        weight, scaler = parameter(1, value=1.0), torch_npu.npu.amp.GradScaler(init_scale=8.0)
        if not group_first:
            scaler.scale(torch.ones(()).to("npu"))
        torch.distributed.init_process_group("hccl", rank=rank, world_size=2)
        scaled_step(scaler, weight, (weight * (INFINITE if rank else 0.5)).sum())
        skipped = scaler.get_scale() == 4.0
        assert skipped is (True if group_first else rank == 1)

    body()


@on_npu()
def test_the_scaler_needs_its_own_generations_fused_optimizer():
    torch_npu = open_npu()
    from npu_double.fused_sgd import FusedSGD

    class OfTheOther(FusedSGD):
        pass

    flags = {1: "is_fused_optimizer", 2: "is_npu_fused_optimizer"}
    setattr(OfTheOther, flags[generation()], True)
    weight, scaler = parameter(3), torch_npu.npu.amp.GradScaler()
    optimizer = OfTheOther([weight], lr=0.1)
    scaler.scale(weight.sum()).backward()
    with pytest.raises(RuntimeError, match="another torch_npu's"):
        scaler.step(optimizer)
    own = {1: "is_npu_fused_optimizer", 2: "is_fused_optimizer"}[generation()]
    assert getattr(torch_npu.optim.NpuFusedSGD, own) is True


@on_npu()
def test_the_scalers_state_is_numbers_and_can_be_restored():
    torch_npu = open_npu()
    weight = parameter(3)
    scaler, other = (torch_npu.npu.amp.GradScaler(init_scale=scale) for scale in (8.0, 2.0))
    scaled_step(scaler, weight, weight.sum())
    state = scaler.state_dict()
    assert (state["scale"], state["_growth_tracker"]) == (8.0, 1)
    other.load_state_dict(state)
    assert other.scale(torch.ones(()).to("npu")).item() == 8.0


# --- fused SGD -------------------------------------------------------------------------------


@on_npu()
def test_the_fused_optimizer_is_sgd():
    open_npu()
    import torch_npu.optim

    settings = {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.01, "nesterov": True}
    plain = trained([torch.nn.Parameter(numbers(5))], torch.optim.SGD, **settings)
    fused = trained([parameter(5)], torch_npu.optim.NpuFusedSGD, **settings)
    assert (plain[0] - fused[0]).abs().max().item() < 1e-6


@on_npu()
def test_the_fused_optimizer_takes_float_parameters_on_the_npu_only():
    open_npu()
    import torch_npu.optim

    with pytest.raises(TypeError, match="NPU tensors"):
        torch_npu.optim.NpuFusedSGD([torch.nn.Parameter(torch.ones(2))], lr=0.1)
    with pytest.raises(TypeError, match="float64"):
        torch_npu.optim.NpuFusedSGD([parameter(2, dtype=torch.float64)], lr=0.1)


@on_npu()
def test_the_fused_optimizer_refuses_set_to_none():
    open_npu()
    import torch_npu.optim

    with pytest.raises(ValueError, match="set_to_none"):
        torch_npu.optim.NpuFusedSGD([parameter(2)], lr=0.1).zero_grad(set_to_none=True)


@pytest.mark.parametrize("first", ["zero_grad", "step"])
def test_what_has_no_gradient_when_it_flattens_is_left_out_for_good(first):
    @on_npu()
    def body():
        open_npu()
        import torch_npu.optim

        early, late = parameter(1, value=1.0), parameter(1, value=1.0)
        optimizer = torch_npu.optim.NpuFusedSGD([early, late], lr=0.5)
        early.sum().backward()
        getattr(optimizer, first)()
        (early + late).sum().backward()
        optimizer.step()
        assert early.item() < 1.0 and late.item() == 1.0

    body()


@pytest.mark.parametrize("what", ["data", "grad"])
def test_replacing_what_was_flattened_is_loud(what):
    @on_npu()
    def body():
        open_npu()
        import torch_npu.optim

        weight = parameter(2)
        optimizer = torch_npu.optim.NpuFusedSGD([weight], lr=0.1)
        weight.sum().backward()
        optimizer.step()
        setattr(weight, what, torch.ones(2).to("npu"))
        with pytest.raises(RuntimeError, match="was replaced"):
            optimizer.step()

    body()


@on_npu()
def test_state_is_loaded_before_the_first_step():
    open_npu()
    import torch_npu.optim

    weight = parameter(2)
    optimizer = torch_npu.optim.NpuFusedSGD([weight], lr=0.1, momentum=0.9)
    optimizer.load_state_dict(optimizer.state_dict())
    weight.sum().backward()
    optimizer.step()
    with pytest.raises(RuntimeError, match="after its first step"):
        optimizer.load_state_dict(optimizer.state_dict())


@on_npu()
def test_the_fused_clip_needs_its_norms_type():
    open_npu()
    import torch_npu.optim

    weight = parameter(2)
    optimizer = torch_npu.optim.NpuFusedSGD([weight], lr=0.1)
    (weight * 30.0).sum().backward()
    with pytest.raises(TypeError):
        optimizer.clip_grad_norm_fused_(1.0)
    optimizer.clip_grad_norm_fused_(1.0, 2.0)
    assert math.isclose(weight.grad.norm().item(), 1.0, rel_tol=1e-4)


# --- hccl ------------------------------------------------------------------------------------


@on_npu(ranks=2)
def test_hccl_takes_npu_tensors_only():
    _, rank = worker()
    assert torch.distributed.get_backend() == "hccl"
    value = torch.full((2,), rank + 1.0).to("npu")
    torch.distributed.all_reduce(value)
    assert value.tolist() == [3.0, 3.0]
    with pytest.raises(RuntimeError, match="NPU tensors only"):
        torch.distributed.all_reduce(torch.ones(2))


@on_npu(ranks=2)
def test_hccl_needs_a_device_first():
    import torch_npu  # noqa: F401

    with pytest.raises(RuntimeError, match="set_device comes before"):
        torch.distributed.init_process_group("hccl", rank=int(os.environ["RANK"]), world_size=2)


@on_npu(ranks=2)
def test_two_ranks_on_one_device_are_an_error():
    open_npu(index=1)
    with pytest.raises(RuntimeError, match="two ranks have one device"):
        torch.distributed.init_process_group("hccl", rank=int(os.environ["RANK"]), world_size=2)


@old
@on_npu(ranks=2)
def test_hccl_of_torch_1_8_casts_for_two_collectives_only():
    _, rank = worker()
    for dtype in (torch.int64, torch.uint8, torch.float64):
        value = torch.full((2,), rank + 1, dtype=dtype).to("npu")
        torch.distributed.all_reduce(value)
        torch.distributed.reduce(value, 0)
        assert value.dtype == dtype
        with pytest.raises(RuntimeError, match="does not support"):
            torch.distributed.broadcast(value, 0)
        with pytest.raises(RuntimeError, match="does not support"):
            torch.distributed.all_gather([value.clone(), value.clone()], value)
    torch.distributed.broadcast(torch.ones(2, dtype=torch.int32).to("npu"), 0)


@old
@on_npu(ranks=2)
def test_sums_of_int64_wrap_in_torch_1_8():
    worker()
    value = torch.full((1,), 2**30, dtype=torch.int64).to("npu")
    torch.distributed.all_reduce(value)
    assert value.item() == -(2**31)


@new
@on_npu(ranks=2)
def test_hccl_of_torch_2_broadcasts_int64():
    _, rank = worker()
    value = torch.full((1,), rank, dtype=torch.int64).to("npu")
    torch.distributed.broadcast(value, 1)
    assert value.item() == 1


@on_npu(ranks=2)
def test_ddp_needs_a_model_on_the_npu_and_its_number():
    from torch.nn.parallel import DistributedDataParallel

    _, rank = worker()
    with pytest.raises(RuntimeError, match="not on the NPU"):
        DistributedDataParallel(torch.nn.Linear(3, 2), device_ids=[rank])
    model = torch.nn.Linear(3, 2).to("npu")
    with pytest.raises(RuntimeError, match="device_ids"):
        DistributedDataParallel(model)
    wrapped = DistributedDataParallel(model, device_ids=[rank], broadcast_buffers=False)
    wrapped(torch.full((1, 3), float(rank)).to("npu")).sum().backward()
    assert model.weight.grad.tolist() == [[0.5] * 3] * 2


@old
@on_npu(ranks=2)
def test_ddp_can_not_send_int64_buffers_in_torch_1_8():
    from torch.nn.parallel import DistributedDataParallel

    _, rank = worker()
    model = torch.nn.BatchNorm1d(3).to("npu")
    assert model.num_batches_tracked.dtype == torch.int32
    DistributedDataParallel(model, device_ids=[rank])
    model.num_batches_tracked = model.num_batches_tracked.long()
    with pytest.raises(RuntimeError, match="num_batches_tracked"):
        DistributedDataParallel(model, device_ids=[rank])


# --- formats and the rest --------------------------------------------------------------------


@pytest.mark.parametrize("soc, formats", [("Ascend910A", [4, 3]), ("Ascend910B3", [0, 2])])
def test_modules_get_the_chips_formats_and_state_dicts_have_none(soc, formats):
    @on_npu(soc=soc)
    def body():
        torch_npu = open_npu()
        model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1, bias=False), torch.nn.BatchNorm2d(4))
        model.to("npu")
        assert [
            torch_npu.get_npu_format(weight) for weight in (model[0].weight, model[1].weight)
        ] == formats
        assert [
            torch_npu.get_npu_format(model.state_dict()[name]) for name in ("0.weight", "1.weight")
        ] == [0, 2]
        assert torch_npu.get_npu_format(torch_npu.npu_format_cast(model[0].weight, 3)) == 3

    body()


@new
@on_npu()
def test_torch_npu_functions_have_left_torch():
    open_npu()
    with pytest.raises(RuntimeError, match="Use torch_npu.npu_format_cast"):
        torch.npu_format_cast(torch.ones(2).to("npu"), 2)


@old
@on_npu()
def test_batch_norm_counts_in_int32_in_torch_1_8():
    open_npu()
    layer = torch.nn.BatchNorm2d(4).to("npu")
    layer(torch.ones(2, 4, 3, 3).to("npu"))
    assert (layer.num_batches_tracked.dtype, int(layer.num_batches_tracked)) == (torch.int32, 1)


@on_npu()
def test_channels_last_on_an_npu_is_noted():
    open_npu()
    layer = torch.nn.Conv2d(3, 4, 1).to("npu")
    assert "channels_last" not in report().kinds()
    layer.to(memory_format=torch.channels_last)
    assert "channels_last" in report().kinds()


@on_npu()
def test_saving_an_npu_tensor_is_noted_and_gives_a_plain_one(tmp_path=None):
    open_npu()
    stream = io.BytesIO()
    torch.save({"weight": torch.ones(2).to("npu")}, stream)
    assert "npu tensor saved" in report().kinds()
    stream.seek(0)
    assert type(torch.load(stream)["weight"]) is torch.Tensor


@on_npu()
def test_the_profiler_traces_the_steps_of_its_schedule(tmp_path=None):
    import tempfile

    open_npu()
    import torch_npu.profiler as profiler

    with tempfile.TemporaryDirectory() as folder:
        with profiler.profile(
            activities=[profiler.ProfilerActivity.CPU, profiler.ProfilerActivity.NPU],
            schedule=profiler.schedule(wait=1, warmup=1, active=2, repeat=1, skip_first=1),
            on_trace_ready=profiler.tensorboard_trace_handler(folder),
            experimental_config=profiler._ExperimentalConfig(
                profiler_level=profiler.ProfilerLevel.Level1
            ),
        ) as running:
            for _ in range(8):
                running.step()
        assert running.traced == [3, 4] and len(os.listdir(folder)) == 1
    with pytest.raises(TypeError):
        profiler.profile(activities=["npu"])


@old
@on_npu(package=OLD_PACKAGE)
def test_the_profiler_of_the_3_0_packages_is_a_context():
    torch_npu = open_npu()
    with torch_npu.npu.profile():
        pass
