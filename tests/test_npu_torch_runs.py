"""The Residual Attention Network on an Ascend server that is a double: launched as users do it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict, List, Optional

import pytest

torch = pytest.importorskip("torch")

from common.core.errors import UsageError  # noqa: E402
from tests.ascend_doubles.machine import HERE, REPOSITORY, AscendMachine  # noqa: E402
from tests.ascend_doubles.torch_shared.forked import (  # noqa: E402
    NEW_OPTIMIZERS,
    OLD_PACKAGE,
    PACKAGE_OF_2,
    generation,
    on_npu,
)

pytestmark = pytest.mark.pytorch
old = pytest.mark.skipif(generation() != 1, reason="torch 1.8.1's packages")
new = pytest.mark.skipif(generation() != 2, reason="torch 2's packages")

MODEL = "residual_attention_net"
FOLDER = REPOSITORY / "PyTorch" / MODEL
SMALL = [
    "--dataset",
    "synthetic",
    "--network",
    "small_16input",
    "--limit_train",
    "64",
    "--limit_test",
    "40",
    "--validation_count",
    "20",
    "--test_batch_size",
    "16",
]
TRAINING = SMALL + ["--batch_size", "16", "--train_epochs", "2"]
SECONDS = 400


class Launched:
    """What a launch left: exit code, output, run folder, and what the double noted of each rank."""

    def __init__(self, code: int, output: str, folder: Path, noted: Path) -> None:
        from npu_double_report import read

        self.code, self.output, self.folder = code, output, folder
        self.events = {int(name.split("_")[1]): events for name, events in read(noted).items()}

    @property
    def record(self) -> Dict[str, Any]:
        """The run's record."""
        return json.loads((self.folder / "record.json").read_text())

    def noted(self, kind: str, rank: int = 0) -> List[Dict[str, Any]]:
        """The events of a kind."""
        return [event for event in self.events[rank] if event["event"] == kind]

    def kinds(self, rank: int = 0, *wanted: str) -> List[str]:
        """The kinds of a rank's events in order."""
        return [event["event"] for event in self.events[rank] if event["event"] in wanted]

    def newest_weights(self) -> Dict[str, Any]:
        """The weights in the last checkpoint."""
        path = sorted(self.folder.glob("ckpt/step_*.pt"))[-1]
        return torch.load(str(path), map_location="cpu")["model"]


