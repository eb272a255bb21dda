"""The double of Ascend's apex keeps the real one's rules."""

import contextlib
import inspect
import io
import math
import os

import pytest

torch = pytest.importorskip("torch")

from tests.ascend_doubles.torch_shared.forked import on_npu  # noqa: E402

pytestmark = pytest.mark.pytorch
INFINITE = float("inf")
HALF_LIMIT = 65504.0


def open_npu(index=0):
    import torch_npu

    torch_npu.npu.set_device(index)


def network():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2)
    )


def prepared(level="O2", fused=True, model=None, **settings):
    """Model and optimizer after amp.initialize."""
    from apex import amp
    from apex.optimizers import NpuFusedSGD

    model = network().to("npu") if model is None else model
    optimizer = (NpuFusedSGD if fused else torch.optim.SGD)(model.parameters(), lr=0.1)
    return amp.initialize(model, optimizer, opt_level=level, **settings)


def inputs():
    return torch.randn(6, 3, generator=torch.Generator().manual_seed(2)).to("npu")


def step(model, optimizer, factor=1.0):
    """One step; returns what was printed."""
    from apex import amp

    told = io.StringIO()
    with contextlib.redirect_stdout(told):
        with amp.scale_loss((model(inputs()) ** 2).mean() * factor, optimizer) as scaled:
            scaled.backward()
        optimizer.step()
    return told.getvalue()


def weights(model):
    return torch.cat([weight.detach().float().cpu().reshape(-1) for weight in model.parameters()])


@on_npu()
def test_initialise_has_the_scales_settings_before_the_smallest_scale():
    from apex import amp

    assert list(inspect.signature(amp.initialize).parameters) == [
        "models",
        "optimizers",
        "enabled",
        "opt_level",
        "cast_model_type",
        "patch_torch_functions",
        "keep_batchnorm_fp32",
        "master_weights",
        "loss_scale",
        "cast_model_outputs",
        "num_losses",
        "verbosity",
        "dynamic_init_scale",
        "scale_growth_factor",
        "scale_backoff_factor",
        "scale_window",
        "min_loss_scale",
        "max_loss_scale",
        "combine_grad",
        "combine_ddp",
        "ddp_replica_count",
        "user_cast_preferred",
        "check_combined_tensors",
    ]


@on_npu()
def test_the_model_is_on_the_npu_before_initialise():
    from apex import amp

    open_npu()
    with pytest.raises(RuntimeError, match="move the model to the NPU"):
        amp.initialize(network(), opt_level="O2")


@on_npu()
def test_the_model_is_in_float32_before_initialise():
    from apex import amp

    open_npu()
    with pytest.raises(RuntimeError, match="expected float32"):
        amp.initialize(network().to("npu").half(), opt_level="O2")


@on_npu()
def test_initialise_is_called_once():
    open_npu()
    prepared()
    with pytest.raises(RuntimeError, match="second time"):
        prepared()


@on_npu(ranks=2)
def test_initialise_comes_before_ddp():
    from apex import amp
    from torch.nn.parallel import DistributedDataParallel

    rank = int(os.environ["RANK"])
    open_npu(rank)
    torch.distributed.init_process_group("hccl", rank=rank, world_size=2)
    model = DistributedDataParallel(network().to("npu"), device_ids=[rank])
    with pytest.raises(RuntimeError, match="AFTER"):
        amp.initialize(model, opt_level="O2")


@pytest.mark.parametrize("level", ["O0", "O1", "O2", "O3"])
def test_four_levels_are_accepted(level):
    @on_npu()
    def body():
        open_npu()
        model, optimizer = prepared(level, fused=False)
        assert model(inputs()).dtype == (torch.float16 if level == "O1" else torch.float32)

    body()


@on_npu()
def test_another_level_is_an_error():
    open_npu()
    with pytest.raises(RuntimeError, match="Unexpected optimization level O4"):
        prepared("O4")


@on_npu()
def test_a_text_is_no_loss_scale_but_dynamic():
    open_npu()
    with pytest.raises(ValueError, match="'128.0'"):
        prepared(loss_scale="128.0")
    prepared(loss_scale="dynamic")


