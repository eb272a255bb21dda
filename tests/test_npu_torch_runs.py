"""Networks in torch on torch 1.8.1's packages, doubled: launched as users do it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from tests.ascend_doubles.forked import (  # noqa: E402
    NEW_OPTIMIZERS,
    OLD_PACKAGE,
    is_torch_1_8,
    on_npu,
)
from tests.ascend_doubles.machine import HERE  # noqa: E402
from tests.ascend_doubles.torch_server import SMALL, TRAINING, Launched, Server  # noqa: E402
from tests.ascend_doubles.torch_steps import (  # noqa: E402
    open_stepper,
    small_network,
    train,
    weights_of,
)

pytestmark = [
    pytest.mark.long,
    pytest.mark.pytorch,
    pytest.mark.skipif(not is_torch_1_8(), reason="the double is of torch 1.8.1's packages"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Server:
    return Server(tmp_path_factory.mktemp("server"), [HERE / "torch", HERE / "apex"])


@pytest.fixture(scope="module")
def two(server: Server) -> Launched:
    """Two epochs on two ranks, in the model card's precision: O2."""
    return server.launch("smoke", *TRAINING, "--ranks", "2")


# --- two ranks -------------------------------------------------------------------------------


def test_two_ranks_end_well_with_a_case_file_and_a_record(two: Launched) -> None:
    assert two.code == 0, two.output
    case = (two.folder / "residual_attention_net_bs16_2p_acc.log").read_text()
    assert "RankSize = 2" in case and "NA" not in case
    record = two.record
    assert record["status"] == "complete"
    assert record["device"]["name"] == "Ascend910A" and record["device"]["count"] == 2
    assert record["device"]["runtime"] == "CANN 6.0.0"
    assert record["precision"]["arithmetic"] == "Ascend apex O2"
    assert "parameter tensors on npu:0" in record["health"]["proof"]
    skipped = record["health"]["loss_scale_skips"]
    assert skipped > 0  # 2**16 is too much for this network at first
    assert [len(two.noted("step skipped", rank)) for rank in (0, 1)] == [skipped] * 2


def test_the_order_is_device_group_model_optimizer_amp_ddp(two: Launched) -> None:
    order = ["init_process_group", "model placed", "NpuFusedSGD", "amp.initialize", "DDP"]
    for rank in (0, 1):
        assert two.events[rank][0]["event"] == "set_device"
        assert {event["index"] for event in two.noted("set_device", rank)} == {rank}
        (option,) = two.noted("set_option", rank)
        assert option["options"] == {"ACL_PRECISION_MODE": "allow_fp32_to_fp16"}
        assert two.kinds(rank, *order) == order
        event = two.noted("DDP", rank)[0]
        assert (event["device_ids"], event["buffers"]) == ([rank], False)
    assert two.noted("apex scaler")[0]["shares_flag"] is True
    assert two.noted("combined") == [{"event": "combined", "parameters": 272, "left_out": 0}]


def test_ranks_meet_by_hccl_with_types_it_has_and_hold_the_same_weights(two: Launched) -> None:
    types = {event["type"] for event in two.noted("collective")}
    assert types <= {"torch.float32", "torch.int32"}
    assert len({two.noted("final weights", rank)[0]["sha256"] for rank in (0, 1)}) == 1
    # Formats and saving are left to the NPU.
    assert not {event["event"] for event in two.events[0]} & {"channels_last", "npu tensor saved"}
    assert {type(value) for value in two.newest_weights().values()} == {torch.Tensor}


def test_training_and_evaluation_have_one_shape(two: Launched) -> None:
    """40 test images are 20 a rank and 20 validation images 10: no multiple of the batch of 16."""
    batches = {
        (event["operation"], event["shapes"][0][0])
        for event in two.noted("compile")
        if event["operation"] in ("linear", "cross_entropy", "argmax")
    }
    assert batches == {("linear", 16), ("cross_entropy", 16), ("argmax", 16)}


