"""What `zoo doctor` looks at on an Ascend server alone, and its checks: pure functions."""

from __future__ import annotations

import dataclasses
import functools
import re
import sys
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Tuple

from common.ascend.environment import find_scripts, plugin_packages
from common.ascend.hccn import USUAL_PLACE, read_server
from common.ascend.rank_table import CHIP_UNKNOWN
from common.ascend.rank_table_rules import check_text, first_failure
from common.core.errors import FAIL, OK, WARN, Finding, ZooError
from common.core.text import version_numbers
from common.machine.devices import (
    npu_has_bfloat16,
    npu_is_910a,
    npu_name_in,
    read_text,
    run_command,
    torch_npu_remedy,
)
from common.machine.doctor import Surroundings
from common.machine.ports import is_free

CONNECT_SECONDS = (120, 7200)
EXECUTION_SECONDS_910A, EXECUTION_SECONDS = 17340, 2**31 - 1
EXECUTION_ROUNDING = 68
_ok = functools.partial(Finding, OK)
_warn = functools.partial(Finding, WARN)
_fail = functools.partial(Finding, FAIL)
HCCL_PORTS = 32
HCCL_FIRST_PORT = 60000
USUAL_OPP = "usr/local/Ascend/ascend-toolkit/latest/opp"
# What a package of kernels (ops since CANN 8.5) brings, for its chip.
KERNELS = "built-in/op_impl/ai_core/tbe/kernel/config/*/binary_info_config.json"
_DEVICE = re.compile(r"^\|\s*(\d+)\s+\S+\s*\|\s*([A-Za-z]+)\s*\|")
_CHIP = re.compile(r"^\|\s*(\d+)(?:\s+(\d+))?\s*\|\s*[0-9A-Fa-f]{4}:")
_PROCESS = re.compile(r"^\|\s*(\d+)\s+(\d+)\s*\|\s*(\d+)\s*\|\s*(\S+)\s*\|")


def with_ascend(found: Surroundings, root: Path = Path("/")) -> Surroundings:
    """Adds what only a machine with CANN or NPUs is asked.

    Args:
        root: the folder that stands for / (tests give another).
    """
    environment = found.environment
    scripts = tuple(str(path) for path in find_scripts(environment, "pytorch", root))
    found = dataclasses.replace(found, cann_scripts=scripts)
    if not found.machine.npu_count:
        return found
    opp = Path(environment.get("ASCEND_OPP_PATH") or root / USUAL_OPP)
    # Where npu_bridge would be imported from, by this process or by a launcher's rank.
    folders = [*sys.path, plugin_packages(environment, root) or root / "none"]
    plugins = (Path(folder) / "npu_bridge" for folder in folders)
    base = environment.get("HCCL_IF_BASE_PORT", "")
    first = int(base) if base.isdigit() else HCCL_FIRST_PORT
    ports = range(first, min(first + HCCL_PORTS, 65536))
    return dataclasses.replace(
        found,
        npu_smi=run_command(["npu-smi", "info"]) or "",
        npu_kernels=any(opp.glob(KERNELS)),
        tf_plugin=next((str(folder) for folder in plugins if folder.is_dir()), ""),
        hccn=read_text(root / "etc/hccn.conf") or None,
        busy_hccl_ports=tuple(port for port in ports if not is_free(port)),
    )


class NpuProcess(NamedTuple):
    """A process on a device."""

    device: int
    number: int
    name: str


