"""Devices are found from files and variables, and asked for by name."""

import dataclasses

import pytest

from common.ascend.device_numbers import check_start_by_chief, check_topology
from common.core.errors import UsageError
from common.machine import devices
from common.machine.devices import check_rank_count, choose_device, detect

H100 = "Model: \t\t NVIDIA H100 80GB HBM3\nIRQ: 1\n"
DRIVER = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19\n"
CANN = "usr/local/Ascend/cann/"
OLD_CANN = {"usr/local/Ascend/ascend-toolkit/latest/compiler/version.info": "Version=5.1\n"}
# compiler/version.info counts the compiler's package: torch_npu tells 8.1.RC1 too.
CANN_8 = {CANN + "compiler/version.info": "Version=7.7.0.1.238\nversion_dir=8.1.RC1\n"}


@pytest.fixture
def look(tmp_path, monkeypatch):
    """Looks at a machine with these files, and these variables."""

    def of(files=None, listing=None, **environment):
        for path, text in (files or {}).items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(text)
        monkeypatch.setattr(devices, "run_command", lambda words: listing)
        return detect(tmp_path, environment)

    return of


NPUS = {
    **{f"dev/davinci{number}": "" for number in range(8)},
    "dev/davinci_manager": "",
    "usr/local/Ascend/driver/version.info": "Version=23.0.rc2\n",
}
GPUS = {
    **{f"dev/nvidia{number}": "" for number in range(2)},
    **{f"proc/driver/nvidia/gpus/{number}/information": H100 for number in range(2)},
    "dev/nvidiactl": "",
    "proc/driver/nvidia/version": DRIVER,
}


def test_devices_are_counted_by_their_nodes_and_told_by_their_drivers(look, tmp_path):
    found = look(NPUS)
    assert (found.npu_count, found.gpu_count, found.npu_driver) == (8, 0, "23.0.rc2")
    found = look(GPUS)
    assert found.gpu_count == 2 and devices.gpu_driver(tmp_path) == "535.104.05"
    assert found.gpu_names == ("NVIDIA H100 80GB HBM3",) * 2
    machine = dataclasses.replace(found, npu_count=0, core_ids=(0,), cpu_quota=None)
    assert devices.summary(machine) == "2 GPUs (NVIDIA H100 80GB HBM3), 1 core"


@pytest.mark.parametrize(
    "name, visible, npus, gpus",
    [
        *[
            ("ASCEND_RT_VISIBLE_DEVICES", visible, count, 2)
            for visible, count in (("0,1,3", 3), ("", 0), ("0,9,1", 1), ("1, 2,3", 1), (" 1", 0))
        ],
        *[
            ("CUDA_VISIBLE_DEVICES", visible, 8, count)
            for visible, count in (("1", 1), ("", 0), ("0,-1,1", 1), ("GPU-8,GPU-a1", 2))
        ],
    ],
)
def test_variables_hide_devices(look, name, visible, npus, gpus):
    found = look({**NPUS, **GPUS}, **{name: visible})
    assert (found.npu_count, found.gpu_count) == (npus, gpus)


def test_gpus_under_windows_are_counted_by_nvidia_smi(look):
    listing = "GPU 0: NVIDIA RTX (UUID: GPU-1)\nGPU 1: NVIDIA RTX (UUID: GPU-2)\n"
    assert look({"dev/dxg": ""}, listing).gpu_count == 2


CGROUP = "sys/fs/cgroup/cpu"


@pytest.mark.parametrize(
    "files, quota, cores",
    [
        ({CGROUP + ".max": "150000 100000\n"}, 1.5, 2),
        ({CGROUP + "/cpu.cfs_quota_us": "400000", CGROUP + "/cpu.cfs_period_us": "100000"}, 4.0, 4),
        ({CGROUP + ".max": "max 100000\n"}, None, 16),
        ({}, None, 16),
    ],
)
def test_a_quota_cuts_the_cores(look, files, quota, cores):
    machine = dataclasses.replace(look(files), core_ids=tuple(range(16)))
    assert (machine.cpu_quota, machine.usable_cores) == (quota, cores)


