"""zoo doctor: each check, with what it calls ok, warn and fail."""

from __future__ import annotations

import dataclasses
import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from common.ascend.doctor import NpuProcess, read_states
from common.commands import doctor as command
from common.core.command_line import Parser
from common.core.errors import FAIL, OK, WARN, Finding, UsageError
from common.machine.devices import Machine, npu_is_910a, npu_name_in
from common.machine.doctor import Surroundings, installed_packages
from tests.ascend_doubles.machine import AscendMachine
from tests.rank_tables import changed, one_server, text_of

ROOT = Path(__file__).resolve().parents[1]
LAPTOP = Machine(
    npu_count=0,
    gpu_count=0,
    gpu_names=(),
    npu_driver="",
    core_ids=(0, 1),
    cpu_quota=None,
    memory_bytes=16 * 10**9,
)
FACTS = Surroundings(
    python=(3, 11, 7),
    packages={"torch": "2.13.0+cpu"},
    machine=LAPTOP,
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
)
NPU_SMI = "".join(
    f"| {number}     910A           | OK            | 68.3        38     0 |\n"
    for number in range(8)
)
HCCN = "".join(f"address_{number}=192.168.100.{number}\n" for number in range(8))


def facts(**changes):
    """A laptop's facts with changes; a machine's own by its fields' names."""
    own = {field.name for field in dataclasses.fields(Machine)} & set(changes)
    machine = dataclasses.replace(LAPTOP, **{name: changes.pop(name) for name in own})
    return dataclasses.replace(FACTS, machine=machine, **changes)


def npu_server(**changes):
    given = {
        "npu_count": 8,
        "npu_driver": "22.0.4",
        "python": (3, 7, 16),
        "packages": {"torch": "1.8.1", "torch-npu": "1.8.1.post2", "apex": "0.1+ascend"},
        "open_files": 512000,
        "environment": {"ASCEND_HOME_PATH": "/usr/local/Ascend/latest"},
        "cann": "6.0",
        "npu_smi": NPU_SMI,
        "hccn": HCCN,
    }
    return facts(**{**given, **changes})


def found(given, what):
    """The finding of a name; one that says nothing where there is none."""
    named = [finding for finding in command.examine(given) if finding.what == what]
    return named[0] if named else Finding("", what, "")


def test_a_laptop_and_an_npu_server_are_all_ok_and_what_is_not_has_a_one_line_remedy():
    for machine in (FACTS, npu_server()):
        assert {finding.status for finding in command.examine(machine)} == {OK}
    worst = facts(
        npu_count=8,
        python=(3, 6),
        packages={"torch": "2.0"},
        environment={"RANK_TABLE_FILE": "x", "CM_CHIEF_IP": "y"},
        open_files=10,
        shared_memory=10,
        memory_bytes=10,
        disk_free=10,
        datasets=(),
    )
    bad = [finding for finding in command.examine(worst) if finding.status != OK]
    assert len(bad) >= 9
    assert all(finding.remedy and "\n" not in finding.remedy for finding in bad)


def packages(**named):
    return {"packages": {name.replace("_", "-"): version for name, version in named.items()}}


def variables(**given):
    return {"environment": given}


ONE = packages(torch="1.8.1")