class Server:
    """An Ascend server with a checkout of this network and torch_npu, in a folder of the test's."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.machine = AscendMachine(root / "machine")
        shutil.copytree(
            str(FOLDER),
            str(root / "zoo" / "PyTorch" / MODEL),
            ignore=shutil.ignore_patterns("output", "__pycache__"),
        )
        self._runs = 0

    def start(
        self,
        case: str,
        *flags: str,
        output: Optional[Path] = None,
        apex: bool = True,
        package: str = "",
        device: str = "npu",
        script: bool = False,
    ) -> Any:
        """Starts a case, or the script of that name; (process, run folder, the double's notes)."""
        self._runs += 1
        noted = self.root / f"noted_{self._runs}"
        noted.mkdir()
        folder = self.root / f"run_{self._runs}" if output is None else output
        packages = [HERE / f"torch_npu_{generation()}"] + [HERE / "apex"] * apex
        variables = self.machine.variables(
            *packages,
            ASCEND_DOUBLE_REPORT=str(noted),
            ZOO_ROOT=str(self.root / "zoo"),
            ZOO_PYTHON=sys.executable,
            ASCEND_DOUBLE_TORCH_NPU=package
            or (NEW_OPTIMIZERS if generation() == 1 else PACKAGE_OF_2),
        )
        command = (
            ["bash", str(FOLDER / "test" / (case + ".sh"))]
            if script
            else [sys.executable, "-m", "common", "launch", MODEL, case]
        )
        command += ["--device", device, "--output_path", str(folder)] + list(flags)
        process = subprocess.Popen(
            command,
            cwd=str(self.root),
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            universal_newlines=True,
        )
        return process, folder, noted

    def launch(self, case: str, *flags: str, **where: Any) -> Launched:
        """Launches to the end."""
        return self.end(*self.start(case, *flags, **where))

    @staticmethod
    def end(process: Any, folder: Path, noted: Path) -> Launched:
        """Waits for a launch that was started."""
        output = process.communicate(timeout=SECONDS)[0]
        return Launched(process.returncode, output, folder, noted)


@pytest.fixture(scope="module", autouse=True)
def _the_doubles_notes_can_be_read():
    """The module that reads them, under a name of its own: its package would change torch."""
    import importlib.util

    path = HERE / "torch_shared" / "npu_double" / "report.py"
    specification = importlib.util.spec_from_file_location("npu_double_report", str(path))
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    sys.modules["npu_double_report"] = module
    yield
    del sys.modules["npu_double_report"]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    return Server(tmp_path_factory.mktemp("server"))


@pytest.fixture(scope="module")
def two(server):
    """Two epochs on two ranks, in the model card's precision: O2."""
    return server.launch("smoke", *TRAINING, "--ranks", "2")


# --- two ranks -------------------------------------------------------------------------------


def test_two_ranks_end_well_with_a_case_file_and_a_record(two):
    assert two.code == 0, two.output
    case = (two.folder / "residual_attention_net_bs16_2p_acc.log").read_text()
    assert "RankSize = 2" in case and "NA" not in case
    assert two.record["status"] == "complete"
    assert two.record["device"]["name"] == "Ascend910A" and two.record["device"]["count"] == 2
    assert two.record["device"]["runtime"] == "CANN 6.0.0"


def test_the_record_says_what_computed(two):
    expected = "Ascend apex O2" if generation() == 1 else "torch_npu.npu.amp autocast float16"
    assert two.record["precision"]["arithmetic"] == expected
    assert "parameter tensors on npu:0" in two.record["health"]["proof"]


def test_every_rank_opens_its_own_device_before_all_else(two):
    for rank in (0, 1):
        assert two.events[rank][0]["event"] == "set_device"
        assert two.events[rank][0]["index"] == rank
        assert two.events[rank][1] == {
            "event": "set_option",
            "options": {"ACL_PRECISION_MODE": "allow_fp32_to_fp16"},
        }


def test_the_order_is_group_model_optimizer_amp_ddp(two):
    order = ["init_process_group", "model placed", "NpuFusedSGD"]
    order += ["amp.initialize", "DDP"] if generation() == 1 else ["GradScaler", "DDP"]
    assert two.kinds(0, *order) == order


def test_ranks_meet_by_hccl_with_types_it_has(two):
    assert two.noted("init_process_group")[0]["backend"] == "hccl"
    types = {kind for event in two.noted("collective") for kind in event["types"]}
    assert types <= {"torch.float32", "torch.int32"}


def test_ddp_gets_the_number_and_broadcasts_no_buffers(two):
    for rank in (0, 1):
        event = two.noted("DDP", rank)[0]
        assert (event["device_ids"], event["broadcast_buffers"]) == ([rank], False)


def test_all_ranks_hold_the_same_weights_at_the_end(two):
    checksums = {two.noted("final weights", rank)[0]["sha256"] for rank in (0, 1)}
    assert len(checksums) == 1


def test_skipped_steps_are_those_of_the_record_and_of_every_rank(two):
    skipped = len(two.noted("step skipped"))
    assert skipped > 0  # 2**16 is too much for this network at first
    assert len(two.noted("step skipped", 1)) == skipped
    assert two.record["health"]["loss_scale_skips"] == skipped


def test_the_overflow_flag_is_shared_between_ranks(two):
    kind = "apex scaler" if generation() == 1 else "scaler starts"
    assert two.noted(kind)[0]["shares_flag"] is True


def test_no_parameter_is_left_out_of_the_fused_optimizer(two):
    assert two.noted("combined") == [{"event": "combined", "parameters": 272, "left_out": 0}]


def test_training_and_evaluation_have_one_shape(two):
    shapes: Dict[str, set] = {}
    for event in two.noted("compile"):
        shapes.setdefault(event["operation"], set()).add(json.dumps(event["shapes"]))
    # 40 test images are 20 a rank and 20 validation images 10: no multiple of the batch of 16.
    batches = {
        operation: {json.loads(text)[0][1] for text in texts}
        for operation, texts in shapes.items()
        if operation in ("linear", "cross_entropy", "argmax")
    }
    assert batches == {"linear": {16}, "cross_entropy": {16}, "argmax": {16}}


def test_nothing_of_cuda_is_turned_into_npu(two):
    assert two.noted("transfer_to_npu imported") == []


def test_formats_and_saving_are_left_to_the_npu(two):
    assert two.noted("channels_last") == []
    assert two.noted("npu tensor saved") == []  # checkpoints are moved to the CPU first
    assert {type(value) for value in two.newest_weights().values()} == {torch.Tensor}


# --- one rank, other packages ----------------------------------------------------------------


@pytest.mark.slow
@old
@pytest.mark.parametrize("package", [OLD_PACKAGE, NEW_OPTIMIZERS])
def test_torch_1_8_without_apex_trains_by_autocast(server, package):
    run = server.launch(
        "smoke", *TRAINING, "--precision_mode", "allow_mix_precision", apex=False, package=package
    )
    assert run.code == 0, run.output
    assert run.record["precision"]["arithmetic"] == "torch_npu.npu.amp autocast float16"
    assert run.noted("autocast") and run.noted("GradScaler")[0]["dynamic"] is True
    assert bool(run.noted("NpuFusedSGD")) is (package == NEW_OPTIMIZERS)


@old
def test_the_default_precision_without_apex_names_what_is_possible(server):
    run = server.launch("smoke", *TRAINING, apex=False)
    assert run.code == UsageError.exit_code
    assert (
        "Ascend's apex is not installed; the nearest possible mode is allow_mix_precision"
        in run.output
    )


@pytest.mark.slow
def test_the_smoke_case_trains_the_digits(server):
    run = server.launch(
        "smoke",
        "--train_steps",
        "3",
        "--limit_train",
        "96",
        "--limit_test",
        "40",
        "--validation_count",
        "20",
        "--test_batch_size",
        "16",
    )
    assert run.code == 0, run.output
    assert run.record["dataset"]["name"] == "digits"
    assert run.record["network"]["name"] == "attention56_cifar"
    assert run.noted("init_process_group") == []


@pytest.mark.slow
def test_the_forward_pass_of_the_processor_is_within_tolerance_on_the_npu(server):
    trusted = server.launch("smoke", *TRAINING, "--dump_tensors", "3", device="cpu")
    assert trusted.code == 0, trusted.output
    asked = server.launch(
        "smoke",
        *TRAINING,
        "--dump_from",
        str(trusted.folder),
        "--precision_mode",
        "must_keep_origin_dtype",
    )
    assert asked.code == 0, asked.output
    told = subprocess.run(
        [
            sys.executable,
            "-m",
            "common",
            "diverge",
            "--json",
            "--a",
            str(trusted.folder),
            "--b",
            str(asked.folder),
        ],
        cwd=str(REPOSITORY),
        stdout=subprocess.PIPE,
        text=True,
        timeout=SECONDS,
    )
    found = json.loads(told.stdout)
    assert found["verdict"] in ("WITHIN TOLERANCE", "DIVERGES") and found["obstacles"] == []
    forward = [item for item in found["tensors"] if item["kind"] in ("activation", "loss")]
    assert len(forward) > 300 and all(item["within"] for item in forward)
    # With 4 channels a ReLU that takes the other way is a large part of a gradient.
    gradients = sorted(item["relative"] for item in found["tensors"] if item["kind"] == "gradient")
    assert gradients[len(gradients) // 2] < 0.05 and gradients[-1] < 0.5


@pytest.mark.slow
def test_weights_trained_on_an_npu_are_evaluated_and_fine_tuned_there(server, two):
    weights = str(two.folder / "ckpt" / "best.pt")
    evaluated = server.launch("eval_1p", *SMALL, "--pth_path", weights)
    assert evaluated.code == 0, evaluated.output
    assert evaluated.record["metrics"]["n_eval"] == 40
    tuned = server.launch("finetune_1p", *TRAINING, "--pth_path", weights, "--train_steps", "4")
    assert tuned.code == 0, tuned.output
    assert tuned.record["progress"]["steps"] == 4


@pytest.mark.slow
def test_a_killed_run_is_resumed_to_the_same_weights(server, two):
    process, folder, noted = server.start(
        "smoke", *TRAINING, "--ranks", "2", "--checkpoint_minutes", "0", "--log_every", "1"
    )
    _kill_rank_0_after(3, folder, noted)
    assert server.end(process, folder, noted).code != 0
    resumed = server.launch(
        "smoke", *TRAINING, "--ranks", "2", "--resume", "--log_every", "1", output=folder
    )
    assert resumed.code == 0, resumed.output
    assert resumed.record["health"]["loss_scale_skips"] == two.record["health"]["loss_scale_skips"]
    expected, found = two.newest_weights(), resumed.newest_weights()
    differing = [name for name in expected if not torch.equal(expected[name], found[name])]
    # A checkpoint averages the running statistics over ranks, which rounds them once more.
    assert not [name for name in differing if "running_" not in name]
    assert max((expected[name] - found[name]).abs().max().item() for name in differing) < 1e-5


def _kill_rank_0_after(steps: int, folder: Path, noted: Path) -> None:
    path, deadline = folder / "rank_0" / "metrics.jsonl", time.monotonic() + SECONDS
    while not (path.exists() and path.read_text().count('"checkpoint"') >= steps):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    for first in noted.glob("rank_0_*.jsonl"):
        os.kill(int(first.stem.split("_")[2]), signal.SIGKILL)


@pytest.mark.slow
def test_the_script_for_one_device_trains(server):
    run = server.launch("train_full_1p", *TRAINING, script=True)
    assert run.code == 0, run.output
    assert run.record["case"] == "full_1p" and run.record["status"] == "complete"
    assert run.noted("init_process_group") == []


@pytest.mark.slow
def test_eight_ranks_train_together(server):
    run = server.launch(
        "train_full_8p",
        *SMALL,
        "--batch_size",
        "8",
        "--train_epochs",
        "2",
        "--limit_train",
        "128",
        script=True,
    )
    assert run.code == 0, run.output
    assert sorted(run.events) == list(range(8))
    assert [run.events[rank][0]["index"] for rank in range(8)] == list(range(8))
    assert len({run.noted("final weights", rank)[0]["sha256"] for rank in range(8)}) == 1
    assert len({len(run.noted("step skipped", rank)) for rank in range(8)}) == 1
    assert run.record["device"]["count"] == 8


# --- the adapter on the doubles, in this process's forks -------------------------------------


def small_network():
    """Well-behaved, so that a small difference of arithmetic stays a small one."""
    torch.manual_seed(0)
    nn = torch.nn
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.Conv2d(8, 8, 3, stride=2),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.Flatten(),
        nn.Linear(72, 10),
    )


def open_stepper(
    mode: str, kind: str = "npu", loss_scale: Optional[str] = None, **options: Any
) -> Any:
    """A stepper through the product's adapter, in its order."""
    from common.machine import precision as vocabulary
    from common.training.torch import runtime
    from common.training.torch import step as stepping

    wanted = vocabulary.resolve(mode, "torch", kind, runtime.capabilities(kind))
    if loss_scale is not None:
        wanted = vocabulary.with_loss_scale(wanted, loss_scale)
    device = runtime.open_device(kind, 0, wanted)
    network = runtime.place_model(small_network(), device, wanted)
    optimizer = stepping.make_sgd(
        device,
        wanted,
        network.parameters(),
        lr=0.02,
        momentum=0.9,
        weight_decay=1e-4,
        nesterov=True,
    )
    return stepping.make_stepper(network, optimizer, device, wanted, **options), device


def train(stepper: Any, device: Any, steps: int, first: int = 0, spoiled: int = -1) -> List[Any]:
    """Steps over fixed batches; (loss, skipped) of each. One step may be spoiled by an inf."""
    told = []
    for number in range(first, first + steps):
        generator = torch.Generator().manual_seed(number)
        images = torch.rand(8, 3, 8, 8, generator=generator).to(device.device)
        labels = torch.randint(0, 10, (8,), generator=generator).to(device.device)
        stepper.zero_grad()
        with stepper.forward_context():
            logits = stepper.model(images)
            loss = torch.nn.functional.cross_entropy(logits.float(), labels)
        health = stepper.step(loss * (float("inf") if number == spoiled else 1.0))
        told.append((loss.item(), health.skipped))
    return told


def weights_of(stepper: Any) -> Any:
    return torch.cat(
        [weight.detach().float().cpu().reshape(-1) for weight in stepper.module.parameters()]
    )


def trained_weights(mode: str, kind: str = "npu") -> Any:
    stepper, device = open_stepper(mode, kind)
    train(stepper, device, 3)
    return weights_of(stepper)


@pytest.mark.parametrize(
    "mode, same", [("must_keep_origin_dtype", True), ("allow_fp32_to_fp16", False)]
)
def test_float32_on_a_910a_is_that_of_a_cpu(mode, same):
    @on_npu()
    def body():
        difference = (trained_weights("O0", "cpu") - trained_weights(mode)).abs().max().item()
        assert difference < 2e-6 if same else difference > 2e-5

    body()


@new
@on_npu(soc="Ascend910B3")
def test_float32_on_a_910b_is_that_of_a_cpu():
    difference = (trained_weights("O0", "cpu") - trained_weights("O0")).abs().max().item()
    assert difference < 2e-6


@new
@on_npu(soc="Ascend910B3")
def test_bfloat16_trains_on_a_910b():
    stepper, device = open_stepper("mixed_bfloat16")
    told = train(stepper, device, 3)
    assert not any(skipped for _, skipped in told)


@new
@on_npu(soc="Ascend910A")
def test_bfloat16_is_refused_on_a_910a():
    with pytest.raises(UsageError, match="no bfloat16 arithmetic"):
        open_stepper("mixed_bfloat16")


# For torch 2 the three are one: torch_npu's own autocast.
MODES = ["O1", "O2", "allow_mix_precision"] if generation() == 1 else ["O2"]


@pytest.mark.parametrize("mode", MODES)
def test_mixed_precision_moves_every_weight_and_keeps_close_to_float32(mode):
    @on_npu(soc="Ascend910B3")
    def body():
        stepper, device = open_stepper(mode, loss_scale="128")
        before = [weight.detach().float().cpu() for weight in stepper.module.parameters()]
        train(stepper, device, 3)
        after = [weight.detach().float().cpu() for weight in stepper.module.parameters()]
        assert not any(torch.equal(one, other) for one, other in zip(before, after))
        assert (weights_of(stepper) - trained_weights("O0", "cpu")).abs().max().item() < 2e-3

    body()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("norm", [None, 1.0])
def test_an_overflow_is_skipped_seen_and_halves_a_dynamic_scale(mode, norm):
    @on_npu(soc="Ascend910B3")
    def body():
        stepper, device = open_stepper(mode, loss_scale="dynamic", max_gradient_norm=norm)
        train(stepper, device, 2)
        before = weights_of(stepper)
        assert train(stepper, device, 1, first=2, spoiled=2)[0][1] is True
        assert torch.equal(weights_of(stepper), before)
        assert train(stepper, device, 1, first=3)[0][1] is False
        assert not torch.equal(weights_of(stepper), before)

    body()


def test_a_static_scale_of_the_scaler_is_checked_all_the_same():
    @on_npu(soc="Ascend910B3")
    def body():
        stepper, device = open_stepper("allow_mix_precision", loss_scale="128")
        train(stepper, device, 1)
        before = weights_of(stepper)
        assert train(stepper, device, 1, first=1, spoiled=1)[0][1] is True
        assert torch.equal(weights_of(stepper), before)
        told = train(stepper, device, 1, first=2)
        assert told[0][1] is False and stepper.state_dict()["state"]["scale"] == 128.0

    body()


@pytest.mark.parametrize("package", [OLD_PACKAGE, NEW_OPTIMIZERS])
@old
def test_the_optimizer_is_the_one_that_the_package_has(package):
    @on_npu(package=package)
    def body():
        stepper, device = open_stepper("allow_mix_precision")
        fused = package == NEW_OPTIMIZERS
        assert type(stepper.optimizer).__module__.startswith(
            "torch_npu" if fused else "torch.optim"
        )
        train(stepper, device, 2)

    body()


@on_npu()
def test_gradients_keep_their_buffers_in_a_fused_optimizer():
    stepper, device = open_stepper("O2", loss_scale="128")
    train(stepper, device, 1)
    before = [weight.grad.data_ptr() for weight in stepper.module.parameters()]
    stepper.zero_grad()
    assert [weight.grad.data_ptr() for weight in stepper.module.parameters()] == before
    assert not any(weight.grad.any() for weight in stepper.module.parameters())


@pytest.mark.parametrize("mode", MODES + ["must_keep_origin_dtype"])
def test_gradients_are_clipped_by_their_norm(mode):
    @on_npu(soc="Ascend910B3")
    def body():
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

    body()


def run_program(folder: Path, *flags: str) -> Any:
    """Trains by the real entry point in this process; returns what the double noted."""
    from npu_double import report

    from residual_attention_net.train import main

    words = [
        word.replace("--batch_size", "--train_batch_size").replace(
            "--train_epochs", "--total_epochs"
        )
        for word in TRAINING
    ]
    assert (
        main(
            words
            + [
                "--device_type",
                "npu",
                "--precision_mode",
                "O2",
                "--limit_train",
                "32",
                "--total_epochs",
                "1",
                "--output_path",
                str(folder),
            ]
            + list(flags)
        )
        == 0
    )
    return report.events


def test_the_program_compiles_each_operation_of_a_batch_once(tmp_path):
    @on_npu()
    def body():
        import torch_npu  # noqa: F401

        shapes: Dict[str, set] = {}
        for event in run_program(tmp_path):
            if event["event"] == "compile":
                shapes.setdefault(event["operation"], set()).add(str(event["shapes"]))
        # Of 40 test images and 20 validation images the last batch of 16 is padded.
        assert {
            name: len(shapes[name]) for name in ("linear", "cross_entropy", "argmax", "index_add_")
        } == {"linear": 1, "cross_entropy": 1, "argmax": 1, "index_add_": 1}

    body()


def test_the_program_saves_from_the_cpu_and_leaves_the_formats_alone(tmp_path):
    @on_npu()
    def body():
        import torch_npu  # noqa: F401

        kinds = {event["event"] for event in run_program(tmp_path)}
        assert not kinds & {"npu tensor saved", "channels_last", "transfer_to_npu imported"}

    body()


def test_tensors_can_be_dumped_from_the_npu(tmp_path):
    @on_npu()
    def body():
        import numpy
        import torch_npu  # noqa: F401

        run_program(tmp_path, "--dump_tensors", "1", "--precision_mode", "O0")
        stored = numpy.load(str(tmp_path / "tensors" / "step_00000001" / "tensors.npz"))
        assert len(stored.files) > 272
        assert all(numpy.isfinite(stored[name]).all() for name in stored.files)

    body()


@pytest.mark.parametrize("package", [OLD_PACKAGE, NEW_OPTIMIZERS])
@old
def test_each_package_of_torch_1_8_is_profiled_by_what_it_has(package, tmp_path):
    @on_npu(package=package)
    def body():
        profiled_steps(tmp_path)
        from npu_double import report

        assert report.kinds("profiler starts") == ["profiler starts"]
        by_folder = report.events[-1].get("event") == "profiler stops"
        assert by_folder is (package == OLD_PACKAGE)
        assert bool(list(tmp_path.glob("*_ascend_pt.json"))) is (package == NEW_OPTIMIZERS)

    body()


@new
def test_torch_2_is_profiled_by_torch_npus_profiler(tmp_path):
    @on_npu()
    def body():
        from common.training.torch.profile import ACTIVE

        profiled_steps(tmp_path)
        traces = list(tmp_path.glob("*_ascend_pt.json"))
        assert [len(json.loads(trace.read_text())["steps"]) for trace in traces] == [ACTIVE]

    body()


def profiled_steps(folder: Path) -> None:
    """More steps than a profile takes."""
    from common.training.torch.profile import ACTIVE, WAIT, WARMUP, StepProfiler

    _, device = open_stepper("O0")
    profiler = StepProfiler(device, folder)
    for _ in range(WAIT + WARMUP + ACTIVE + 2):
        profiler.step()
    profiler.close()


def rank_with_group() -> Any:
    """(rank, device of the adapter) of a two-rank job, in the product's order."""
    from common.machine import precision as vocabulary
    from common.training.torch import runtime

    rank = int(os.environ["RANK"])
    wanted = vocabulary.resolve("O2", "torch", "npu", runtime.capabilities("npu"))
    device = runtime.open_device("npu", rank, wanted)
    runtime.init_process_group(device, rank, 2, timeout_seconds=30)
    return rank, device, wanted


@on_npu(ranks=2)
def test_two_ranks_average_their_gradients_and_skip_together():
    _skip_together()


@old
@on_npu(ranks=2)
def test_two_ranks_under_apex_skip_together():
    _skip_together()
    assert "amp" in sys.modules["apex"].__dict__


def _skip_together() -> None:
    from common.training.torch import runtime
    from common.training.torch import step as stepping

    rank, device, wanted = rank_with_group()
    network = runtime.place_model(small_network(), device, wanted)
    optimizer = stepping.make_sgd(device, wanted, network.parameters(), lr=0.02, momentum=0.9)
    stepper = stepping.make_stepper(network, optimizer, device, wanted, world_size=2)
    told = train(stepper, device, 3, first=10 * rank, spoiled=11)  # on the second rank only
    assert told[1][1] is True
    alike = [torch.zeros_like(weights_of(stepper)).to(device.device) for _ in range(2)]
    torch.distributed.all_gather(alike, weights_of(stepper).to(device.device))
    assert torch.equal(alike[0].cpu(), alike[1].cpu())
    from npu_double import report

    shared = [event["shares_flag"] for event in report.events if "shares_flag" in event]
    assert torch.distributed.get_backend() == "hccl" and shared == [True]


@old
@on_npu(ranks=2)
def test_checkpoints_are_sent_in_a_type_that_hccl_of_torch_1_8_has():
    from residual_attention_net.shared_checkpoint import _from_first_rank

    rank, device, _ = rank_with_group()
    content = b"seven bytes more" if rank == 0 else b""
    assert _from_first_rank(content, device.device) == b"seven bytes more"


@on_npu(ranks=2)
def test_ranks_add_up_and_compare_by_what_hccl_has():
    from residual_attention_net.distributed import (
        average_batch_norm_statistics,
        sum_over_ranks,
        weights_agree,
    )

    rank, device, _ = rank_with_group()
    network = small_network().to(device.device)
    network[1].running_mean.fill_(float(rank))
    average_batch_norm_statistics(network)
    assert network[1].running_mean.tolist() == [0.5] * 8
    assert sum_over_ranks([1.0, rank], device.device) == [2.0, 1.0]
    assert weights_agree(network, device.device) is True
    network[0].weight.data.add_(rank)
    assert weights_agree(network, device.device) is False


@old
@on_npu(soc="Ascend910B3")
def test_apex_takes_a_static_scale():
    stepper, device = open_stepper("O2", loss_scale="128")
    train(stepper, device, 2)
    assert stepper.state_dict()["state"]["amp"]["loss_scaler0"]["loss_scale"] == 128.0


@pytest.mark.parametrize("mode", MODES)
def test_a_checkpoint_goes_on_where_the_run_was(mode, tmp_path):
    _goes_on(mode, tmp_path)


@old
def test_apexs_float32_weights_are_part_of_a_checkpoint(tmp_path):
    _goes_on("O2", tmp_path)


def _goes_on(mode: str, tmp_path: Path) -> None:
    def checkpoint(stepper: Any) -> Dict[str, Any]:
        return {
            "model": stepper.module.state_dict(),
            "optimizer": stepper.optimizer_state(),
            "scaler": stepper.state_dict(),
        }

    @on_npu()
    def whole():
        from residual_attention_net.checkpoint import on_host

        stepper, device = open_stepper(mode)
        train(stepper, device, 6)
        torch.save(on_host(checkpoint(stepper)), str(tmp_path / "middle.pt"))
        train(stepper, device, 2, first=6)
        torch.save(weights_of(stepper), str(tmp_path / "end.pt"))

    @on_npu()
    def continued():
        from common.training.torch import runtime

        content = torch.load(str(tmp_path / "middle.pt"))
        real, runtime.place_model = runtime.place_model, None

        def place(network, device, precision):
            placed = real(network, device, precision)
            placed.load_state_dict(content["model"])
            return placed

        runtime.place_model = place
        stepper, device = open_stepper(mode)
        stepper.load_optimizer_state(content["optimizer"])
        stepper.load_state_dict(content["scaler"])
        train(stepper, device, 2, first=6)
        assert torch.equal(weights_of(stepper), torch.load(str(tmp_path / "end.pt")))

    whole()
    continued()


@old
@on_npu(package=OLD_PACKAGE)
def test_random_states_are_kept_where_the_package_can_not_tell_the_devices():
    from common.training.torch import runtime

    _, device = open_stepper("O0")
    state = runtime.rng_state(device)
    runtime.set_rng_state(state, device)
    assert state["device"] is None


@on_npu()
def test_the_devices_random_state_is_kept():
    from common.training.torch import runtime

    _, device = open_stepper("O0")
    state = runtime.rng_state(device)
    first = torch.rand(3, device=device.device).tolist()
    runtime.set_rng_state(state, device)
    assert torch.rand(3, device=device.device).tolist() == first
