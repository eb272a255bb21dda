"""zoo doctor on an Ascend machine: each check, with what it calls ok, warn and fail."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from common.ascend.surroundings import NpuProcess, read_states
from common.commands.doctor import look
from common.core.errors import FAIL, OK, WARN
from common.machine.devices import npu_has_bfloat16, npu_is_910a, npu_name_in
from tests.ascend_doubles.machine import AscendMachine
from tests.test_doctor import HCCN, facts, found, npu_server, packages


def npu_smi_of(tmp_path: Path, **state: Any) -> str:
    machine = AscendMachine(tmp_path / "server", **state)
    return subprocess.check_output(
        ["npu-smi", "info"], env=machine.variables(), universal_newlines=True
    )


def test_npu_smi_is_read(tmp_path: Path) -> None:
    health, processes = read_states(npu_smi_of(tmp_path, devices=3, busy=(1,), unhealthy=(2,)))
    assert health == [(0, "OK"), (1, "OK"), (2, "Alarm")]
    assert processes == [NpuProcess(1, 4001, "python3")]


def test_a3_is_known_by_its_dies(tmp_path: Path) -> None:
    """Its table calls the chip Ascend910, and counts cards; programs count dies, by Phy-ID."""
    text = npu_smi_of(tmp_path, soc="Ascend910_9391", devices=16, busy=(5,), unhealthy=(7,))
    health, processes = read_states(text)
    assert health[7] == (7, "Alarm") and len(health) == 16
    assert processes == [NpuProcess(5, 4005, "python3")]
    assert npu_has_bfloat16(npu_name_in(text)) and not npu_is_910a(npu_name_in(text))
    seen = npu_server(npu_smi=text, environment={"HCCL_EXEC_TIMEOUT": "0"})
    assert "for ever" in found(seen, "HCCL_EXEC_TIMEOUT").found


def test_devices_that_are_ill_or_in_use_are_named(tmp_path: Path) -> None:
    seen = npu_server(npu_smi=npu_smi_of(tmp_path, busy=(0, 3), unhealthy=(5,)))
    ill, busy = found(seen, "NPU health"), found(seen, "NPUs free")
    assert (ill.status, "5 (Alarm)" in ill.found, "-i 5" in ill.remedy) == (FAIL, True, True)
    assert busy.status == WARN and "device 3" in busy.found


def of_tensorflow(**more: Any) -> Any:
    return {**packages(tensorflow="1.15.0"), "tf_plugin": "/cann", **more}


def variables(**given: str) -> Any:
    return {"environment": given}


@pytest.mark.parametrize(
    "what, changes, status",
    [
        ("NPU driver", {"driver": ""}, WARN),
        ("NPU health", {"npu_smi": "something else"}, WARN),
        ("NPUs free", {"npu_smi": "something else"}, ""),
        *[
            ("visible NPUs", {"npus": seen, **variables(ASCEND_RT_VISIBLE_DEVICES=text)}, status)
            for text, seen, status in (
                ("0,1,3", 3, OK),
                ("3", 1, OK),
                ("1,0", 2, FAIL),
                ("0,0", 2, FAIL),
                ("", 0, ""),
                ("1, 2,3", 1, FAIL),
                ("1,3,8", 2, FAIL),
            )
        ],
        # Chips after the 910A need a package of kernels.
        ("CANN kernels", {"npu_smi": "910B3"}, WARN),
        ("CANN kernels", {"npu_smi": "910B3", "npu_kernels": True}, OK),
        ("CANN kernels", {}, ""),
        ("TensorFlow plugin", of_tensorflow(), OK),
        ("TensorFlow plugin", of_tensorflow(tf_plugin=""), FAIL),
        ("TensorFlow plugin", packages(tensorflow="1.15.0", torch_npu="1.8.1"), WARN),
        ("TensorFlow plugin", packages(torch="1.8.1"), ""),
        ("TensorFlow", of_tensorflow(), ""),
        ("TensorFlow", packages(tensorflow="2.21.0"), FAIL),
        ("device addresses", {}, OK),
        ("device addresses", {"hccn": HCCN.partition("address_7")[0]}, WARN),
        ("device addresses", {"hccn": None}, WARN),
        ("device addresses", {"hccn": "address_0=nothing\n"}, WARN),
        ("device addresses", {"npus": 1}, ""),
        ("HCCL ports", {}, OK),
        ("HCCL ports", {"busy_hccl_ports": (60003,)}, WARN),
        *[
            ("HCCL_CONNECT_TIMEOUT", variables(HCCL_CONNECT_TIMEOUT=text), status)
            for text, status in (
                ("120", OK),
                ("7200", OK),
                ("119", FAIL),
                ("7201", FAIL),
                ("", FAIL),
                ("10m", FAIL),
            )
        ],
        *[
            ("HCCL_EXEC_TIMEOUT", {"npu_smi": chip, **variables(HCCL_EXEC_TIMEOUT=text)}, status)
            for text, chip, status in (
                ("60", "910A", OK),
                ("68", "910A", OK),
                ("18000", "910A", FAIL),
                ("1800.5", "910A", FAIL),
                ("0", "910B3", OK),
                ("18000", "910B3", OK),
                ("1800.5", "910B3", OK),
                ("2147483648", "910B3", FAIL),
                ("ten", "910B3", FAIL),
            )
        ],
    ],
)
def test_a_check_of_an_ascend_server_calls_it(what: str, changes: Any, status: str) -> None:
    assert found(npu_server(**changes), what).status == status
    assert found(facts(), what).status == ""  # a machine without NPUs is asked none of this


def test_the_time_of_an_exchange_is_told_as_hccl_rounds_it() -> None:
    seen = npu_server(npu_smi="910A", environment={"HCCL_EXEC_TIMEOUT": "3600"})
    assert "takes as 3536" in found(seen, "HCCL_EXEC_TIMEOUT").found


@pytest.mark.parametrize(
    "torch, remedy", [("1.8.1", "release page"), ("2.13.0", "torch_npu==2.13.0.*")]
)
def test_a_torch_npu_that_no_index_has_is_not_asked_of_pip(torch: str, remedy: str) -> None:
    assert remedy in found(npu_server(packages={"torch": torch}), "torch_npu").remedy


# --- a machine as a whole ---


def test_the_facts_of_a_server_are_gathered(tmp_path: Path, monkeypatch: Any) -> None:
    machine = AscendMachine(tmp_path / "server")
    monkeypatch.setenv("PATH", machine.variables()["PATH"])
    with socket.socket() as listener:
        listener.bind(("", 0))
        listener.listen(1)
        port = listener.getsockname()[1]
        seen = look(tmp_path, tmp_path, machine.root, {"HCCL_IF_BASE_PORT": str(port - 31)})
    assert port in seen.busy_hccl_ports
    assert seen.machine.npu_count == 8 and "910A" in seen.npu_smi
    assert seen.tf_plugin.endswith("npu_bridge") and "address_7" in str(seen.hccn)
    assert not seen.npu_kernels
    opp = "usr/local/Ascend/ascend-toolkit/latest/opp/built-in/op_impl/ai_core/tbe/kernel/config"
    machine.write(opp + "/ascend910b/binary_info_config.json", "{}")
    assert look(tmp_path, tmp_path, machine.root, {}).npu_kernels


def test_the_doctor_looks_at_the_whole_server(tmp_path: Path) -> None:
    machine = AscendMachine(tmp_path / "server", unhealthy=(2,), busy=(1,))
    done = subprocess.run(
        [sys.executable, "-m", "common", "doctor", "--json"],
        env=machine.variables(),
        cwd=str(tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
    )
    told = {line["what"]: line for line in json.loads(done.stdout)}
    assert done.returncode == 1, done.stderr
    assert told["NPU health"]["status"] == FAIL and "8 NPUs" in told["devices"]["found"]
    assert told["NPUs free"]["status"] == WARN and told["CANN"]["status"] == OK