def read_states(npu_smi: str) -> Tuple[List[Tuple[int, str]], List[NpuProcess]]:
    """Each device's health, "OK" where all is well, and the processes, by `npu-smi info`.

    Devices have the numbers that programs use: on A3 each die's Phy-ID.
    """
    health: List[Tuple[int, str]] = []
    processes = []
    numbers: Dict[Tuple[int, int], int] = {}  # by card and chip
    card = None
    for line in npu_smi.splitlines():
        process, device, chip = _PROCESS.match(line), _DEVICE.match(line), _CHIP.match(line)
        if process:
            place = int(process.group(1)), int(process.group(2))
            number = numbers.get(place, place[0])
            processes.append(NpuProcess(number, int(process.group(3)), process.group(4)))
        elif device:
            card = int(device.group(1))
            health.append((card, device.group(2)))
        elif chip and card is not None and chip.group(2):
            number = numbers[card, int(chip.group(1))] = int(chip.group(2))
            health[-1] = (number, health[-1][1])
    return health, processes


# --- the checks: None where one does not apply ---


def examine_ascend(facts: Surroundings) -> List[Finding]:
    """All of them, in the order they are printed: software, the server's devices, variables."""
    checks = [_cann, _torch_npu, _apex]
    if facts.machine.npu_count:
        checks += [_kernels, _driver, _health, _free, _visible, _plugin, _tensorflow, _addresses]
        checks += [_ports, _connect_timeout, _execution_timeout]
    found = [check(facts) for check in [*checks, _rank_table]]
    return [finding for finding in found if finding is not None]


def _blocking(facts: Surroundings) -> str:
    return FAIL if facts.machine.npu_count else WARN


# --- software ---


def _cann(facts: Surroundings) -> Optional[Finding]:
    prepared = facts.environment.get("ASCEND_HOME_PATH") or facts.environment.get("ASCEND_OPP_PATH")
    version = facts.cann or "of unknown version"
    if prepared:
        return _ok("CANN", f"{version}, prepared in {prepared}")
    if facts.cann_scripts:
        return _ok("CANN", f"{version}; launchers read {facts.cann_scripts[0]}")
    remedy = "install the CANN toolkit, or source its set_env.sh"
    missing = _fail("CANN", "not found, and there are NPUs", remedy)
    return missing if facts.machine.npu_count else None


def _kernels(facts: Surroundings) -> Optional[Finding]:
    """Chips after the 910A run operators from a package of kernels beside the toolkit."""
    if not npu_has_bfloat16(npu_name_in(facts.npu_smi)):
        return None
    if facts.npu_kernels:
        return _ok("CANN kernels", "installed")
    told = "no binary_info_config.json in CANN's opp: the first operator would fail"
    remedy = "install the ops package of this chip (kernels before CANN 8.5) beside the toolkit"
    return _warn("CANN kernels", told, remedy)


def _torch_npu(facts: Surroundings) -> Optional[Finding]:
    """torch_npu is made for exactly one torch."""
    torch, torch_npu = facts.packages.get("torch"), facts.packages.get("torch-npu", "")
    if torch is None or not (torch_npu or facts.machine.npu_count):
        return None
    if version_numbers(torch_npu)[:3] == version_numbers(torch)[:3]:
        return _ok("torch_npu", torch_npu)
    told = f"{torch_npu} is not made for torch {torch}" if torch_npu else "not installed"
    return Finding(_blocking(facts), "torch_npu", told, torch_npu_remedy(torch))


def _apex(facts: Surroundings) -> Optional[Finding]:
    """Three projects are called apex; on an NPU only Ascend's is of use."""
    version, npus = facts.packages.get("apex", ""), facts.machine.npu_count
    if "ascend" in version.lower():
        return _ok("apex", f"{version} (Ascend's)")
    if version and version_numbers(version) != (0, 1):
        found = f"{version} is another project of the registry's"
        return _warn("apex", found, "pip uninstall apex; no network here needs it")
    if version and not npus:
        return _ok("apex", f"{version} (NVIDIA's; not used here)")
    old_torch = (1,) <= version_numbers(facts.packages.get("torch", "")) < (2,)
    found = f"{version or 'none'}: no O1 or O2 on this NPU without Ascend's"
    remedy = "build Ascend's apex for this torch, or use allow_mix_precision"
    return _warn("apex", found, remedy) if npus and (version or old_torch) else None


