"""Networks in torch on torch 1.8.1's packages, doubled: launched as users do it."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from tests.ascend_doubles.machine import HERE  # noqa: E402
from tests.ascend_doubles.torch_server import SMALL, TRAINING, Launched, Server  # noqa: E402

OLD_PACKAGE, NEW_OPTIMIZERS = "1.8.1.post2-3.0.rc3", "1.8.1.post2-5.0.rc2"
pytestmark = [
    pytest.mark.long,
    pytest.mark.pytorch,
    pytest.mark.skipif(
        not torch.__version__.startswith("1.8.1"), reason="the double is of torch 1.8.1's packages"
    ),
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

O1, O2, MIXED, KEEP = "O1", "O2", "allow_mix_precision", "must_keep_origin_dtype"
APEX, TORCH_NPU = "apex.optimizers", "torch_npu.optim"


@pytest.mark.parametrize(
    "mode, scale, norm, package, optimizer",
    [
        (KEEP, "", "0.1", NEW_OPTIMIZERS, TORCH_NPU),
        (O1, "dynamic", "", NEW_OPTIMIZERS, APEX),
        (O1, "dynamic", "1", NEW_OPTIMIZERS, APEX),
        (O1, "128", "0.1", NEW_OPTIMIZERS, APEX),
        (O2, "dynamic", "", NEW_OPTIMIZERS, APEX),
        (O2, "dynamic", "1", NEW_OPTIMIZERS, APEX),
        (O2, "128", "1", NEW_OPTIMIZERS, APEX),
        (MIXED, "dynamic", "", NEW_OPTIMIZERS, TORCH_NPU),
        (MIXED, "dynamic", "1", NEW_OPTIMIZERS, TORCH_NPU),
        (MIXED, "128", "0.1", NEW_OPTIMIZERS, TORCH_NPU),
        (MIXED, "128", "0.1", OLD_PACKAGE, "torch.optim.sgd"),
    ],
)
def test_a_step_keeps_the_packages_rules(
    server: Server, mode: str, scale: str, norm: str, package: str, optimizer: str
) -> None:
    """A dynamic scale begins too large for this network; a static one of apex is never checked."""
    asked = server.ask("steps", mode, scale, norm, ASCEND_DOUBLE_TORCH_NPU=package)[0]
    (option,) = asked.noted("set_option")
    allowed = KEEP if mode == KEEP else "allow_fp32_to_fp16"
    assert option["options"] == {"ACL_PRECISION_MODE": allowed}
    found, is_new = asked.answer, package == NEW_OPTIMIZERS
    assert found["optimizer"] == optimizer and found["random_numbers_kept"] is is_new
    assert found["moved"] and found["zeroed"] and found["buffers_kept"] is is_new
    if scale != "dynamic":
        assert found["norm"] == pytest.approx(float(norm), rel=1e-2)
        assert found["distance"] < (2e-6 if mode == KEEP else 4e-3)
        assert found["scale"] == (128.0 if scale else None)
    if scale == "dynamic" or mode == MIXED:
        assert found["spoiled"] and found["went_on"]


def test_another_apex_is_known_by_its_lack_of_a_fused_optimizer(server: Server) -> None:
    assert server.ask("able", ASCEND_DOUBLE_APEX="nvidia")[0].answer == [False, False]


@pytest.mark.parametrize("package", [OLD_PACKAGE, NEW_OPTIMIZERS])
def test_each_package_is_profiled_by_what_it_has(
    server: Server, package: str, tmp_path: Path
) -> None:
    profile = server.ask("profiled", str(tmp_path), ASCEND_DOUBLE_TORCH_NPU=package)[0]
    assert len(profile.noted("profiler starts")) == 1
    assert bool(profile.noted("profiler stops")) is (package == OLD_PACKAGE)
    assert bool(profile.answer) is (package == NEW_OPTIMIZERS)


def test_two_ranks_send_by_what_hccl_has_and_skip_together(server: Server) -> None:
    for rank, asked in enumerate(server.ask("together", ranks=2)):
        assert asked.answer == {
            "mean": [0.5] * 8,
            "bytes": "seven bytes more",
            "sums": [2.0, 1.0],
            "skipped": True,  # the overflow is the second rank's
            "alike": True,
        }
        (group,) = asked.noted("init_process_group", rank)
        assert group["backend"] == "hccl"
        types = {event["type"] for event in asked.noted("collective", rank)}
        assert types <= {"torch.float32", "torch.int32"}  # HCCL broadcasts no bytes


@pytest.mark.parametrize("mode", [O1, O2, MIXED])
def test_a_checkpoint_goes_on_where_the_run_was(server: Server, mode: str, tmp_path: Path) -> None:
    for _ in range(2):
        assert server.ask("continued", mode, str(tmp_path))[0].answer is True
