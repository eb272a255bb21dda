"""zoo doctor on an Ascend machine: each check, with what it calls ok, warn and fail."""

from __future__ import annotations

import dataclasses
import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from common.ascend import checks
from common.ascend.surroundings import NpuProcess, read_states
from common.commands.doctor import look
from common.core.errors import FAIL, OK, WARN
from common.machine.devices import Machine, npu_has_bfloat16, npu_is_910a, npu_name_in
from common.machine.surroundings import Surroundings
from tests.ascend_doubles.machine import AscendMachine

SERVER = Machine(
    npu_count=8,
    gpu_count=0,
    gpu_names=(),
    npu_driver="22.0.4",
    gpu_driver="",
    cpu_name="a CPU",
    core_ids=(0, 1),
    cpu_quota=None,
    memory_bytes=16 * 10**9,
    architecture="aarch64",
)
FACTS = Surroundings(
    python=(3, 7, 16),
    packages={"tensorflow": "1.15.0"},
    machine=SERVER,
    environment={},
    cann_scripts=(),
    cann="",
    rank_table=None,
    open_files=4096,
    shared_memory=8 * 10**9,
    data_folder="data",
    datasets=("CIFAR-10",),
    disk_folder=".",
    disk_free=50 * 10**9,
    tf_plugin="/cann/npu_bridge",
)


def facts(**changes: Any) -> Surroundings:
    return dataclasses.replace(FACTS, **changes)


def with_variables(**variables: str) -> Surroundings:
    return facts(environment=variables)


def status(finding: Any) -> Any:
    assert finding is None or finding.status == OK or finding.remedy
    return finding and finding.status


def npu_smi_of(tmp_path: Path, **state: Any) -> str:
    machine = AscendMachine(tmp_path / "server", **state)
    return subprocess.check_output(
        ["npu-smi", "info"], env=machine.variables(), universal_newlines=True
    )


def test_a_machine_without_npus_is_asked_none_of_this() -> None:
    assert checks.examine_ascend(facts(machine=dataclasses.replace(SERVER, npu_count=0))) == []


def test_the_driver() -> None:
    assert status(checks.check_driver(FACTS)) == OK
    none = dataclasses.replace(SERVER, npu_driver="")
    assert status(checks.check_driver(facts(machine=none))) == WARN


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
    zero = checks.check_execution_timeout(
        facts(npu_smi=text, environment={"HCCL_EXEC_TIMEOUT": "0"})
    )
    assert zero is not None and zero.status == OK and "for ever" in zero.found


def test_health(tmp_path: Path) -> None:
    assert status(checks.check_health(facts(npu_smi=npu_smi_of(tmp_path / "a")))) == OK
    ill = checks.check_health(facts(npu_smi=npu_smi_of(tmp_path / "b", unhealthy=(5,))))
    assert (ill.status, "5 (Alarm)" in ill.found, "-i 5" in ill.remedy) == (FAIL, True, True)
    assert status(checks.check_health(facts(npu_smi="something else"))) == WARN


def test_devices_that_others_use(tmp_path: Path) -> None:
    assert status(checks.check_free(facts(npu_smi=npu_smi_of(tmp_path / "a")))) == OK
    busy = checks.check_free(facts(npu_smi=npu_smi_of(tmp_path / "b", busy=(0, 3))))
    assert busy is not None and busy.status == WARN and "device 3" in busy.found
    assert checks.check_free(FACTS) is None


@pytest.mark.parametrize(
    "text, seen, expected",
    [
        ("0,1,3", 3, OK),
        ("3", 1, OK),
        ("1,0", 2, FAIL),
        ("0,0", 2, FAIL),
        ("", 0, FAIL),
        ("npu0", 0, FAIL),
        ("1, 2,3", 1, FAIL),
        ("1,3,8", 2, FAIL),
    ],
)
def test_visible_devices_ascend_and_are_there(text: str, seen: int, expected: str) -> None:
    found = facts(
        environment={"ASCEND_RT_VISIBLE_DEVICES": text},
        machine=dataclasses.replace(SERVER, npu_count=seen),
    )
    assert status(checks.check_visible(found)) == expected
    assert checks.check_visible(FACTS) is None


def test_chips_after_the_910a_need_a_package_of_kernels(tmp_path: Path) -> None:
    new = npu_smi_of(tmp_path / "new", soc="Ascend910B3")
    assert status(checks.check_kernels(facts(npu_smi=new))) == WARN
    assert status(checks.check_kernels(facts(npu_smi=new, npu_kernels=True))) == OK
    assert checks.check_kernels(facts(npu_smi=npu_smi_of(tmp_path / "old"))) is None