def test_memory_is_the_smaller_of_physical_and_limit_and_the_processor_has_a_name(look, tmp_path):
    found = look(
        {
            "proc/meminfo": "MemTotal:       1000000 kB\nMemFree: 1 kB\n",
            "proc/cpuinfo": "processor : 0\nmodel name\t: Some CPU @ 2 GHz\n",
        }
    )
    assert (found.memory_bytes, devices.cpu_name(tmp_path)) == (1024000000, "Some CPU @ 2 GHz")
    assert look({"sys/fs/cgroup/memory.max": "5000000\n"}).memory_bytes == 5000000


@pytest.mark.parametrize(
    "files, home, version",
    [
        (OLD_CANN, "", "5.1"),
        ({"mine/compiler/version.info": "Version=7.0.RC1\n"}, "mine", "7.0.RC1"),
        ({}, "", ""),
        (CANN_8, "", "8.1.RC1"),
        ({**CANN_8, CANN + "aarch64-linux/ascend_toolkit_install.info": "version=8.5"}, "", "8.5"),
    ],
)
def test_cann_version_is_that_of_the_toolkit_in_use(look, tmp_path, files, home, version):
    look(files)
    environment = {"ASCEND_HOME_PATH": str(tmp_path / home)} if home else {}
    assert devices.cann_version(tmp_path, environment) == version


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


def test_auto_takes_npu_before_gpu_before_cpu_and_a_cpu_can_be_asked_for(look):
    machine = look()
    assert machine.usable_cores >= 1 and choose_device("auto", machine) == "cpu"
    assert choose_device("auto", dataclasses.replace(machine, gpu_count=1)) == "gpu"
    both = dataclasses.replace(machine, gpu_count=1, npu_count=1)
    assert choose_device("auto", both) == "npu" and choose_device("cpu", both) == "cpu"


@pytest.mark.parametrize(
    "kind, told",
    [("npu", "/dev/davinci0"), ("gpu", "/dev/nvidia0"), ("tpu", "auto, npu, gpu, cpu, not 'tpu'")],
)
def test_a_device_that_is_not_there_is_refused_saying_where_was_looked(look, kind, told):
    with pytest.raises(UsageError, match=told):
        choose_device(kind, look())


def test_more_ranks_than_accelerators_are_refused_and_a_cpu_takes_any_number(look):
    machine = look(GPUS)
    check_rank_count("gpu", 2, machine)
    check_rank_count("cpu", 64, machine)
    with pytest.raises(UsageError, match="8 ranks need 8 gpu devices and this machine has 2"):
        check_rank_count("gpu", 8, machine)


@pytest.mark.parametrize(
    "flags, found",
    [("fpu avx512f avx512_bf16", True), ("fpu amx_bf16", True), ("fpu avx512f", False)],
)
def test_a_processor_with_bfloat16_is_known_by_its_flags(look, tmp_path, flags, found):
    look({"proc/cpuinfo": "model name : x\nflags\t\t: " + flags + "\n"})
    assert devices.cpu_has_bfloat16(tmp_path) is found
    assert devices.cpu_has_bfloat16(tmp_path / "nowhere") is False


# --- devices of a server that may work together ---


@pytest.mark.parametrize(
    "chip, devices, numbers, told",
    [
        ("Ascend910A", [0], range(8), ""),
        ("Ascend910A", [4, 5, 6, 7], range(8), ""),
        ("Ascend910A", list(range(8)), range(8), ""),
        ("Ascend910ProB", [0, 1, 2], range(8), "1, 2, 4 or 8"),
        ("Ascend910ProB", [2, 3, 4, 5], range(8), "inside 0-3 or inside 4-7"),
        # Other chips have no such limit, and it is the physical numbers that count.
        *[(chip, [0, 1, 2], range(8), "") for chip in ("Ascend910B3", "Ascend910_9392", "NPU")],
        ("Ascend910A", [0, 1], (4, 6), ""),
        ("Ascend910A", [0, 1], (3, 4), "devices 3, 4"),
    ],
)
def test_whole_servers_and_parts_of_a_half_of_a_910a_are_welcome(chip, devices, numbers, told):
    if not told:
        check_topology(chip, devices, tuple(numbers))
        return
    with pytest.raises(UsageError, match=told):
        check_topology(chip, devices, tuple(numbers))


@pytest.mark.parametrize("chip", ["Ascend910_9391", "Ascend950PR_9589"])
def test_chips_after_the_a2_start_several_ranks_by_a_rank_table_alone(chip):
    check_start_by_chief("Ascend910B3")
    with pytest.raises(UsageError, match="zoo ranktable make"):
        check_start_by_chief(chip)