@pytest.mark.parametrize(
    "level, settings",
    [
        ("O0", {"combine_grad": True}),
        ("O3", {"check_combined_tensors": True}),
        ("O2", {"combine_ddp": True}),
        ("O2", {"user_cast_preferred": True}),
    ],
)
def test_ascends_own_settings_have_their_levels(level, settings):
    @on_npu()
    def body():
        open_npu()
        with pytest.raises(RuntimeError, match="only|needs combine_grad"):
            prepared(level, **settings)

    body()


@on_npu()
def test_combined_gradients_are_not_set_to_none():
    open_npu()
    model, optimizer = prepared(fused=False, combine_grad=True)
    step(model, optimizer)
    optimizer.zero_grad()
    with pytest.raises(ValueError, match="set_to_none"):
        optimizer.zero_grad(set_to_none=True)


@pytest.mark.parametrize("level", ["O1", "O2"])
def test_the_scale_is_dynamic_where_none_is_given(level):
    @on_npu()
    def body():
        from apex import amp

        open_npu()
        prepared(level)
        assert amp.state_dict() == {"loss_scaler0": {"loss_scale": 2.0**16, "unskipped": 0}}

    body()


@pytest.mark.parametrize("soc, saturates", [("Ascend910A", True), ("Ascend910B3", False)])
def test_a_static_scale_never_checks_an_overflow(soc, saturates):
    @on_npu(soc=soc)
    def body():
        from apex import amp

        open_npu()
        model, optimizer = prepared(loss_scale=128.0)
        told = step(model, optimizer, INFINITE)
        largest = weights(model).abs().max().item()
        assert 40.0 < largest < INFINITE if saturates else not math.isfinite(largest)
        assert told == "" and amp.state_dict()["loss_scaler0"]["loss_scale"] == 128.0

    body()


@on_npu()
def test_a_dynamic_scale_skips_an_overflow_tells_it_and_halves():
    from apex import amp

    open_npu()
    model, optimizer = prepared()
    before = weights(model)
    assert "Gradient overflow.  Skipping step, loss scaler 0" in step(model, optimizer, INFINITE)
    assert torch.equal(weights(model), before)
    assert amp.state_dict()["loss_scaler0"] == {"loss_scale": 2.0**15, "unskipped": 0}
    optimizer.zero_grad()
    step(model, optimizer)
    assert not torch.equal(weights(model), before)
    assert amp.state_dict()["loss_scaler0"]["unskipped"] == 1


@on_npu()
def test_the_scale_grows_after_its_window_up_to_the_largest():
    from apex import amp

    open_npu()
    model, optimizer = prepared(dynamic_init_scale=8.0, scale_window=2, max_loss_scale=16.0)
    for _ in range(4):
        step(model, optimizer)
    assert amp.state_dict()["loss_scaler0"]["loss_scale"] == 16.0


@on_npu()
def test_the_scales_state_can_be_restored():
    from apex import amp

    open_npu()
    prepared()
    amp.load_state_dict({"loss_scaler0": {"loss_scale": 64.0, "unskipped": 7}})
    assert amp.state_dict() == {"loss_scaler0": {"loss_scale": 64.0, "unskipped": 7}}


@pytest.mark.parametrize("group_first", [True, False])
def test_ranks_share_the_flag_if_the_group_was_there_at_initialise(group_first):
    @on_npu(ranks=2)
    def body():
        from apex import amp
        from torch.nn.parallel import DistributedDataParallel

        rank = int(os.environ["RANK"])
        open_npu(rank)
        if group_first:
            torch.distributed.init_process_group("hccl", rank=rank, world_size=2)
        model, optimizer = prepared()
        if not group_first:
            torch.distributed.init_process_group("hccl", rank=rank, world_size=2)
        model = DistributedDataParallel(model, device_ids=[rank])
        loss = (model(inputs()) ** 2).mean()
        with amp.scale_loss(loss, optimizer) as scaled:
            scaled.backward()
            if rank == 1:
                # A float16 overflow that saturates: nobody's gradient is inf.
                torch.full((1,), 2 * HALF_LIMIT).to("npu").half()
        skipped = amp.state_dict()["loss_scaler0"]["loss_scale"] == 2.0**15
        assert skipped is (True if group_first else rank == 1)

    body()