def _of_tensorflow(facts: Surroundings, what: str, told: str, remedy: str) -> Finding:
    """What is amiss blocks only who has nothing else for the NPU."""
    return Finding(WARN if "torch-npu" in facts.packages else FAIL, what, told, remedy)


def _plugin(facts: Surroundings) -> Optional[Finding]:
    if not _tensorflow_version(facts):
        return None
    if facts.tf_plugin:
        return _ok("TensorFlow plugin", facts.tf_plugin)
    remedy = (
        "install the npu_bridge wheel of this CANN into ~/Ascend/tfplugin (before 8.0 the tfplugin "
        "package)"
    )
    told = "no npu_bridge, and there are NPUs"
    return _of_tensorflow(facts, "TensorFlow plugin", told, remedy)


def _tensorflow(facts: Surroundings) -> Optional[Finding]:
    version = _tensorflow_version(facts)
    if not version or version_numbers(version)[:2] == (1, 15):
        return None
    remedy = "use TensorFlow 1.15 with Python 3.7: scripts/setup.sh --stack reference"
    return _of_tensorflow(facts, "TensorFlow", f"{version} has no npu_bridge", remedy)


def _tensorflow_version(facts: Surroundings) -> str:
    return facts.packages.get("tensorflow") or facts.packages.get("tensorflow-cpu", "")


# --- devices ---


def _driver(facts: Surroundings) -> Optional[Finding]:
    """Devices without a driver's version belong to a container without the driver's folder."""
    if facts.machine.npu_driver:
        return _ok("NPU driver", facts.machine.npu_driver)
    remedy = "mount /usr/local/Ascend/driver of the host into the container"
    return _warn("NPU driver", "of unknown version", remedy)


def _health(facts: Surroundings) -> Optional[Finding]:
    health, _ = read_states(facts.npu_smi)
    if not health:
        remedy = "put npu-smi on PATH (/usr/local/bin, /usr/local/sbin)"
        return _warn("NPU health", "npu-smi tells nothing", remedy)
    ill = [(number, word) for number, word in health if word != "OK"]
    if not ill:
        return _ok("NPU health", f"{len(health)} devices OK")
    told = ", ".join("{} ({})".format(*one) for one in ill)
    remedy = f"see npu-smi info -t health -i {ill[0][0]}; use others by --device_id"
    return _fail("NPU health", f"device {told}", remedy)


def _free(facts: Surroundings) -> Optional[Finding]:
    """A device that others compute on is slow, or out of memory."""
    health, processes = read_states(facts.npu_smi)
    if not processes:
        return _ok("NPUs free", "no process on any device") if health else None
    told = ", ".join(f"device {one.device} ({one.name}, process {one.number})" for one in processes)
    remedy = "take a free one by --device_id, or wait"
    return _warn("NPUs free", f"others compute on {told}", remedy)


def _visible(facts: Surroundings) -> Optional[Finding]:
    """The list of visible devices has to ascend; devices are numbered anew by it."""
    text = facts.environment.get("ASCEND_RT_VISIBLE_DEVICES")
    if text is None:
        return None
    words = text.split(",")
    numbers = [int(word) for word in words if word.isdigit()]
    if len(numbers) == len(words) == facts.machine.npu_count and numbers == sorted(set(numbers)):
        return _ok("visible NPUs", f"{text} (numbered from 0 again)")
    return _fail(
        "visible NPUs",
        f"ASCEND_RT_VISIBLE_DEVICES is {text!r}: CANN sees {facts.machine.npu_count} of "
        f"{len(words)}, its list ends at what is no device",
        "give ascending numbers of devices that are there, without blanks, such as 0,1,3, or "
        "unset it",
    )


# --- HCCL ---


