"""Devices are found from files and variables, and asked for by name."""

import dataclasses

import pytest

from common.core.errors import UsageError
from common.machine import devices
from common.machine.devices import check_rank_count, choose_device, detect


def no_command(words):
    return None


def look(root, **environment):
    return detect(root, environment, no_command)


def add(root, path, text=""):
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


@pytest.fixture
def npu_server(tmp_path):
    for number in range(8):
        add(tmp_path, f"dev/davinci{number}")
    add(tmp_path, "dev/davinci_manager")
    add(tmp_path, "usr/local/Ascend/driver/version.info", "Version=23.0.rc2\n")
    return tmp_path


@pytest.fixture
def gpu_server(tmp_path):
    for number in range(2):
        add(tmp_path, f"dev/nvidia{number}")
        add(
            tmp_path,
            f"proc/driver/nvidia/gpus/{number}/information",
            "Model: \t\t NVIDIA H100 80GB HBM3\nIRQ: 1\n",
        )
    add(tmp_path, "dev/nvidiactl")
    add(
        tmp_path,
        "proc/driver/nvidia/version",
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19\n",
    )
    return tmp_path


def test_npus_are_counted_by_their_device_nodes(npu_server):
    machine = look(npu_server)
    assert (machine.npu_count, machine.gpu_count) == (8, 0)
    assert machine.npu_driver == "23.0.rc2"


@pytest.mark.parametrize(
    "visible, count",
    [("0,1,3", 3), ("", 0), ("7", 1), ("0,9,1", 1), ("1, 2,3", 1), ("1,3,8", 2), (" 1", 0)],
)
def test_ascend_rt_visible_devices_hides_npus(npu_server, visible, count):
    assert look(npu_server, ASCEND_RT_VISIBLE_DEVICES=visible).npu_count == count


def test_gpus_are_counted_and_named_from_files(gpu_server):
    machine = look(gpu_server)
    assert machine.gpu_count == 2
    assert machine.gpu_names[0] == "NVIDIA H100 80GB HBM3"
    assert machine.gpu_driver == "535.104.05"


@pytest.mark.parametrize(
    "visible, count",
    [("1", 1), ("", 0), ("-1", 0), ("0,-1,1", 1), ("GPU-8932f937,GPU-a1", 2), ("0,1,2", 2)],
)
def test_cuda_visible_devices_hides_gpus(gpu_server, visible, count):
    assert look(gpu_server, CUDA_VISIBLE_DEVICES=visible).gpu_count == count


def test_gpus_under_windows_are_counted_by_nvidia_smi(tmp_path):
    add(tmp_path, "dev/dxg")
    listing = "GPU 0: NVIDIA RTX (UUID: GPU-1)\nGPU 1: NVIDIA RTX (UUID: GPU-2)\n"
    assert detect(tmp_path, {}, lambda words: listing).gpu_count == 2


def test_an_empty_machine_has_cores_only(tmp_path):
    machine = look(tmp_path)
    assert (machine.npu_count, machine.gpu_count) == (0, 0)
    assert machine.usable_cores >= 1


def test_a_quota_cuts_the_cores(tmp_path):
    add(tmp_path, "sys/fs/cgroup/cpu.max", "150000 100000\n")
    machine = dataclasses.replace(look(tmp_path), core_ids=tuple(range(16)))
    assert machine.cpu_quota == 1.5
    assert machine.usable_cores == 2


def test_a_quota_of_the_older_control_groups_counts(tmp_path):
    add(tmp_path, "sys/fs/cgroup/cpu/cpu.cfs_quota_us", "400000\n")
    add(tmp_path, "sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n")
    assert look(tmp_path).cpu_quota == 4.0


@pytest.mark.parametrize("text", ["max 100000\n", "", "-1 100000\n"])
def test_no_quota_is_no_limit(tmp_path, text):
    add(tmp_path, "sys/fs/cgroup/cpu.max", text)
    assert look(tmp_path).cpu_quota is None


def test_memory_is_the_smaller_of_physical_and_limit(tmp_path):
    add(tmp_path, "proc/meminfo", "MemTotal:       1000000 kB\nMemFree: 1 kB\n")
    assert look(tmp_path).memory_bytes == 1024000000
    add(tmp_path, "sys/fs/cgroup/memory.max", "5000000\n")
    assert look(tmp_path).memory_bytes == 5000000


