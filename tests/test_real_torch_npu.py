"""The residual network on the registry's own torch_npu, over stubs of CANN's libraries."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict

import pytest

from common.core.errors import ZooError
from tests.ascend_doubles.torch_server import SECONDS, SMALL, TRAINING, Launched, Server
from tests.fake_zoo import REPOSITORY
from tests.real_torch_npu import installed

pytestmark = [
    pytest.mark.pytorch,
    pytest.mark.torch_npu,
    pytest.mark.long,
    pytest.mark.skipif(
        not installed.is_ready(),
        reason=f"no real torch_npu in {installed.FOLDER}: scripts/test.sh --all installs it",
    ),
]
FLOAT32 = ("--precision_mode", "must_keep_origin_dtype")
EVERY_STEP = ("--checkpoint_minutes", "0", "--log_every", "1")
# aclSetCompileopt's numbers: the precision mode, and HF32 for convolutions and products.
PRECISION, HF32 = "aclSetCompileopt 0", "aclSetCompileopt 14"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Server:
    return Server(
        tmp_path_factory.mktemp("server"),
        [installed.FOLDER],
        soc="Ascend910B3",
        real_torch_npu=True,
    )


@pytest.fixture(scope="module")
def trained(server: Server) -> Launched:
    """Two epochs in the model card's precision."""
    return server.launch("smoke", *TRAINING, *EVERY_STEP)


def test_the_network_trains_in_mixed_precision_and_tells_what_computed(trained: Launched) -> None:
    assert trained.code == 0, trained.output
    record = trained.record
    assert record["status"] == "complete"
    assert record["device"]["name"] == "Ascend910B3"
    assert record["device"]["runtime"] == "CANN 6.0.0"
    assert f"torch_npu {installed.RELEASE}" in json.dumps(record)
    assert record["precision"]["arithmetic"] == "torch_npu.npu.amp autocast float16"
    assert "parameter tensors on npu:0" in record["health"]["proof"]


def test_an_overflow_is_skipped_by_the_real_scaler_and_counted(trained: Launched) -> None:
    skips = trained.record["health"]["loss_scale_skips"]
    assert skips > 0  # 2**16 is too much for this network at first


def test_the_device_is_set_first_and_no_precision_is_set_below_the_chips_own(trained) -> None:
    calls = trained.calls()
    assert "aclrtSetDevice device=0" in calls
    assert [call for call in calls if call.startswith(PRECISION)][-1] == (
        f"{PRECISION}=must_keep_origin_dtype"
    )
    assert [call for call in calls if call.startswith(HF32)][-1] == f"{HF32}=00"


def test_a_killed_run_goes_on_bit_for_bit(server: Server, trained: Launched) -> None:
    killed = server.killed("smoke", *TRAINING, *EVERY_STEP, after=3)
    assert killed.code != 0
    resumed = server.launch("smoke", *TRAINING, *EVERY_STEP, "--resume", output=killed.folder)
    assert resumed.code == 0, resumed.output
    expected, found = trained.newest_weights(), resumed.newest_weights()
    assert all((expected[name] == found[name]).all() for name in expected)
    assert (
        resumed.record["health"]["loss_scale_skips"]
        == (trained.record["health"]["loss_scale_skips"])
    )


def test_a_step_of_the_processor_is_within_tolerance_on_the_npu(server: Server) -> None:
    trusted = server.launch("smoke", *TRAINING, "--dump_tensors", "3", device="cpu")
    assert trusted.code == 0, trusted.output
    asked = server.launch("smoke", *TRAINING, "--dump_from", str(trusted.folder), *FLOAT32)
    assert asked.code == 0, asked.output
    found = diverged(trusted.folder, asked.folder)
    assert found["verdict"] == "WITHIN TOLERANCE" and found["obstacles"] == []


def diverged(first: Path, second: Path) -> Dict[str, Any]:
    """What `zoo diverge` tells of two dumps."""
    words = [sys.executable, "-m", "common", "diverge", "--json", "--a", str(first)]
    told = subprocess.run(
        words + ["--b", str(second)], cwd=str(REPOSITORY), stdout=subprocess.PIPE, timeout=SECONDS
    )
    return json.loads(told.stdout)


# --- the adapter -----------------------------------------------------------------------------


def test_the_chip_is_asked_for_bfloat16(server: Server) -> None:
    expected = {
        "Ascend910A": False,
        "Ascend910B3": True,
        "Ascend910_9391": True,
        "Ascend950PR_9589": True,
    }
    for chip, able in expected.items():
        assert server.ask("able", STUB_SOC=chip)[0].answer[0] is able


@pytest.mark.parametrize(
    "mode, scale, norm", [("O0", "", ""), ("O2", "dynamic", ""), ("O2", "128", "1e-3")]
)
def test_the_adapters_step_keeps_the_packages_rules(
    server: Server, mode: str, scale: str, norm: str
) -> None:
    found = server.ask("steps", mode, scale, norm)[0].answer
    assert found["optimizer"] == "torch_npu.optim.npu_fused_sgd"
    assert found["moved"] and found["buffers_kept"] and found["zeroed"]
    assert found["random_numbers_kept"]
    assert found["distance"] < 2e-6 or mode != "O0"
    assert found["norm"] == pytest.approx(1e-3, rel=1e-2) or not norm
    if scale:
        assert found["spoiled"] and found["went_on"]
        assert found["scale"] == (2.0**15 if scale == "dynamic" else 128.0)


def test_two_ranks_start_hccl(server: Server) -> None:
    for rank, asked in enumerate(server.ask("group", ranks=2)):
        assert asked.answer == ["hccl", 2]
        calls = "\n".join(asked.calls())
        assert ("aclrtSetDevice device=1" in calls) is (rank == 1)
        assert "HcclCommInit ranks=2" in calls and f"HcclCommInit rank={rank}" in calls
        assert "HcclAllReduce type=4" in calls  # float32


def test_a_shell_without_cann_gets_help_and_one_line(server: Server, tmp_path: Path) -> None:
    """torch loads torch_npu by itself, which fails there."""
    outcomes = []
    for flags in (["--help"], ["--device_type=npu", *SMALL, f"--output_path={tmp_path}"]):
        outcomes.append(
            subprocess.run(
                [sys.executable, "-m", "residual_attention_net.train", *flags],
                env=dict(
                    server.variables(tmp_path),
                    PYTHONPATH=":".join(
                        map(str, (REPOSITORY / "PyTorch", REPOSITORY, installed.FOLDER))
                    ),
                ),
                cwd=str(tmp_path),
                capture_output=True,
                text=True,
            )
        )
    told, refused = outcomes
    assert told.returncode == 0 and "--train_batch_size" in told.stdout
    assert refused.returncode == ZooError.exit_code
    (line,) = refused.stderr.strip().splitlines()
    assert "source CANN's set_env.sh" in line