@pytest.mark.parametrize(
    "what, changes, status",
    [
        ("Python", {"python": (3, 6, 9)}, FAIL),
        ("Python", {"python": (3, 8, 1)}, WARN),
        ("Python", {"python": (3, 13, 0)}, OK),
        ("frameworks", packages(numpy="1.0"), FAIL),
        ("frameworks", packages(tensorflow="1.15.0"), OK),
        ("devices", {}, OK),  # accelerators may be missing
        ("torch", {"gpu_count": 1}, FAIL),  # a CPU build beside GPUs
        ("torch", {"gpu_count": 1, **packages(torch="2.13.0+cu130")}, ""),
        ("open files", {"open_files": 256}, WARN),
        ("open files", {"open_files": 1024, "npu_count": 8}, WARN),
        ("open files", {"open_files": -1, "npu_count": 8}, OK),
        ("shared memory", {"shared_memory": None}, WARN),
        ("shared memory", {"shared_memory": 64 * 10**6}, WARN),
        ("disk", {"disk_free": 10**8}, FAIL),
        ("disk", {"disk_free": 10**9}, WARN),
        ("memory", {"memory_bytes": 10**9}, WARN),
        ("datasets", {"datasets": ()}, WARN),
        # Of Ascend: asked for only beside NPUs.
        ("CANN", {}, ""),
        ("CANN", {"npu_count": 1}, FAIL),
        ("CANN", {"npu_count": 1, "cann_scripts": ("/a/set_env.sh",)}, OK),
        ("torch_npu", {}, ""),
        ("torch_npu", {"npu_count": 1, **ONE}, FAIL),
        ("torch_npu", {"npu_count": 1, **packages(torch="2.1.0+cpu", torch_npu="2.1.0.post8")}, OK),
        ("torch_npu", {"npu_count": 1, **packages(torch="2.1.0", torch_npu="2.1.1")}, FAIL),
        ("apex", {"npu_count": 1, **packages(torch="2.1.0")}, ""),
        ("apex", {"npu_count": 1, **ONE}, WARN),
        ("apex", packages(apex="0.1"), OK),  # NVIDIA's
        ("apex", {"npu_count": 8, **packages(apex="0.1")}, WARN),
        ("apex", packages(apex="0.9.10.dev0"), WARN),  # another project of the registry's
    ],
)
def test_a_check_calls_it(what, changes, status):
    assert found(facts(**changes), what).status == status


TF = packages(tensorflow="1.15.0")


