"""The doubles of torch_npu for torch 1.8.1 and of Ascend's apex keep the documented rules."""

from __future__ import annotations

import contextlib
import inspect
import io
import os

import pytest

torch = pytest.importorskip("torch")

from tests.ascend_doubles.forked import (  # noqa: E402
    NEW_OPTIMIZERS,
    OLD_PACKAGE,
    is_torch_1_8,
    on_npu,
)

pytestmark = [
    pytest.mark.pytorch,
    pytest.mark.skipif(not is_torch_1_8(), reason="the doubles are of torch 1.8.1's packages"),
]
functional = torch.nn.functional
KEEP = "must_keep_origin_dtype"
INFINITE = float("inf")


def open_npu(mode=KEEP, index=0):
    """Imports the double and opens a device; returns the double."""
    import torch_npu

    torch_npu.npu.set_device(index)
    if mode is not None:
        torch_npu.npu.set_option({"ACL_PRECISION_MODE": mode})
    return torch_npu


def parameter(size, dtype=torch.float32):
    """A parameter of ones on the NPU."""
    layer = torch.nn.Module()
    layer.weight = torch.nn.Parameter(torch.ones(size, dtype=dtype))
    return layer.to("npu").weight


def join(index=None):
    """This rank, with its device and hccl open."""
    rank = int(os.environ["RANK"])
    open_npu(index=rank if index is None else index)
    torch.distributed.init_process_group("hccl", rank=rank, world_size=2)
    return rank


# --- torch_npu: devices and options ----------------------------------------------------------


@on_npu(ASCEND_OPP_PATH=None)
def test_the_import_needs_cann():
    with pytest.raises(ImportError, match="ASCEND_OPP_PATH"):
        import torch_npu  # noqa: F401


@on_npu(ASCEND_RT_VISIBLE_DEVICES="4,6", ASCEND_DEVICE_ID="5")
def test_a_device_is_set_before_the_first_tensor_and_counted_among_the_visible():
    import torch_npu

    with pytest.raises(RuntimeError, match="set_device comes before"):
        torch.zeros(2, device="npu:0")
    for device, index in ((1, 1), ("npu:0", 0), (torch.device("npu:1"), 1)):
        torch_npu.npu.set_device(device)
        assert torch_npu.npu.current_device() == index
    assert torch_npu.npu.device_count() == 2
    with pytest.raises(RuntimeError, match="invalid device"):
        torch_npu.npu.set_device(5)


@on_npu()
def test_tensors_say_where_they_are_and_do_not_mix():
    open_npu(index=3)
    layer = torch.nn.Linear(3, 2).to(torch.device("npu:3"))
    layer(torch.ones(1, 3).to("npu")).sum().backward()
    assert {str(weight.grad.device) for weight in layer.parameters()} == {"npu:3"}
    assert {type(value.cpu()) for value in layer.state_dict().values()} == {torch.Tensor}
    with pytest.raises(RuntimeError, match="same device"):
        layer(torch.ones(1, 3))
    with pytest.raises(TypeError, match="Use Tensor.cpu"):
        torch.ones(2).to("npu").numpy()


@pytest.mark.parametrize(
    "package, optimizers, profiler",
    [
        (OLD_PACKAGE, False, False),
        ("1.8.1.post3-5.0.rc1", True, False),
        (NEW_OPTIMIZERS, True, True),
    ],
)
@on_npu()
def test_optimizers_and_profiler_came_with_the_5_0_packages(package, optimizers, profiler):
    import torch_npu

    found = (hasattr(torch_npu, "optim"), hasattr(torch_npu, "profiler"))
    assert found == (optimizers, profiler)
    assert hasattr(torch_npu.npu, "get_rng_state") is optimizers


@on_npu()
def test_options_are_known_texts_and_fixed_by_the_first_operation():
    torch_npu = open_npu(None)
    for option, error in (
        ({"ALLOW_CONV_HF32": "disable"}, ValueError),  # torch 2's
        ({"ACL_PRECISION_MODE": "allow_mix_precision"}, ValueError),
        ({"ACL_OP_DEBUG_LEVEL": 1}, TypeError),
    ):
        with pytest.raises(error):
            torch_npu.npu.set_option(option)
    torch.ones(2).to("npu").add(1)
    with pytest.raises(RuntimeError, match="too late"):
        torch_npu.npu.set_option({"ACL_PRECISION_MODE": KEEP})


# --- torch_npu: mixed precision and the fused optimizer --------------------------------------


@on_npu()
def test_autocast_takes_no_type_multiplies_in_float16_and_sums_in_float32():
    torch_npu = open_npu()
    with pytest.raises(TypeError):
        torch_npu.npu.amp.autocast(dtype=torch.float16)
    layer = torch.nn.Linear(3, 2).to("npu")
    with torch_npu.npu.amp.autocast():
        result = layer(torch.ones(4, 3).to("npu"))
        loss = functional.cross_entropy(result, torch.zeros(4, dtype=torch.long).to("npu"))
    assert (result.dtype, loss.dtype) == (torch.float16, torch.float32)
    loss.backward()
    assert layer.weight.grad.dtype == torch.float32