def test_a_network_that_has_a_sister_in_tensorflow_trains_on_two_ranks(tmp_path: Path) -> None:
    server = Server(tmp_path, [HERE / "torch", HERE / "apex"], model="protoattend_torch")
    run = server.launch("smoke", "--ranks=2", "--train_steps=4")
    assert run.code == 0, run.output
    assert run.record["device"]["name"] == "Ascend910A" and run.record["device"]["count"] == 2
    assert "parameter tensors on npu:0" in run.record["health"]["proof"]
    types = {event["type"] for event in run.noted("collective")}
    assert types <= {"torch.float32", "torch.int32"}
    assert len({run.noted("final weights", rank)[0]["sha256"] for rank in (0, 1)}) == 1


# --- one rank, other packages ----------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("package", [OLD_PACKAGE, NEW_OPTIMIZERS])
def test_torch_1_8_without_apex_trains_by_autocast(tmp_path: Path, package: str) -> None:
    flags = [*TRAINING, "--precision_mode=allow_mix_precision"]
    without_apex = Server(tmp_path, [HERE / "torch"])
    run = without_apex.launch("smoke", *flags, ASCEND_DOUBLE_TORCH_NPU=package)
    assert run.code == 0, run.output
    assert run.record["precision"]["arithmetic"] == "torch_npu.npu.amp autocast float16"
    assert run.noted("autocast") and run.noted("GradScaler")[0]["dynamic"] is True
    assert bool(run.noted("NpuFusedSGD")) is (package == NEW_OPTIMIZERS)


@pytest.mark.slow
def test_weights_trained_on_an_npu_are_evaluated_and_fine_tuned_there(
    server: Server, two: Launched
) -> None:
    weights = str(two.folder / "ckpt" / "best.pt")
    evaluated = server.launch("eval_1p", *SMALL, "--pth_path", weights)
    assert evaluated.code == 0, evaluated.output
    assert evaluated.record["metrics"]["n_eval"] == 40
    tuned = server.launch("finetune_1p", *TRAINING, "--pth_path", weights, "--train_steps", "4")
    assert tuned.code == 0, tuned.output
    assert tuned.record["progress"]["steps"] == 4


@pytest.mark.slow
def test_a_killed_run_is_resumed_to_the_same_weights(server: Server, two: Launched) -> None:
    flags = [*TRAINING, "--ranks=2", "--checkpoint_minutes=0", "--log_every=1"]
    killed = server.killed("smoke", *flags, after=3)
    assert killed.code != 0
    resumed = server.launch("smoke", *flags, "--resume", output=killed.folder)
    assert resumed.code == 0, resumed.output
    assert resumed.record["health"]["loss_scale_skips"] == two.record["health"]["loss_scale_skips"]
    expected, found = two.newest_weights(), resumed.newest_weights()
    differing = [name for name in expected if not torch.equal(expected[name], found[name])]
    # A checkpoint averages the running statistics over ranks, which rounds them once more.
    assert not [name for name in differing if "running_" not in name]
    assert all((expected[name] - found[name]).abs().max().item() < 1e-5 for name in differing)


@pytest.mark.slow
def test_eight_ranks_train_together(server: Server) -> None:
    flags = [*SMALL, "--batch_size=8", "--train_epochs=2", "--limit_train=128"]
    run = server.launch("train_full_8p", *flags, script=True)
    assert run.code == 0, run.output
    assert sorted(run.events) == list(range(8))
    assert [run.events[rank][0]["index"] for rank in range(8)] == list(range(8))
    assert len({run.noted("final weights", rank)[0]["sha256"] for rank in range(8)}) == 1
    assert len({len(run.noted("step skipped", rank)) for rank in range(8)}) == 1


# --- the adapter on the doubles --------------------------------------------------------------

MODES = ["O1", "O2", "allow_mix_precision"]


def trained_weights(mode: str, kind: str = "npu") -> Any:
    stepper, device = open_stepper(mode, kind)
    train(stepper, device, 3)
    return weights_of(stepper)


@pytest.mark.parametrize("mode", ["must_keep_origin_dtype", "allow_fp32_to_fp16"])
@on_npu()
def test_the_arithmetic_of_float32_is_decided_and_never_left_to_the_chip(mode):
    from npu_double import report

    open_stepper(mode)
    (option,) = [event for event in report.events if event["event"] == "set_option"]
    assert option["options"] == {"ACL_PRECISION_MODE": mode}