@on_npu()
def test_the_fused_optimizer_fails_without_amp():
    from apex.optimizers import NpuFusedSGD

    open_npu()
    model = network().to("npu")
    optimizer = NpuFusedSGD(model.parameters(), lr=0.1)
    model(inputs()).sum().backward()
    with pytest.raises(RuntimeError, match="must be used with AMP"):
        optimizer.step()


@on_npu()
def test_the_fused_optimizer_fails_at_level_o0():
    open_npu()
    model, optimizer = prepared("O0")
    with pytest.raises(RuntimeError, match="O1 or O2"):
        step(model, optimizer)


@on_npu()
def test_the_fused_optimizer_refuses_set_to_none():
    open_npu()
    model, optimizer = prepared()
    step(model, optimizer)
    with pytest.raises(ValueError, match="set_to_none"):
        optimizer.zero_grad(set_to_none=True)


@on_npu()
def test_zero_grad_zeros_the_networks_gradients_too():
    open_npu()
    model, optimizer = prepared()
    step(model, optimizer)
    optimizer.zero_grad()
    assert all(not weight.grad.any() for weight in model.parameters())


@on_npu()
def test_the_fused_clip_is_apexs_own():
    open_npu()
    model, optimizer = prepared(loss_scale=1.0)
    step(model, optimizer, 100.0)
    optimizer.clip_optimizer_grad_norm_fused(0.5)
    from apex import amp

    norms = torch.stack([weight.grad.float().norm() for weight in amp.master_params(optimizer)])
    assert norms.norm().item() == pytest.approx(0.5, rel=1e-3)
    assert not hasattr(optimizer, "clip_grad_norm_fused_")


@on_npu()
def test_o2_keeps_batch_norm_and_the_masters_in_float32():
    from apex import amp

    open_npu()
    model, optimizer = prepared()
    step(model, optimizer)
    assert [weight.dtype for weight in model.parameters()] == [torch.float16] * 2 + [
        torch.float32
    ] * 2 + [torch.float16] * 2
    assert {weight.dtype for weight in amp.master_params(optimizer)} == {torch.float32}
    assert {
        value.dtype for name, value in model.state_dict().items() if "num_batches" not in name
    } == {torch.float32}


@on_npu()
def test_masters_are_made_by_the_first_scale():
    from apex import amp

    open_npu()
    model, optimizer = prepared()
    assert torch.float16 in {weight.dtype for weight in amp.master_params(optimizer)}
    step(model, optimizer)
    assert torch.float16 not in {weight.dtype for weight in amp.master_params(optimizer)}


@on_npu()
def test_small_updates_add_up_in_the_masters():
    from apex import amp

    open_npu()
    model, optimizer = prepared(loss_scale=1.0)
    step(model, optimizer)
    optimizer.param_groups[0]["lr"] = 1e-7
    before = [weight.detach().clone() for weight in amp.master_params(optimizer)]
    network_before = weights(model[0])
    step(model, optimizer)
    assert any(
        not torch.equal(one, other) for one, other in zip(before, amp.master_params(optimizer))
    )
    assert torch.equal(weights(model[0]), network_before)


@on_npu()
def test_scale_loss_needs_initialise():
    from apex import amp

    open_npu()
    with pytest.raises(RuntimeError, match="has not been initialized"), amp.scale_loss(
        torch.ones(()).to("npu"), None
    ):
        pass


@on_npu(ASCEND_DOUBLE_APEX="nvidia")
def test_nvidias_apex_has_no_npu_fused_sgd():
    import apex.optimizers

    assert not hasattr(apex.optimizers, "NpuFusedSGD")
    from common.training.torch import runtime as torch_runtime

    assert torch_runtime._ascend_apex_is_installed() is False


@on_npu()
def test_ascends_apex_is_known_by_its_fused_optimizer():
    from common.training.torch import runtime as torch_runtime

    assert torch_runtime._ascend_apex_is_installed() is True
