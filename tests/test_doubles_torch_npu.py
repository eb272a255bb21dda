"""The doubles of torch_npu for torch 1.8.1 and of Ascend's apex keep the documented rules."""

from __future__ import annotations

import os

import pytest

torch = pytest.importorskip("torch")

from tests.ascend_doubles.forked import (  # noqa: E402
    is_torch_1_8,
    on_npu,
)

pytestmark = [
    pytest.mark.pytorch,
    pytest.mark.skipif(not is_torch_1_8(), reason="the doubles are of torch 1.8.1's packages"),
]
functional = torch.nn.functional
KEEP = "must_keep_origin_dtype"


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


@on_npu(ASCEND_RT_VISIBLE_DEVICES="4,6", ASCEND_DEVICE_ID="5")
def test_a_device_is_set_before_the_first_tensor_and_tensors_do_not_mix():
    import torch_npu

    with pytest.raises(RuntimeError, match="set_device comes before"):
        torch.zeros(2, device="npu:0")
    assert torch_npu.npu.device_count() == 2
    with pytest.raises(RuntimeError, match="invalid device"):
        torch_npu.npu.set_device(5)
    torch_npu.npu.set_device(1)
    layer = torch.nn.Linear(3, 2).to(torch.device("npu:1"))
    assert {type(value.cpu()) for value in layer.state_dict().values()} == {torch.Tensor}
    with pytest.raises(RuntimeError, match="same device"):
        layer(torch.ones(1, 3))
    with pytest.raises(TypeError, match="Use Tensor.cpu"):
        torch.ones(2).to("npu").numpy()


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
def test_a_saturated_overflow_is_seen_by_the_flag_alone_and_forgotten_by_the_next_scale():
    torch_npu = open_npu()
    weight, scaler = parameter(3), torch_npu.npu.amp.GradScaler(init_scale=2.0**16)
    scaled_step(scaler, weight, (weight.half().float() * 2.0).sum())
    assert torch.isfinite(weight.grad).all()
    assert (weight.tolist(), scaler.get_scale()) == ([1.0] * 3, 2.0**15)
    weight.grad = None
    scaled_step(scaler, weight, (weight * 0.25).sum())
    assert weight.tolist() == [0.75] * 3


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
def test_hccl_and_ddp_take_npu_tensors_of_types_that_hccl_has_and_the_devices_number():
    from apex import amp
    from torch.nn.parallel import DistributedDataParallel

    rank = join()
    with pytest.raises(RuntimeError, match="NPU tensors only"):
        torch.distributed.all_reduce(torch.ones(2))
    value = torch.full((2,), rank + 1, dtype=torch.int64).to("npu")
    torch.distributed.all_reduce(value)  # cast, which a broadcast is not
    assert value.tolist() == [3, 3] and value.dtype == torch.int64
    with pytest.raises(RuntimeError, match="does not support"):
        torch.distributed.broadcast(value, 0)
    with pytest.raises(RuntimeError, match="not on the NPU"):
        DistributedDataParallel(torch.nn.Linear(3, 2), device_ids=[rank])
    model = torch.nn.BatchNorm1d(3).to("npu")
    with pytest.raises(RuntimeError, match="device_ids"):
        DistributedDataParallel(model)
    wrapped = DistributedDataParallel(model, device_ids=[rank], broadcast_buffers=False)
    with pytest.raises(RuntimeError, match="AFTER"):
        amp.initialize(wrapped, opt_level="O2")


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


@pytest.mark.parametrize("ascends", [True, False])
@on_npu()
def test_ascends_apex_is_known_by_its_fused_optimizer(ascends):
    from common.training.torch import runtime

    if not ascends:
        os.environ["ASCEND_DOUBLE_APEX"] = "nvidia"
    assert runtime._ascend_apex_is_installed() is ascends