def test_a_torch_npu_that_no_index_has_is_not_asked_of_pip() -> None:
    for torch, remedy in (("1.8.1", "release page"), ("2.13.0", "torch_npu==2.13.0.*")):
        found = checks.check_torch_npu(facts(packages={"torch": torch}))
        assert found is not None and remedy in found.remedy


def test_the_tensorflow_plugin() -> None:
    assert status(checks.check_plugin(FACTS)) == OK
    assert status(checks.check_plugin(facts(tf_plugin=""))) == FAIL
    with_torch = {"tensorflow": "1.15.0", "torch-npu": "1.8.1"}
    assert status(checks.check_plugin(facts(tf_plugin="", packages=with_torch))) == WARN
    assert checks.check_plugin(facts(tf_plugin="", packages={"torch": "1.8.1"})) is None


def test_npu_bridge_is_for_tensorflow_1_15() -> None:
    assert checks.check_tensorflow(FACTS) is None
    assert status(checks.check_tensorflow(facts(packages={"tensorflow": "2.21.0"}))) == FAIL


def addresses(count: int) -> str:
    return "".join(f"address_{number}=192.168.100.{number}\n" for number in range(count))


@pytest.mark.parametrize(
    "text, expected",
    [(addresses(8), OK), (addresses(7), WARN), (None, WARN), ("address_0=nothing\n", WARN)],
)
def test_addresses_of_the_devices(text: Any, expected: str) -> None:
    assert status(checks.check_addresses(facts(hccn=text))) == expected


def test_one_device_needs_no_addresses() -> None:
    assert checks.check_addresses(facts(machine=dataclasses.replace(SERVER, npu_count=1))) is None


def test_ports_of_hccl() -> None:
    assert status(checks.check_ports(FACTS)) == OK
    busy = checks.check_ports(facts(busy_hccl_ports=(60003,)))
    assert busy is not None and busy.status == WARN and "60003" in busy.found


@pytest.mark.parametrize(
    "text, expected",
    [("120", OK), ("7200", OK), ("119", FAIL), ("7201", FAIL), ("", FAIL), ("10m", FAIL)],
)
def test_the_time_to_connect(text: str, expected: str) -> None:
    found = with_variables(HCCL_CONNECT_TIMEOUT=text)
    assert status(checks.check_connect_timeout(found)) == expected
    assert checks.check_connect_timeout(FACTS) is None


def test_the_time_of_an_exchange_is_told_as_hccl_rounds_it() -> None:
    asked = dataclasses.replace(with_variables(HCCL_EXEC_TIMEOUT="3600"), npu_smi="910A")
    rounded = checks.check_execution_timeout(asked)
    assert rounded is not None and "takes as 3536" in rounded.found


@pytest.mark.parametrize(
    "seconds, chip, expected",
    [
        ("60", "910A", OK),
        ("68", "910A", OK),
        ("18000", "910A", FAIL),
        ("1800.5", "910A", FAIL),
        ("0", "910B3", OK),
        ("18000", "910B3", OK),
        ("1800.5", "910B3", OK),
        ("2147483648", "910B3", FAIL),
        ("ten", "910B3", FAIL),
    ],
)
def test_the_limits_of_an_exchange_are_the_chips(seconds: str, chip: str, expected: str) -> None:
    facts = dataclasses.replace(with_variables(HCCL_EXEC_TIMEOUT=seconds), npu_smi=chip)
    assert status(checks.check_execution_timeout(facts)) == expected


# --- a machine as a whole ---


def test_the_facts_of_a_server_are_gathered(tmp_path: Path, monkeypatch: Any) -> None:
    machine = AscendMachine(tmp_path / "server")
    monkeypatch.setenv("PATH", machine.variables()["PATH"])
    found = look(tmp_path, tmp_path, machine.root, {"HCCL_IF_BASE_PORT": "50000"})
    assert found.machine.npu_count == 8 and "910A" in found.npu_smi
    assert found.tf_plugin.endswith("npu_bridge") and "address_7" in str(found.hccn)
    assert not found.npu_kernels
    opp = "usr/local/Ascend/ascend-toolkit/latest/opp/built-in/op_impl/ai_core/tbe/kernel/config"
    machine.write(opp + "/ascend910b/binary_info_config.json", "{}")
    assert look(tmp_path, tmp_path, machine.root, {}).npu_kernels


def test_a_port_that_something_listens_at_is_found(tmp_path: Path) -> None:
    machine = AscendMachine(tmp_path / "server")
    with socket.socket() as listener:
        listener.bind(("", 0))
        listener.listen(1)
        port = listener.getsockname()[1]
        found = look(tmp_path, tmp_path, machine.root, {"HCCL_IF_BASE_PORT": str(port)})
    assert port in found.busy_hccl_ports


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