def scaled_step(scaler, weight, loss):
    optimizer = torch.optim.SGD([weight], lr=1.0)
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    scaler.update()


@on_npu()
def test_dynamic_sits_before_enabled_and_without_it_nothing_is_checked():
    torch_npu = open_npu()
    arguments = list(inspect.signature(torch_npu.npu.amp.GradScaler).parameters)
    assert arguments[-2:] == ["dynamic", "enabled"]
    weight = parameter(3)
    scaled_step(torch_npu.npu.amp.GradScaler(dynamic=False), weight, (weight * INFINITE).sum())
    assert not torch.isfinite(weight).any()
    with pytest.raises(AssertionError, match="NPU tensors only"):
        torch_npu.npu.amp.GradScaler().scale(torch.ones(()))


@on_npu()
def test_a_saturated_overflow_is_seen_by_the_flag_alone_and_forgotten_by_the_next_scale():
    torch_npu = open_npu()
    weight, scaler = parameter(3), torch_npu.npu.amp.GradScaler(init_scale=2.0**16)
    scaled_step(scaler, weight, (weight.half().float() * 2.0).sum())
    assert torch.isfinite(weight.grad).all()
    assert (weight.tolist(), scaler.get_scale()) == ([1.0] * 3, 2.0**15)
    weight.grad = None
    scaled_step(scaler, weight, (weight * 0.25).sum())
    assert weight.tolist() == [0.75] * 3


@pytest.mark.parametrize("group_first", [True, False])
@on_npu(ranks=2)
def test_ranks_share_the_flag_if_the_group_was_there_at_the_first_scale(group_first):
    rank = int(os.environ["RANK"])
    torch_npu = open_npu(index=rank)
    weight, scaler = parameter(1), torch_npu.npu.amp.GradScaler(init_scale=8.0)
    if not group_first:
        scaler.scale(torch.ones(()).to("npu"))
    torch.distributed.init_process_group("hccl", rank=rank, world_size=2)
    scaled_step(scaler, weight, (weight * (INFINITE if rank else 0.5)).sum())
    assert (scaler.get_scale() == 4.0) is (True if group_first else rank == 1)


@on_npu()
def test_the_fused_optimizer_takes_float_parameters_and_no_set_to_none():
    open_npu()
    import torch_npu.optim

    for weight in (torch.nn.Parameter(torch.ones(2)), parameter(2, dtype=torch.float64)):
        with pytest.raises(TypeError, match="NPU tensors"):
            torch_npu.optim.NpuFusedSGD([weight], lr=0.1)
    with pytest.raises(ValueError, match="set_to_none"):
        torch_npu.optim.NpuFusedSGD([parameter(2)], lr=0.1).zero_grad(set_to_none=True)


@pytest.mark.parametrize("first", ["zero_grad", "step"])
@on_npu()
def test_what_has_no_gradient_when_it_flattens_is_left_out_for_good(first):
    open_npu()
    import torch_npu.optim

    early, late = parameter(1), parameter(1)
    optimizer = torch_npu.optim.NpuFusedSGD([early, late], lr=0.5)
    early.sum().backward()
    getattr(optimizer, first)()
    (early + late).sum().backward()
    optimizer.step()
    assert early.item() < 1.0 and late.item() == 1.0
    with pytest.raises(RuntimeError, match="after its first step"):
        optimizer.load_state_dict(optimizer.state_dict())
    early.data = torch.ones(1).to("npu")
    with pytest.raises(RuntimeError, match="was replaced"):
        optimizer.step()


# --- torch_npu: ranks ------------------------------------------------------------------------


@on_npu(ranks=2)
def test_hccl_takes_npu_tensors_and_casts_for_two_collectives_only():
    rank = join()
    assert torch.distributed.get_backend() == "hccl"
    with pytest.raises(RuntimeError, match="NPU tensors only"):
        torch.distributed.all_reduce(torch.ones(2))
    value = torch.full((2,), rank + 1, dtype=torch.int64).to("npu")
    torch.distributed.all_reduce(value)
    assert value.tolist() == [3, 3] and value.dtype == torch.int64
    with pytest.raises(RuntimeError, match="does not support"):
        torch.distributed.broadcast(value, 0)


@on_npu(ranks=2)
def test_two_ranks_on_one_device_are_an_error():
    with pytest.raises(RuntimeError, match="two ranks have one device"):
        join(index=1)


@on_npu(ranks=2)
def test_ddp_needs_a_model_on_the_npu_its_number_and_types_that_hccl_has():
    from torch.nn.parallel import DistributedDataParallel

    rank = join()
    with pytest.raises(RuntimeError, match="not on the NPU"):
        DistributedDataParallel(torch.nn.Linear(3, 2), device_ids=[rank])
    model = torch.nn.BatchNorm1d(3).to("npu")
    with pytest.raises(RuntimeError, match="device_ids"):
        DistributedDataParallel(model)
    assert model.num_batches_tracked.dtype == torch.int32
    DistributedDataParallel(model, device_ids=[rank], broadcast_buffers=False)
    model.num_batches_tracked = model.num_batches_tracked.long()
    with pytest.raises(RuntimeError, match="num_batches_tracked"):
        DistributedDataParallel(model, device_ids=[rank])


