"""zoo doctor: each check, with what it calls ok, warn and fail."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

from common.commands import doctor as command
from common.core.command_line import Parser
from common.core.errors import FAIL, OK, WARN, Finding, UsageError
from common.machine.devices import Machine
from common.machine.surroundings import Surroundings, installed_packages

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
DEVICE = {"device_id": "0", "device_ip": "192.168.100.101", "rank_id": "0"}
OTHER = {"device_id": "1", "device_ip": "192.168.101.101", "rank_id": "1"}


def facts(npus=0, gpus=0, memory=LAPTOP.memory_bytes, driver="", **changes):
    machine = dataclasses.replace(
        LAPTOP, npu_count=npus, gpu_count=gpus, memory_bytes=memory, npu_driver=driver
    )
    return dataclasses.replace(FACTS, machine=machine, **changes)


def npu_server(**changes):
    given = {
        "npus": 8,
        "driver": "22.0.4",
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


@pytest.mark.parametrize("machine", [FACTS, npu_server()])
def test_a_laptop_and_an_npu_server_are_all_ok(machine):
    assert {finding.status for finding in command.examine(machine)} == {OK}


def test_every_warning_and_failure_has_a_one_line_remedy():
    worst = facts(
        npus=8,
        python=(3, 6),
        packages={"torch": "2.0"},
        environment={"RANK_TABLE_FILE": "x", "CM_CHIEF_IP": "y"},
        open_files=10,
        shared_memory=10,
        memory=10,
        disk_free=10,
        datasets=(),
    )
    bad = [finding for finding in command.examine(worst) if finding.status != OK]
    assert len(bad) >= 9
    assert all(finding.remedy and "\n" not in finding.remedy for finding in bad)


def packages(**named):
    return {"packages": {name.replace("_", "-"): version for name, version in named.items()}}


ONE = packages(torch="1.8.1")


@pytest.mark.parametrize(
    "what, changes, status",
    [
        *[
            ("Python", {"python": version}, status)
            for version, status in (
                ((3, 6, 9), FAIL),
                ((3, 7, 16), OK),
                ((3, 8, 1), WARN),
                ((3, 9, 0), OK),
                ((3, 13, 0), OK),
            )
        ],
        ("frameworks", packages(numpy="1.0"), FAIL),
        ("frameworks", packages(tensorflow="1.15.0"), OK),
        ("devices", {}, OK),  # accelerators may be missing
        ("torch", {"gpus": 1}, FAIL),  # a CPU build beside GPUs
        ("torch", {"gpus": 1, **packages(torch="2.13.0+cu130")}, ""),
        ("torch", {}, ""),
        *[
            ("open files", {"open_files": limit, "npus": npus}, status)
            for limit, npus, status in (
                (256, 0, WARN),
                (1024, 0, OK),
                (1024, 8, WARN),
                (512000, 8, OK),
                (-1, 8, OK),
            )
        ],
        ("shared memory", {"shared_memory": None}, WARN),
        ("shared memory", {"shared_memory": 64 * 10**6}, WARN),
        ("shared memory", {"shared_memory": 2 * 10**9}, OK),
        ("disk", {"disk_free": 10**8}, FAIL),
        ("disk", {"disk_free": 10**9}, WARN),
        ("disk", {"disk_free": 10**10}, OK),
        ("memory", {"memory": 10**9}, WARN),
        ("datasets", {"datasets": ()}, WARN),
        # Of Ascend: asked for only beside NPUs.
        ("CANN", {}, ""),
        ("CANN", {"npus": 1}, FAIL),
        ("CANN", {"npus": 1, "cann_scripts": ("/a/set_env.sh",)}, OK),
        ("torch_npu", {}, ""),
        ("torch_npu", {"npus": 1, **ONE}, FAIL),
        *[
            ("torch_npu", {"npus": 1, **packages(torch=torch, torch_npu=own)}, status)
            for torch, own, status in (
                ("1.8.1", "1.8.1.post2", OK),
                ("2.1.0+cpu", "2.1.0.post8", OK),
                ("1.11.0", "1.8.1", FAIL),
                ("2.1.0", "2.1.1", FAIL),
            )
        ],
        ("apex", {}, ""),
        ("apex", {"npus": 1, **packages(torch="2.1.0")}, ""),
        ("apex", {"npus": 1, **ONE}, WARN),
        ("apex", {"npus": 8, **packages(torch="1.8.1", apex="0.1+ascend.2022")}, OK),
        ("apex", packages(apex="0.1"), OK),  # NVIDIA's
        ("apex", {"npus": 8, **packages(apex="0.1")}, WARN),
        ("apex", packages(apex="0.9.10.dev0"), WARN),  # another project of the registry's
        ("cluster variables", {"environment": {"RANK_SIZE": "", "CM_WORKER_SIZE": "8"}}, WARN),
        (
            "cluster variables",
            {"npus": 8, "environment": {"RANK_SIZE": "", "CM_WORKER_SIZE": "8"}},
            FAIL,
        ),
        ("cluster variables", {"environment": {"RANK_SIZE": "8"}}, ""),
        ("cluster variables", {"environment": {"CM_CHIEF_IP": "10.0.0.1"}}, ""),
    ],
)
def test_a_check_calls_it(what, changes, status):
    assert found(facts(**changes), what).status == status


def table(*devices, **changes):
    servers = [{"server_id": "10.0.0.1", "device": list(devices)}]
    head = {"version": "1.0", "status": "completed", "server_count": "1"}
    return {**head, "server_list": servers, **changes}


@pytest.mark.parametrize(
    "content, size, status, told",
    [
        (table(DEVICE, OTHER), "2", OK, ""),
        (table(DEVICE, OTHER), "1", WARN, "without RANK_SIZE above 1"),  # forgotten
        (None, "2", FAIL, "missing, unreadable or empty"),
        (table(DEVICE, OTHER, status="initializing"), "2", FAIL, "status is 'initializing'"),
        # It may not suit the chip.
        (table(dict(DEVICE, device_id="3"), dict(OTHER, device_id="7")), "2", WARN, "devices 3, 7"),
    ],
)
def test_a_rank_table_is_read(content, size, status, told):
    text = content and json.dumps(content)
    environment = {"RANK_TABLE_FILE": "/t.json", "RANK_SIZE": size}
    finding = found(npu_server(environment=environment, rank_table=text), "rank table")
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


def test_facts_of_an_ascend_server_are_found(tmp_path):
    root = tmp_path / "root"
    for path, text in (
        ("etc/Ascend/ascend_cann_install.info", "Install_Path=/opt/ascend\n"),
        ("opt/ascend/ascend-toolkit/set_env.sh", ""),
        ("opt/ascend/ascend-toolkit/latest/x", ""),
        ("dev/davinci0", ""),
        ("dev/shm/x", ""),
        ("data/cifar-10-batches-py/data_batch_1", ""),
        ("table.json", json.dumps(table(DEVICE))),
    ):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    given = {"RANK_TABLE_FILE": str(root / "table.json")}
    seen = command.look(root / "data", tmp_path, root, given)
    assert seen.machine.npu_count == 1 and seen.datasets == ("CIFAR-10",)
    assert seen.cann_scripts == (str(root / "opt/ascend/ascend-toolkit/set_env.sh"),)
    assert json.loads(seen.rank_table) == table(DEVICE)
    assert seen.shared_memory > 0 and seen.disk_free > 0
    missing = command.look(tmp_path, tmp_path, tmp_path, {"RANK_TABLE_FILE": "/nowhere.json"})
    assert missing.rank_table is None


# --- the command ---


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
    run_command(monkeypatch, FACTS, "--json")
    told = [Finding(**entry) for entry in json.loads(capsys.readouterr().out)]
    assert told == command.examine(FACTS)


def test_flags_say_where_data_lies_and_runs_are_written(monkeypatch, tmp_path):
    monkeypatch.setenv("ZOO_DATA", "~/sets")
    assert run_command(monkeypatch, FACTS)[1] == [Path.home() / "sets"]
    assert run_command(monkeypatch, FACTS, "--data_path", str(tmp_path))[1] == [tmp_path]
    with pytest.raises(UsageError, match="is no folder"):
        run_command(monkeypatch, FACTS, "--output_path", str(tmp_path / "nowhere"))


def test_the_doctor_imports_no_framework():
    code = (
        "import sys; from common.commands.program import main; main(['doctor']); "
        "print([name for name in ('torch', 'numpy', 'tensorflow') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=str(ROOT), check=True, stdout=subprocess.PIPE, text=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