@pytest.mark.parametrize("ascends", [True, False])
@on_npu()
def test_ascends_apex_is_known_by_its_fused_optimizer(ascends):
    from common.training.torch import runtime

    if not ascends:
        os.environ["ASCEND_DOUBLE_APEX"] = "nvidia"
    assert runtime.capabilities("npu").ascend_apex is ascends


@pytest.mark.parametrize("mode", MODES)
@on_npu()
def test_mixed_precision_moves_every_weight_and_keeps_close_to_float32(mode):
    stepper, device = open_stepper(mode, loss_scale="128")
    before = [weight.detach().float().cpu() for weight in stepper.module.parameters()]
    train(stepper, device, 3)
    after = [weight.detach().float().cpu() for weight in stepper.module.parameters()]
    assert not any(torch.equal(one, other) for one, other in zip(before, after))
    assert (weights_of(stepper) - trained_weights("O0", "cpu")).abs().max().item() < 4e-3


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("norm", [None, 1.0])
@on_npu()
def test_an_overflow_is_skipped_seen_and_halves_a_dynamic_scale(mode, norm):
    stepper, device = open_stepper(mode, loss_scale="dynamic", max_gradient_norm=norm)
    train(stepper, device, 8)  # the first scale is too large for this network
    before = weights_of(stepper)
    assert train(stepper, device, 1, first=8, spoiled=8)[0][1] is True
    assert torch.equal(weights_of(stepper), before)
    assert train(stepper, device, 1, first=9)[0][1] is False
    assert not torch.equal(weights_of(stepper), before)


@pytest.mark.parametrize("mode", ["allow_mix_precision", "O2"])
@on_npu()
def test_a_static_scale_stays_and_the_scalers_is_checked_all_the_same(mode):
    stepper, device = open_stepper(mode, loss_scale="128")
    before = weights_of(stepper)
    if mode != "O2":  # apex's is never checked
        assert train(stepper, device, 1, spoiled=0)[0][1] is True
        assert torch.equal(weights_of(stepper), before)
    assert train(stepper, device, 2, first=1)[0][1] is False
    state = stepper.state_dict()["state"]
    scale = state["amp"]["loss_scaler0"]["loss_scale"] if mode == "O2" else state["scale"]
    assert scale == 128.0


@pytest.mark.parametrize("package", [OLD_PACKAGE, NEW_OPTIMIZERS])
@on_npu()
def test_each_package_is_used_by_what_it_has(package, tmp_path):
    from common.training.torch import runtime

    stepper, device = open_stepper("allow_mix_precision")
    new = package == NEW_OPTIMIZERS
    assert type(stepper.optimizer).__module__.startswith("torch_npu" if new else "torch.optim")
    train(stepper, device, 2)
    state = runtime.rng_state(device)
    first = torch.rand(3, device=device.device).tolist()
    runtime.set_rng_state(state, device)
    assert (torch.rand(3, device=device.device).tolist() == first) is new
    from common.training.torch.profile import LEAST_STEPS, StepProfiler

    profiler = StepProfiler(device, tmp_path)
    for _ in range(LEAST_STEPS + 2):
        profiler.step()
    profiler.close()
    from npu_double import report

    assert report.kinds().count("profiler starts") == 1
    assert (report.kinds()[-1] == "profiler stops") is not new
    assert bool(list(tmp_path.glob("*_ascend_pt.json"))) is new


@pytest.mark.parametrize("mode", MODES + ["must_keep_origin_dtype"])
@on_npu()
def test_gradients_are_clipped_by_their_norm_in_buffers_that_stay(mode):
    scale = None if mode == "must_keep_origin_dtype" else "128"
    stepper, device = open_stepper(mode, loss_scale=scale, max_gradient_norm=1e-3)
    train(stepper, device, 1)
    gradients = [
        weight.grad.float()
        for group in stepper.optimizer.param_groups
        for weight in group["params"]
    ]
    norm = torch.stack([gradient.norm() for gradient in gradients]).norm().item()
    assert norm == pytest.approx(1e-3, rel=1e-2)
    before = [weight.grad.data_ptr() for weight in stepper.module.parameters()]
    stepper.zero_grad()
    assert [weight.grad.data_ptr() for weight in stepper.module.parameters()] == before
    assert not any(weight.grad.any() for weight in stepper.module.parameters())