@pytest.mark.parametrize(
    "what, changes, status",
    [
        ("NPU driver", {"npu_driver": ""}, WARN),
        ("NPU health", {"npu_smi": "something else"}, WARN),
        ("NPUs free", {"npu_smi": "something else"}, ""),
        *[
            ("visible NPUs", {"npu_count": seen, **variables(ASCEND_RT_VISIBLE_DEVICES=text)}, told)
            for text, seen, told in (
                ("0,1,3", 3, OK),
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
        ("TensorFlow plugin", {**TF, "tf_plugin": "/cann"}, OK),
        ("TensorFlow plugin", TF, FAIL),
        ("TensorFlow plugin", packages(tensorflow="1.15.0", torch_npu="1.8.1"), WARN),
        ("TensorFlow", TF, ""),
        ("TensorFlow", packages(tensorflow="2.21.0"), FAIL),
        ("device addresses", {"hccn": HCCN.partition("address_7")[0]}, WARN),
        ("device addresses", {"hccn": None}, WARN),
        ("device addresses", {"hccn": "address_0=nothing\n"}, WARN),
        ("device addresses", {"npu_count": 1}, ""),
        ("HCCL ports", {"busy_hccl_ports": (60003,)}, WARN),
        *[
            ("HCCL_CONNECT_TIMEOUT", variables(HCCL_CONNECT_TIMEOUT=text), status)
            for text, status in (("120", OK), ("119", FAIL), ("7201", FAIL), ("10m", FAIL))
        ],
        *[
            ("HCCL_EXEC_TIMEOUT", {"npu_smi": chip, **variables(HCCL_EXEC_TIMEOUT=text)}, status)
            for text, chip, status in (
                ("68", "910A", OK),
                ("18000", "910A", FAIL),
                ("1800.5", "910A", FAIL),
                ("0", "910B3", OK),
                ("1800.5", "910B3", OK),
                ("2147483648", "910B3", FAIL),
            )
        ],
    ],
)
def test_a_check_of_an_ascend_server_calls_it(what: str, changes: Any, status: str) -> None:
    assert found(npu_server(**changes), what).status == status
    assert found(facts(), what).status == ""  # a machine without NPUs is asked none of this


@pytest.mark.parametrize(
    "what, changes, told",
    [
        (
            "HCCL_EXEC_TIMEOUT",
            {"npu_smi": "910A", **variables(HCCL_EXEC_TIMEOUT="3600")},
            "takes as 3536",
        ),
        # No index has the torch_npu of torch 1.8.1.
        ("torch_npu", packages(torch="1.8.1"), "release page"),
        ("torch_npu", packages(torch="2.13.0"), "torch_npu==2.13.0.*"),
    ],
)
def test_a_finding_says_what_is_exact(what: str, changes: Any, told: str) -> None:
    finding = found(npu_server(**changes), what)
    assert told in finding.found + finding.remedy


@pytest.mark.parametrize(
    "table, size, status, told",
    [
        (one_server([0, 1]), "2", OK, ""),
        (one_server([0, 1]), "1", WARN, "without RANK_SIZE above 1"),  # forgotten
        (None, "2", FAIL, "missing, unreadable or empty"),
        (changed(one_server(), ("status",), "initializing"), "2", FAIL, "is 'initializing'"),
        (one_server([3, 7]), "2", WARN, "devices 3, 7"),  # it may not suit the chip
    ],
)
def test_a_rank_table_is_read(table, size, status, told):
    environment = {"RANK_TABLE_FILE": "/t.json", "RANK_SIZE": size}
    seen = npu_server(environment=environment, rank_table=table and text_of(table))
    finding = found(seen, "rank table")
    assert finding.status == status and told in finding.found
    assert found(FACTS, "rank table").status == ""


# --- gathering the facts ---


def test_packages_are_known_by_their_metadata_folders_the_first_of_the_path_wins(tmp_path):
    for name in (
        "a/torch-1.8.1+cpu.dist-info",
        "a/torch_npu-1.8.1.post2.dist-info",
        "a/torch",
        "a/apex-0.1-py3.7.egg-info",
        "a/broken.dist-info",
        "b/torch-2.0.dist-info",
    ):
        (tmp_path / name).mkdir(parents=True)
    folders = [str(tmp_path / name) for name in ("a", "nowhere", "b")]
    assert installed_packages(folders) == {
        "torch": "1.8.1+cpu",
        "torch-npu": "1.8.1.post2",
        "apex": "0.1",
    }


@pytest.mark.parametrize(
    "soc, devices, busy, unhealthy",
    [
        ("Ascend910A", 3, 1, 2),
        # A3's table calls the chip Ascend910, and counts cards; programs count dies, by Phy-ID.
        ("Ascend910_9391", 16, 5, 7),
    ],
)
def test_devices_that_are_ill_or_in_use_are_named(tmp_path, soc, devices, busy, unhealthy) -> None:
    server = {"soc": soc, "devices": devices, "busy": (busy,), "unhealthy": (unhealthy,)}
    machine = AscendMachine(tmp_path / "server", **server)
    text = subprocess.check_output(["npu-smi", "info"], env=machine.variables(), text=True)
    health, processes = read_states(text)
    assert health == [(one, "Alarm" if one == unhealthy else "OK") for one in range(devices)]
    assert processes == [NpuProcess(busy, 4000 + busy, "python3")]
    assert npu_is_910a(npu_name_in(text)) is (soc == "Ascend910A")
    seen = npu_server(npu_smi=text, environment={"HCCL_EXEC_TIMEOUT": "0"})
    ill, used = found(seen, "NPU health"), found(seen, "NPUs free")
    assert ill.status == FAIL and f"{unhealthy} (Alarm)" in ill.found
    assert f"-i {unhealthy}" in ill.remedy
    assert used.status == WARN and f"device {busy}" in used.found
    assert ("for ever" in found(seen, "HCCL_EXEC_TIMEOUT").found) is (soc != "Ascend910A")


def test_the_facts_of_a_server_are_gathered(tmp_path: Path, monkeypatch: Any) -> None:
    machine = AscendMachine(tmp_path / "server")
    monkeypatch.setenv("PATH", machine.variables()["PATH"])
    machine.write("data/cifar-10-batches-py/data_batch_1", "")
    table = str(machine.write("table.json", text_of(one_server())))
    with socket.socket() as listener:
        listener.bind(("", 0))
        listener.listen(1)
        port = listener.getsockname()[1]
        given = {"HCCL_IF_BASE_PORT": str(port - 31), "RANK_TABLE_FILE": table}
        seen = command.look(machine.root / "data", tmp_path, machine.root, given)
    assert port in seen.busy_hccl_ports and seen.datasets == ("CIFAR-10",)
    assert seen.machine.npu_count == 8 and "910A" in seen.npu_smi
    assert seen.tf_plugin.endswith("npu_bridge") and "address_7" in str(seen.hccn)
    assert len(seen.cann_scripts) == 1 and json.loads(str(seen.rank_table)) == one_server()
    assert (seen.shared_memory or 0) > 0 and seen.disk_free > 0 and not seen.npu_kernels
    opp = "usr/local/Ascend/ascend-toolkit/latest/opp/built-in/op_impl/ai_core/tbe/kernel/config"
    machine.write(opp + "/ascend910b/binary_info_config.json", "{}")
    seen = command.look(tmp_path, tmp_path, machine.root, {"RANK_TABLE_FILE": "/nowhere.json"})
    assert seen.npu_kernels and seen.rank_table is None


# --- the command ---


def test_the_doctor_looks_at_the_whole_server(tmp_path: Path) -> None:
    machine = AscendMachine(tmp_path / "server", unhealthy=(2,), busy=(1,))
    done = subprocess.run(
        [sys.executable, "-m", "common", "doctor", "--json"],
        env=machine.variables(),
        cwd=str(tmp_path),
        stdout=subprocess.PIPE,
    )
    told = {line["what"]: line for line in json.loads(done.stdout)}
    assert done.returncode == 1
    assert told["NPU health"]["status"] == FAIL and "8 NPUs" in told["devices"]["found"]
    assert told["NPUs free"]["status"] == WARN and told["CANN"]["status"] == OK


def run_command(monkeypatch, seen, *words):
    asked = []
    monkeypatch.setattr(command, "look", lambda data, output: asked.append(data) or seen)
    parser = Parser(prog="zoo doctor")
    command.configure(parser)
    return command.run(parser.parse_args(list(words))), asked


def test_the_exit_code_is_1_with_a_failure_and_each_finding_is_a_line(monkeypatch, capsys):
    assert run_command(monkeypatch, facts(packages={}))[0] == 1
    capsys.readouterr()
    assert run_command(monkeypatch, facts(datasets=()))[0] == 0
    lines = capsys.readouterr().out.splitlines()
    at = next(number for number, line in enumerate(lines) if "datasets" in line)
    assert lines[at].split()[:3] == ["warn", "datasets", "none"]
    assert lines[at + 1].strip().startswith("-> set ZOO_DATA")
    assert lines[-1].endswith("0 fail, 1 warn")


def test_flags_say_where_data_lies_and_runs_are_written(monkeypatch, tmp_path):
    monkeypatch.setenv("ZOO_DATA", "~/sets")
    assert run_command(monkeypatch, FACTS)[1] == [Path.home() / "sets"]
    assert run_command(monkeypatch, FACTS, "--data_path", str(tmp_path))[1] == [tmp_path]
    with pytest.raises(UsageError, match="is no folder"):
        run_command(monkeypatch, FACTS, "--output_path", str(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    "words", ["--help", "doctor", "launch residual_attention_net smoke --dry_run"]
)
def test_what_has_to_answer_at_once_imports_no_framework(words):
    code = (
        f"import sys; from common.commands.program import main; main({words.split()}); "
        "heavy = ('torch', 'numpy', 'tensorflow', 'jinja2'); "
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=str(ROOT), check=True, stdout=subprocess.PIPE, text=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