def test_the_processors_name_is_read(tmp_path):
    add(tmp_path, "proc/cpuinfo", "processor : 0\nmodel name\t: Some CPU @ 2 GHz\n")
    assert look(tmp_path).cpu_name == "Some CPU @ 2 GHz"


def test_cann_version_comes_from_the_toolkit_in_use(tmp_path):
    add(tmp_path, "mine/compiler/version.info", "Version=7.0.RC1\n")
    add(tmp_path, "usr/local/Ascend/ascend-toolkit/latest/compiler/version.info", "Version=5.1\n")
    assert devices.cann_version(tmp_path, {}) == "5.1"
    assert devices.cann_version(tmp_path, {"ASCEND_HOME_PATH": str(tmp_path / "mine")}) == "7.0.RC1"
    assert devices.cann_version(tmp_path / "nowhere", {}) == ""


def test_cann_version_is_the_one_that_torch_npu_tells(tmp_path):
    """compiler/version.info counts the compiler's package: of CANN 8.1.RC1 it says 7.7.0.1.238."""
    home = "usr/local/Ascend/cann/"
    add(tmp_path, home + "compiler/version.info", "Version=7.7.0.1.238\nversion_dir=8.1.RC1\n")
    assert devices.cann_version(tmp_path, {}) == "8.1.RC1"
    add(tmp_path, home + "aarch64-linux/ascend_toolkit_install.info", "arch=a\nversion=8.5.0\n")
    assert devices.cann_version(tmp_path, {}) == "8.5.0"


@pytest.mark.parametrize(
    "name, bfloat16, first",
    [
        ("Ascend910A", False, True),
        ("Ascend910B", False, True),
        ("Ascend910B3", True, False),
        ("Ascend910_9391", True, False),
        ("Ascend910_9589", True, False),
        ("Ascend950PR_9589", True, False),
    ],
)
def test_a_chip_is_known_by_its_name(name, bfloat16, first):
    assert devices.npu_has_bfloat16(name) is bfloat16
    assert devices.npu_is_910a(name) is first


def test_auto_takes_npu_before_gpu_before_cpu(tmp_path):
    machine = look(tmp_path)
    assert choose_device("auto", machine) == "cpu"
    assert choose_device("auto", dataclasses.replace(machine, gpu_count=1)) == "gpu"
    assert choose_device("auto", dataclasses.replace(machine, gpu_count=1, npu_count=1)) == "npu"


def test_a_cpu_can_be_asked_for_beside_accelerators(gpu_server):
    assert choose_device("cpu", look(gpu_server)) == "cpu"


@pytest.mark.parametrize("kind, node", [("npu", "/dev/davinci0"), ("gpu", "/dev/nvidia0")])
def test_a_missing_accelerator_is_refused_saying_where_was_looked(tmp_path, kind, node):
    with pytest.raises(UsageError, match=node):
        choose_device(kind, look(tmp_path))


def test_an_unknown_device_is_refused(tmp_path):
    with pytest.raises(UsageError, match="auto, npu, gpu, cpu, not 'tpu'"):
        choose_device("tpu", look(tmp_path))


def test_more_ranks_than_accelerators_are_refused(gpu_server):
    machine = look(gpu_server)
    check_rank_count("gpu", 2, machine)
    with pytest.raises(UsageError, match="8 ranks need 8 gpu devices and this machine has 2"):
        check_rank_count("gpu", 8, machine)


def test_a_cpu_takes_any_number_of_ranks(tmp_path):
    check_rank_count("cpu", 64, look(tmp_path))


def test_the_summary_names_what_there_is(gpu_server):
    machine = dataclasses.replace(look(gpu_server), core_ids=(0,), cpu_quota=None)
    assert devices.summary(machine) == "2 GPUs (NVIDIA H100 80GB HBM3), 1 core"


def test_a_missing_command_gives_nothing():
    assert devices.run_command(["no-such-program-at-all"]) is None
    assert devices.run_command(["false"]) is None
    assert devices.run_command(["echo", "hello"]) == "hello\n"


@pytest.mark.parametrize(
    "flags, found",
    [("fpu avx512f avx512_bf16", True), ("fpu amx_bf16", True), ("fpu avx512f", False)],
)
def test_a_processor_with_bfloat16_is_known_by_its_flags(tmp_path, flags, found):
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "cpuinfo").write_text("model name : x\nflags\t\t: " + flags + "\n")
    assert devices.cpu_has_bfloat16(tmp_path) is found
    assert devices.cpu_has_bfloat16(tmp_path / "nowhere") is False