def rank_with_group() -> Any:
    """(rank, device of the adapter, precision) of a two-rank job, in the product's order."""
    from common.machine import precision as vocabulary
    from common.training.torch import runtime

    rank = int(os.environ["RANK"])
    wanted = vocabulary.resolve("O2", "torch", "npu", runtime.capabilities("npu", rank))
    device = runtime.open_device("npu", rank, wanted)
    runtime.init_process_group(device, rank, 2, timeout_seconds=30)
    return rank, device, wanted


@on_npu(ranks=2)
def test_two_ranks_average_their_gradients_and_skip_together():
    from common.training.torch import optimizers, runtime
    from common.training.torch import step as stepping

    rank, device, wanted = rank_with_group()
    network = runtime.place_model(small_network(), device, wanted)
    optimizer = optimizers.make_sgd(device, wanted, network.parameters(), lr=0.02, momentum=0.9)
    stepper = stepping.make_stepper(network, optimizer, device, wanted, world_size=2)
    assert "amp" in sys.modules["apex"].__dict__
    told = train(stepper, device, 3, first=10 * rank, spoiled=11)  # on the second rank only
    assert told[1][1] is True
    alike = [torch.zeros_like(weights_of(stepper)).to(device.device) for _ in range(2)]
    torch.distributed.all_gather(alike, weights_of(stepper).to(device.device))
    assert torch.equal(alike[0].cpu(), alike[1].cpu())
    assert torch.distributed.get_backend() == "hccl"


@on_npu(ranks=2)
def test_ranks_send_add_up_and_compare_by_what_hccl_has():
    from common.training.torch.ranks import (
        average_batch_norm_statistics,
        bytes_from_first_rank,
        sum_over_ranks,
    )

    rank, device, _ = rank_with_group()
    content = b"seven bytes more" if rank == 0 else b""
    assert bytes_from_first_rank(content, device.device) == b"seven bytes more"
    network = small_network().to(device.device)
    network[1].running_mean.fill_(float(rank))
    average_batch_norm_statistics(network)
    assert network[1].running_mean.tolist() == [0.5] * 8
    assert sum_over_ranks([1.0, rank], device.device) == [2.0, 1.0]
    from npu_double import report

    sent = {event["type"] for event in report.events if event["event"] == "collective"}
    assert sent <= {"torch.float32", "torch.int32"}  # HCCL broadcasts no bytes


@on_npu()
def whole(mode, folder):
    from common.training.torch.weights_file import on_host

    stepper, device = open_stepper(mode)
    train(stepper, device, 6)
    parts = {
        "model": stepper.module.state_dict(),
        "optimizer": stepper.optimizer_state(),
        "scaler": stepper.state_dict(),
    }
    torch.save(on_host(parts), str(folder / "middle.pt"))
    train(stepper, device, 2, first=6)
    torch.save(weights_of(stepper), str(folder / "end.pt"))


@on_npu()
def continued(mode, folder):
    from common.training.torch import runtime

    content = torch.load(str(folder / "middle.pt"))
    real = runtime.place_model

    def place(network: Any, device: Any, precision: Any) -> Any:
        placed = real(network, device, precision)
        placed.load_state_dict(content["model"])
        return placed

    runtime.place_model = place
    stepper, device = open_stepper(mode)
    stepper.load_optimizer_state(content["optimizer"])
    stepper.load_state_dict(content["scaler"])
    train(stepper, device, 2, first=6)
    assert torch.equal(weights_of(stepper), torch.load(str(folder / "end.pt")))


@pytest.mark.parametrize("mode", MODES)
def test_a_checkpoint_goes_on_where_the_run_was(mode: str, tmp_path: Path) -> None:
    whole(mode=mode, folder=tmp_path)
    continued(mode=mode, folder=tmp_path)