# --- apex ------------------------------------------------------------------------------------


def network():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2)
    )


def prepared(level="O2", **settings):
    """Model and optimizer after amp.initialize."""
    from apex import amp
    from apex.optimizers import NpuFusedSGD

    model = network().to("npu")
    return amp.initialize(
        model, NpuFusedSGD(model.parameters(), lr=0.1), opt_level=level, **settings
    )


def step(model, optimizer, factor):
    """One step; returns what was printed."""
    from apex import amp

    inputs = torch.randn(6, 3, generator=torch.Generator().manual_seed(2)).to("npu")
    told = io.StringIO()
    with contextlib.redirect_stdout(told):
        with amp.scale_loss((model(inputs) ** 2).mean() * factor, optimizer) as scaled:
            scaled.backward()
        optimizer.step()
    return told.getvalue()


def weights(model):
    return torch.cat([weight.detach().float().cpu().reshape(-1) for weight in model.parameters()])


@on_npu()
def test_initialise_has_the_scales_settings_before_the_smallest_scale():
    from apex import amp

    names = list(inspect.signature(amp.initialize).parameters)
    assert names[names.index("dynamic_init_scale") + 4] == "min_loss_scale"


@on_npu()
def test_initialise_comes_once_on_the_npu_in_float32_with_a_level_and_a_scale_there_are():
    from apex import amp

    open_npu()
    for model, text in (
        (network(), "move the model to the NPU"),
        (network().to("npu").half(), "expected float32"),
    ):
        with pytest.raises(RuntimeError, match=text):
            amp.initialize(model, opt_level="O2")
    with pytest.raises(RuntimeError, match="Unexpected optimization level O4"):
        prepared("O4")
    with pytest.raises(ValueError, match="'128.0'"):
        prepared(loss_scale="128.0")
    prepared()
    assert amp.state_dict() == {"loss_scaler0": {"loss_scale": 2.0**16, "unskipped": 0}}
    with pytest.raises(RuntimeError, match="second time"):
        prepared()


@on_npu(ranks=2)
def test_initialise_comes_before_ddp():
    from apex import amp
    from torch.nn.parallel import DistributedDataParallel

    rank = join()
    model = DistributedDataParallel(network().to("npu"), device_ids=[rank])
    with pytest.raises(RuntimeError, match="AFTER"):
        amp.initialize(model, opt_level="O2")


@on_npu()
def test_a_static_scale_never_checks_an_overflow():
    from apex import amp

    open_npu()
    model, optimizer = prepared(loss_scale=128.0)
    told = step(model, optimizer, INFINITE)
    assert 40.0 < weights(model).abs().max().item() < INFINITE  # saturated
    assert told == "" and amp.state_dict()["loss_scaler0"]["loss_scale"] == 128.0


@pytest.mark.parametrize("level", [None, "O0"])
@on_npu()
def test_the_fused_optimizer_fails_without_o1_or_o2(level):
    from apex.optimizers import NpuFusedSGD

    open_npu()
    model = network().to("npu")
    optimizer = NpuFusedSGD(model.parameters(), lr=0.1)
    if level is not None:
        model, optimizer = prepared(level)
    model(torch.ones(6, 3).to("npu")).sum().backward()
    with pytest.raises(RuntimeError, match="must be used with AMP"):
        optimizer.step()


@on_npu()
def test_o2_keeps_batch_norm_and_the_masters_in_float32_and_makes_them_at_the_first_scale():
    from apex import amp

    open_npu()
    model, optimizer = prepared(loss_scale=1.0)
    assert torch.float16 in {weight.dtype for weight in amp.master_params(optimizer)}
    step(model, optimizer, 100.0)
    half, full = [torch.float16] * 2, [torch.float32] * 2
    assert [weight.dtype for weight in model.parameters()] == half + full + half
    assert {weight.dtype for weight in amp.master_params(optimizer)} == {torch.float32}
    optimizer.clip_optimizer_grad_norm_fused(0.5)
    norms = torch.stack([weight.grad.float().norm() for weight in amp.master_params(optimizer)])
    assert norms.norm().item() == pytest.approx(0.5, rel=1e-3)
    with pytest.raises(ValueError, match="set_to_none"):
        optimizer.zero_grad(set_to_none=True)
    optimizer.zero_grad()
    assert all(not weight.grad.any() for weight in model.parameters())


@pytest.mark.parametrize("ascends", [True, False])
@on_npu()
def test_ascends_apex_is_known_by_its_fused_optimizer(ascends):
    from common.training.torch import runtime

    if not ascends:
        os.environ["ASCEND_DOUBLE_APEX"] = "nvidia"
    assert runtime._ascend_apex_is_installed() is ascends