def _addresses(facts: Surroundings) -> Optional[Finding]:
    """Several devices talk over network cards of their own, whose addresses hccn.conf has."""
    count, what = facts.machine.npu_count, "device addresses"
    if count < 2:
        return None
    if facts.hccn is None:
        remedy = "as root copy it, or use hccn_tool -i N -ip -g, then zoo ranktable make"
        return _warn(what, f"{USUAL_PLACE} can't be read", remedy)
    try:
        known = read_server("", facts.hccn, USUAL_PLACE).addresses
    except ZooError as error:
        return _warn(what, str(error).split(";")[0], f"mend {USUAL_PLACE}")
    if len(known) >= count:
        return _ok(what, f"{len(known)} in {USUAL_PLACE}")
    told = f"{USUAL_PLACE} has those of {len(known)} of {count} devices"
    return _warn(what, told, "hccn_tool -i N -ip -s address A netmask M")


def _ports(facts: Surroundings) -> Optional[Finding]:
    busy = facts.busy_hccl_ports
    if facts.machine.npu_count < 2:
        return None
    if not busy:
        return _ok("HCCL ports", "free")
    told = f"{len(busy)} of {HCCL_PORTS} in use, the first is {busy[0]}"
    return _warn("HCCL ports", told, f"export HCCL_IF_BASE_PORT=<first of {HCCL_PORTS} free ports>")


def _connect_timeout(facts: Surroundings) -> Optional[Finding]:
    return _seconds(facts, "HCCL_CONNECT_TIMEOUT", *CONNECT_SECONDS)


def _execution_timeout(facts: Surroundings) -> Optional[Finding]:
    """How long a rank waits in an exchange, as for a first rank that evaluates."""
    name = "HCCL_EXEC_TIMEOUT"
    text = facts.environment.get(name, "")
    is_910a = npu_is_910a(npu_name_in(facts.npu_smi))
    if not is_910a and re.fullmatch(r"\d+\.\d{1,2}", text):  # where vector cores exchange
        return _ok(name, text + " s")
    finding = _seconds(facts, name, 0, EXECUTION_SECONDS_910A if is_910a else EXECUTION_SECONDS)
    if finding is None or finding.status != OK:
        return finding
    kept = max(int(text) // EXECUTION_ROUNDING, 1) * EXECUTION_ROUNDING
    if is_910a and kept != int(text):
        return _ok(name, f"{text} s, which HCCL takes as {kept}")
    return finding if int(text) else _ok(name, "0: ranks wait for ever")


def _seconds(facts: Surroundings, name: str, low: int, high: int) -> Optional[Finding]:
    text = facts.environment.get(name)
    if text is None:
        return None
    if text.isdigit() and low <= int(text) <= high:
        return _ok(name, text + " s")
    remedy = "unset it (the launcher sets a good one), or give a number in range"
    return _fail(name, f"{text!r} is outside {low} to {high} seconds", remedy)


def _rank_table(facts: Surroundings) -> Optional[Finding]:
    """A forgotten RANK_TABLE_FILE turns a one-device run into a collective one."""
    file = facts.environment.get("RANK_TABLE_FILE")
    if file is None:
        return None
    findings = check_text(facts.rank_table, file, CHIP_UNKNOWN)
    failure = first_failure(findings)
    size = facts.environment.get("RANK_SIZE", "").strip()
    if failure is None and (not size.isdigit() or int(size) <= 1):
        told = "RANK_TABLE_FILE is set without RANK_SIZE above 1"
        remedy = "unset RANK_TABLE_FILE (the launcher leaves it out of 1p runs)"
        return _warn("rank table", told, remedy)
    bad = failure or next((finding for finding in findings if finding.status == WARN), None)
    if bad is None:
        return _ok("rank table", file)
    place = f", {bad.place}" if bad.place else ""
    told, remedy = f"RANK_TABLE_FILE {file}{place}: {bad.found}", f"{bad.remedy}, or unset it"
    return Finding(_blocking(facts) if failure else WARN, "rank table", told, remedy)
