"""zoo doctor: each check, with what it calls ok, warn and fail."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

from common.ascend import checks
from common.commands import doctor as command
from common.core.command_line import Parser
from common.core.errors import UsageError
from common.machine import doctor
from common.machine.devices import Machine
from common.machine.doctor import FAIL, OK, WARN, Finding
from common.machine.surroundings import Surroundings, installed_packages

ROOT = Path(__file__).resolve().parents[1]
LAPTOP = Machine(
    npu_count=0,
    gpu_count=0,
    gpu_names=(),
    npu_driver="",
    gpu_driver="",
    cpu_name="a CPU",
    core_ids=(0, 1),
    cpu_quota=None,
    memory_bytes=16 * 10**9,
    architecture="x86_64",
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
    compiler="/usr/bin/cc",
)
NPU_SMI = "".join(
    f"| {number}     910A           | OK            | 68.3        38     0 |\n"
    for number in range(8)
)
HCCN = "".join(f"address_{number}=192.168.100.{number}\n" for number in range(8))
TABLE = {
    "version": "1.0",
    "status": "completed",
    "server_count": "1",
    "server_list": [
        {
            "server_id": "10.0.0.1",
            "device": [
                {"device_id": "0", "device_ip": "192.168.100.101", "rank_id": "0"},
                {"device_id": "1", "device_ip": "192.168.101.101", "rank_id": "1"},
            ],
        }
    ],
}


def facts(npus=0, gpus=0, memory=LAPTOP.memory_bytes, **changes):
    machine = dataclasses.replace(LAPTOP, npu_count=npus, gpu_count=gpus, memory_bytes=memory)
    return dataclasses.replace(FACTS, machine=machine, **changes)


def npu_server(**changes):
    packages = {"torch": "1.8.1", "torch-npu": "1.8.1.post2", "apex": "0.1+ascend"}
    given = {
        "npus": 8,
        "python": (3, 7, 16),
        "packages": packages,
        "open_files": 512000,
        "environment": {"ASCEND_HOME_PATH": "/usr/local/Ascend/latest"},
        "cann": "6.0",
        "npu_smi": NPU_SMI,
        "hccn": HCCN,
    }
    given.update(changes)
    found = facts(**given)
    return dataclasses.replace(
        found, machine=dataclasses.replace(found.machine, npu_driver="22.0.4")
    )


def statuses(found):
    return {finding.what: finding.status for finding in command.examine(found)}


def test_a_laptop_is_all_ok():
    assert set(statuses(FACTS).values()) == {OK}


def test_an_npu_server_is_all_ok():
    assert set(statuses(npu_server()).values()) == {OK}


def test_every_warning_and_failure_has_a_one_line_remedy():
    worst = facts(
        npus=8,
        python=(3, 6),
        packages={"torch": "2.0", "torchvision": "0.9"},
        environment={"RANK_TABLE_FILE": "x", "CM_CHIEF_IP": "y"},
        open_files=10,
        shared_memory=10,
        memory=10,
        disk_free=10,
        datasets=(),
        compiler=None,
    )
    bad = [finding for finding in command.examine(worst) if finding.status != OK]
    assert len(bad) >= 10
    assert all(finding.remedy and "\n" not in finding.remedy for finding in bad)


@pytest.mark.parametrize(
    "version, status",
    [((3, 6, 9), FAIL), ((3, 7, 16), OK), ((3, 8, 1), WARN), ((3, 9, 0), OK), ((3, 13, 0), OK)],
)
def test_python(version, status):
    assert doctor.check_python(facts(python=version)).status == status


def test_nothing_to_train_with_fails():
    assert doctor.check_frameworks(facts(packages={"numpy": "1.0"})).status == FAIL
    assert doctor.check_frameworks(facts(packages={"tensorflow": "1.15.0"})).status == OK


@pytest.mark.parametrize(
    "torch, torchvision, status",
    [
        ("1.8.1", "0.9.1", OK),
        ("2.0.1", "0.15.2", OK),
        ("2.13.0", "0.28.0", OK),
        ("2.13.0", "0.9.1", WARN),
        ("1.11.0", "0.9.1", WARN),
    ],
)
def test_torchvision_has_to_match_torch(torch, torchvision, status):
    packages = {"torch": torch, "torchvision": torchvision}
    assert doctor.check_torchvision(facts(packages=packages)).status == status


def test_torchvision_may_be_missing():
    assert doctor.check_torchvision(FACTS).status == OK


def test_no_accelerator_is_ok():
    found = doctor.check_accelerators(FACTS)
    assert (found.status, found.found) == (OK, "2 cores")


def test_a_cpu_build_of_torch_beside_gpus_fails():
    assert doctor.check_cuda_build(facts(gpus=1)).status == FAIL
    assert doctor.check_cuda_build(facts(gpus=1, packages={"torch": "2.13.0+cu130"})) is None
    assert doctor.check_cuda_build(FACTS) is None


def test_cann_is_asked_for_only_beside_npus():
    assert checks.check_cann(FACTS) is None
    assert checks.check_cann(facts(npus=1)).status == FAIL
    assert checks.check_cann(facts(npus=1, cann_scripts=("/a/set_env.sh",))).status == OK


@pytest.mark.parametrize(
    "torch, torch_npu, status",
    [
        ("1.8.1", "1.8.1.post2", OK),
        ("2.1.0+cpu", "2.1.0.post8", OK),
        ("1.11.0", "1.8.1", FAIL),
        ("2.1.0", "2.1.1", FAIL),
    ],
)
def test_torch_npu_has_to_match_torch(torch, torch_npu, status):
    packages = {"torch": torch, "torch-npu": torch_npu}
    assert checks.check_torch_npu(npu_server(packages=packages)).status == status


def test_torch_without_torch_npu_fails_beside_npus_only():
    found = checks.check_torch_npu(facts(npus=1, packages={"torch": "1.8.1+cpu"}))
    assert (found.status, found.remedy) == (FAIL, "pip install 'torch_npu==1.8.1.*'")
    assert checks.check_torch_npu(FACTS) is None


@pytest.mark.parametrize(
    "version, npus, status, who",
    [
        ("0.1+ascend.20220505", 8, OK, "Ascend's"),
        ("0.1", 0, OK, "NVIDIA's"),
        ("0.1", 8, WARN, "NVIDIA's"),
        ("0.9.10.dev0", 0, WARN, "another project"),
    ],
)
def test_the_three_apexes_are_told_apart(version, npus, status, who):
    found = checks.check_apex(facts(npus=npus, packages={"torch": "1.8.1", "apex": version}))
    assert found.status == status and who in found.found


def test_a_missing_apex_matters_only_on_an_npu_with_torch_1():
    assert checks.check_apex(FACTS) is None
    assert checks.check_apex(facts(npus=1, packages={"torch": "2.1.0"})) is None
    assert checks.check_apex(facts(npus=1, packages={"torch": "1.8.1"})).status == WARN


@pytest.mark.parametrize("npus, status", [(0, WARN), (8, FAIL)])
def test_rank_and_cluster_variables_contradict_each_other(npus, status):
    both = {"RANK_SIZE": "", "CM_WORKER_SIZE": "8"}
    found = checks.check_rank_variables(facts(npus=npus, environment=both))
    assert (found.status, found.remedy) == (status, "unset RANK_SIZE")


@pytest.mark.parametrize("only", [{}, {"RANK_SIZE": "8"}, {"CM_CHIEF_IP": "10.0.0.1"}])
def test_either_of_them_alone_is_no_finding(only):
    assert checks.check_rank_variables(facts(environment=only)) is None


def table_finding(table, **variables):
    text = table if table is None or isinstance(table, str) else json.dumps(table)
    environment = dict({"RANK_TABLE_FILE": "/t.json", "RANK_SIZE": "2"}, **variables)
    return checks.check_rank_table(npu_server(environment=environment, rank_table=text))


def test_a_complete_rank_table_is_ok():
    assert table_finding(TABLE).status == OK


def test_no_rank_table_is_no_finding():
    assert checks.check_rank_table(FACTS) is None


@pytest.mark.parametrize(
    "table, problem",
    [
        (None, "missing, unreadable or empty"),
        ("{", "not JSON"),
        ({"group_list": []}, "older format"),
        ("[1]", "no JSON object"),
        (dict(TABLE, status="initializing"), "status is 'initializing'"),
        (
            dict(
                TABLE,
                server_list=[
                    dict(
                        TABLE["server_list"][0],
                        device=[{"device_id": "0", "device_ip": "192.168.100.101", "rank_id": "1"}],
                    )
                ],
            ),
            "from 0 without gaps",
        ),
        (dict(TABLE, server_list=3), "not a list of servers"),
    ],
)
def test_a_bad_rank_table_fails_on_an_npu(table, problem):
    found = table_finding(table)
    assert found.status == FAIL and problem in found.found


def test_a_forgotten_rank_table_is_warned_of():
    assert table_finding(TABLE, RANK_SIZE="1").status == WARN


def test_a_table_that_may_not_suit_the_chip_is_warned_of():
    devices = [
        dict(device, device_id=number)
        for device, number in zip(TABLE["server_list"][0]["device"], "37")
    ] + [{"device_id": "5", "device_ip": "192.168.102.101", "rank_id": "2"}]
    table = dict(TABLE, server_list=[dict(TABLE["server_list"][0], device=devices)])
    found = table_finding(table)
    assert (found.status, "3 devices" in found.found) == (WARN, True)


@pytest.mark.parametrize(
    "level, packages, status",
    [
        ("2", {"tensorflow": "1.15.0"}, WARN),
        ("0", {"tensorflow": "1.15.0"}, None),
        ("2", {"torch": "1.8.1"}, None),
    ],
)
def test_a_silenced_tensorflow_is_warned_of(level, packages, status):
    found = checks.check_tensorflow_log(
        facts(environment={"TF_CPP_MIN_LOG_LEVEL": level}, packages=packages)
    )
    assert (found.status if found else None) == status


@pytest.mark.parametrize(
    "limit, npus, status",
    [(256, 0, WARN), (1024, 0, OK), (1024, 8, WARN), (512000, 8, OK), (-1, 8, OK)],
)
def test_open_files(limit, npus, status):
    assert doctor.check_open_files(facts(npus=npus, open_files=limit)).status == status


@pytest.mark.parametrize("size, status", [(None, WARN), (64 * 10**6, WARN), (2 * 10**9, OK)])
def test_shared_memory(size, status):
    assert doctor.check_shared_memory(facts(shared_memory=size)).status == status


@pytest.mark.parametrize("free, status", [(10**8, FAIL), (10**9, WARN), (10**10, OK)])
def test_disk(free, status):
    assert doctor.check_disk(facts(disk_free=free)).status == status


def test_little_memory_is_warned_of():
    assert doctor.check_memory(facts(memory=10**9)).status == WARN


def test_missing_datasets_and_compiler_block_nothing():
    assert doctor.check_datasets(facts(datasets=())).status == WARN
    assert doctor.check_compiler(facts(compiler=None)).status == WARN


# --- gathering the facts ---


def test_packages_are_known_by_their_metadata_folders(tmp_path):
    for name in (
        "torch-1.8.1+cpu.dist-info",
        "torch_npu-1.8.1.post2.dist-info",
        "torch",
        "apex-0.1-py3.7.egg-info",
        "broken.dist-info",
    ):
        (tmp_path / name).mkdir()
    assert installed_packages([str(tmp_path), str(tmp_path / "nowhere")]) == {
        "torch": "1.8.1+cpu",
        "torch-npu": "1.8.1.post2",
        "apex": "0.1",
    }


def test_the_first_folder_of_the_path_wins(tmp_path):
    for folder, name in (("a", "torch-2.0.dist-info"), ("b", "torch-1.0.dist-info")):
        (tmp_path / folder / name).mkdir(parents=True)
    assert installed_packages([str(tmp_path / "a"), str(tmp_path / "b")]) == {"torch": "2.0"}


def test_facts_of_an_ascend_server_are_found(tmp_path):
    root = tmp_path / "root"
    for path, text in (
        ("etc/Ascend/ascend_cann_install.info", "Install_Path=/opt/ascend\n"),
        ("opt/ascend/ascend-toolkit/set_env.sh", ""),
        ("opt/ascend/ascend-toolkit/latest/x", ""),
        ("dev/davinci0", ""),
        ("dev/shm/x", ""),
        ("data/cifar-10-batches-py/data_batch_1", ""),
    ):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    table = tmp_path / "table.json"
    table.write_text(json.dumps(TABLE))
    found = command.look(root / "data", tmp_path, root, {"RANK_TABLE_FILE": str(table)})
    assert found.machine.npu_count == 1
    assert found.cann_scripts == (str(root / "opt/ascend/ascend-toolkit/set_env.sh"),)
    assert found.datasets == ("CIFAR-10",)
    assert json.loads(found.rank_table) == TABLE
    assert found.shared_memory > 0 and found.disk_free > 0


def test_a_rank_table_that_is_missing_is_none(tmp_path):
    found = command.look(tmp_path, tmp_path, tmp_path, {"RANK_TABLE_FILE": "/nowhere.json"})
    assert found.rank_table is None


# --- the command ---


def run_command(monkeypatch, found, *words):
    monkeypatch.setattr(command, "look", lambda *_: found)
    parser = Parser(prog="zoo doctor")
    command.configure(parser)
    return command.run(parser.parse_args(list(words)))


def test_the_exit_code_is_0_without_failures_and_1_with_one(monkeypatch, capsys):
    assert run_command(monkeypatch, facts(datasets=())) == 0
    assert run_command(monkeypatch, facts(packages={})) == 1


def test_each_finding_is_a_line_and_its_remedy_the_next(monkeypatch, capsys):
    run_command(monkeypatch, facts(compiler=None))
    lines = capsys.readouterr().out.splitlines()
    at = next(number for number, line in enumerate(lines) if "C compiler" in line)
    assert lines[at].split() == ["warn", "C", "compiler", "none", "found"]
    assert lines[at + 1].strip().startswith("-> install gcc")
    assert lines[-1].endswith("0 fail, 1 warn")


def test_json_holds_the_same_findings(monkeypatch, capsys):
    run_command(monkeypatch, FACTS, "--json")
    found = [Finding(**entry) for entry in json.loads(capsys.readouterr().out)]
    assert found == command.examine(FACTS)


def test_data_path_says_where_datasets_are_looked_for(monkeypatch, capsys, tmp_path):
    asked = []
    monkeypatch.setattr(command, "look", lambda data, output: asked.append(data) or FACTS)
    monkeypatch.setenv("ZOO_DATA", "/of the environment")
    parser = Parser(prog="zoo doctor")
    command.configure(parser)
    command.run(parser.parse_args([]))
    command.run(parser.parse_args(["--data_path", str(tmp_path)]))
    assert asked == [Path("/of the environment"), tmp_path]


def test_an_output_path_that_is_no_folder_is_refused(monkeypatch, tmp_path):
    with pytest.raises(UsageError, match="is no folder"):
        run_command(monkeypatch, FACTS, "--output_path", str(tmp_path / "nowhere"))


def test_the_doctor_imports_no_framework():
    code = (
        "import sys; from common.commands.program import main; main(['doctor']); "
        "print([name for name in ('torch', 'numpy', 'tensorflow') if name in sys.modules])"
    )
    out = subprocess.run(
        [sys.executable, "-c", code],
        cwd=str(ROOT),
        check=True,
        timeout=60,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    assert out.splitlines()[-1] == "[]"
