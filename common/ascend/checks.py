"""The checks of `zoo doctor` on an Ascend machine: pure functions, None where they don't apply."""

from __future__ import annotations

import functools
import re
from typing import List, Optional

from common.ascend.hccn import USUAL_PLACE, read_server
from common.ascend.rank_table import CHIP_UNKNOWN, TableFinding, check_text, first_failure
from common.ascend.surroundings import HCCL_PORTS, read_states
from common.core.errors import FAIL, OK, WARN, Finding, ZooError
from common.core.text import version_numbers
from common.machine.devices import npu_has_bfloat16, npu_is_910a, npu_name_in, torch_npu_remedy
from common.machine.ranks import CHIEF_NAMES
from common.machine.surroundings import Surroundings

RANK_VARIABLES = ("RANK_TABLE_FILE", "RANK_SIZE", "RANK_ID")
CONNECT_SECONDS = (120, 7200)
EXECUTION_SECONDS_910A = (0, 17340)
EXECUTION_SECONDS = (0, 2**31 - 1)
EXECUTION_ROUNDING = 68
_ok = functools.partial(Finding, OK)
_warn = functools.partial(Finding, WARN)
_fail = functools.partial(Finding, FAIL)


def examine_ascend(facts: Surroundings) -> List[Finding]:
    """All of them, in the order they are printed: software, the server's devices, variables."""
    checks = [check_cann, check_torch_npu, check_apex]
    if facts.machine.npu_count:
        checks += [
            check_kernels,
            check_driver,
            check_health,
            check_free,
            check_visible,
            check_plugin,
            check_tensorflow,
            check_addresses,
            check_ports,
            check_connect_timeout,
            check_execution_timeout,
        ]
    checks += [check_rank_variables, check_rank_table]
    found = [check(facts) for check in checks]
    return [finding for finding in found if finding is not None]


# --- software ---


def check_cann(facts: Surroundings) -> Optional[Finding]:
    """CANN, where there are NPUs (or CANN without them)."""
    prepared = facts.environment.get("ASCEND_HOME_PATH") or facts.environment.get("ASCEND_OPP_PATH")
    version = facts.cann or "of unknown version"
    if prepared:
        return _ok("CANN", f"{version}, prepared in {prepared}")
    if facts.cann_scripts:
        return _ok("CANN", f"{version}; launchers read {facts.cann_scripts[0]}")
    remedy = "install the CANN toolkit, or source its set_env.sh"
    missing = _fail("CANN", "not found, and there are NPUs", remedy)
    return missing if facts.machine.npu_count else None


def check_kernels(facts: Surroundings) -> Optional[Finding]:
    """Chips after the 910A run operators from a package of kernels beside the toolkit."""
    if not npu_has_bfloat16(npu_name_in(facts.npu_smi)):
        return None
    if facts.npu_kernels:
        return _ok("CANN kernels", "installed")
    return _warn(
        "CANN kernels",
        "no binary_info_config.json in CANN's opp: the first operator would fail",
        "install the ops package of this chip (kernels before CANN 8.5) beside the toolkit",
    )


def check_torch_npu(facts: Surroundings) -> Optional[Finding]:
    """torch_npu is made for exactly one torch."""
    torch, torch_npu = facts.packages.get("torch"), facts.packages.get("torch-npu")
    if torch is None or (torch_npu is None and not facts.machine.npu_count):
        return None
    if torch_npu is None:
        told = "not installed, and there are NPUs"
    elif version_numbers(torch_npu)[:3] == version_numbers(torch)[:3]:
        return _ok("torch_npu", torch_npu)
    else:
        told = f"{torch_npu} is not made for torch {torch}"
    return Finding(_blocking(facts), "torch_npu", told, torch_npu_remedy(torch))


def _blocking(facts: Surroundings) -> str:
    return FAIL if facts.machine.npu_count else WARN


def check_apex(facts: Surroundings) -> Optional[Finding]:
    """Three projects are called apex; on an NPU only Ascend's is of use."""
    version, npus = facts.packages.get("apex"), facts.machine.npu_count
    if version is None:
        old_torch = (1,) <= version_numbers(facts.packages.get("torch", "")) < (2,)
        remedy = "build Ascend's apex for this torch, or use allow_mix_precision"
        missing = _warn("apex", "not installed: no O1 or O2 on this NPU", remedy)
        return missing if npus and old_torch else None
    if "ascend" in version.lower():
        return _ok("apex", f"{version} (Ascend's)")
    if version_numbers(version) == (0, 1):
        found = f"{version} (NVIDIA's; not used here)"
        return _warn("apex", found, "replace it by Ascend's apex") if npus else _ok("apex", found)
    found = f"{version} is another project of the registry's"
    return _warn("apex", found, "pip uninstall apex; no network here needs it")


# --- devices ---


def check_driver(facts: Surroundings) -> Optional[Finding]:
    """Devices without a driver's version belong to a container without the driver's folder."""
    if facts.machine.npu_driver:
        return _ok("NPU driver", facts.machine.npu_driver)
    remedy = "mount /usr/local/Ascend/driver of the host into the container"
    return _warn("NPU driver", "of unknown version", remedy)


def check_health(facts: Surroundings) -> Optional[Finding]:
    """Every device that this machine shows has to be well."""
    health, _ = read_states(facts.npu_smi)
    if not health:
        remedy = "put npu-smi on PATH (/usr/local/bin, /usr/local/sbin)"
        return _warn("NPU health", "npu-smi tells nothing", remedy)
    ill = [number for number, word in health if word != "OK"]
    if not ill:
        return _ok("NPU health", f"{len(health)} devices OK")
    told = ", ".join(f"{number} ({word})" for number, word in health if word != "OK")
    remedy = f"see npu-smi info -t health -i {ill[0]}; use others by --device_id"
    return _fail("NPU health", f"device {told}", remedy)


def check_free(facts: Surroundings) -> Optional[Finding]:
    """A device that others compute on is slow, or out of memory."""
    health, processes = read_states(facts.npu_smi)
    if not health:
        return None
    if not processes:
        return _ok("NPUs free", "no process on any device")
    told = ", ".join(f"device {one.device} ({one.name}, process {one.number})" for one in processes)
    return _warn(
        "NPUs free", f"others compute on {told}", "take a free one by --device_id, or wait"
    )


def check_visible(facts: Surroundings) -> Optional[Finding]:
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


# --- TensorFlow: what is amiss blocks only who has nothing else for the NPU ---


def check_plugin(facts: Surroundings) -> Optional[Finding]:
    """TensorFlow reaches the NPU through CANN's plugin, which brings npu_bridge."""
    if not _tensorflow(facts):
        return None
    if facts.tf_plugin:
        return _ok("TensorFlow plugin", facts.tf_plugin)
    return Finding(
        WARN if "torch-npu" in facts.packages else FAIL,
        "TensorFlow plugin",
        "no npu_bridge, and there are NPUs",
        "install the npu_bridge wheel of this CANN into ~/Ascend/tfplugin (before 8.0 the tfplugin "
        "package)",
    )


def check_tensorflow(facts: Surroundings) -> Optional[Finding]:
    """npu_bridge is made for TensorFlow 1.15."""
    version = _tensorflow(facts)
    if not version or version_numbers(version)[:2] == (1, 15):
        return None
    return Finding(
        WARN if "torch-npu" in facts.packages else FAIL,
        "TensorFlow",
        f"{version} has no npu_bridge",
        "use TensorFlow 1.15 with Python 3.7: scripts/setup.sh --stack reference",
    )


def _tensorflow(facts: Surroundings) -> str:
    return facts.packages.get("tensorflow") or facts.packages.get("tensorflow-cpu", "")


# --- HCCL ---


def check_addresses(facts: Surroundings) -> Optional[Finding]:
    """Several devices talk over network cards of their own, whose addresses hccn.conf has."""
    count = facts.machine.npu_count
    if count < 2:
        return None
    if facts.hccn is None:
        remedy = "as root copy it, or use hccn_tool -i N -ip -g, then zoo ranktable make"
        return _warn("device addresses", f"{USUAL_PLACE} can't be read", remedy)
    try:
        known = read_server("", facts.hccn, USUAL_PLACE).addresses
    except ZooError as error:
        return _warn("device addresses", str(error).split(";")[0], f"mend {USUAL_PLACE}")
    if len(known) >= count:
        return _ok("device addresses", f"{len(known)} in {USUAL_PLACE}")
    told = f"{USUAL_PLACE} has those of {len(known)} of {count} devices"
    return _warn("device addresses", told, "hccn_tool -i N -ip -s address A netmask M")


def check_ports(facts: Surroundings) -> Optional[Finding]:
    """HCCL listens at a range of ports on the host."""
    if facts.machine.npu_count < 2:
        return None
    busy = facts.busy_hccl_ports
    if not busy:
        return _ok("HCCL ports", "free")
    told = f"{len(busy)} of {HCCL_PORTS} in use, the first is {busy[0]}"
    return _warn("HCCL ports", told, f"export HCCL_IF_BASE_PORT=<first of {HCCL_PORTS} free ports>")


def check_connect_timeout(facts: Surroundings) -> Optional[Finding]:
    """How long ranks wait for each other at the start."""
    return _check_seconds(facts, "HCCL_CONNECT_TIMEOUT", *CONNECT_SECONDS)


def check_execution_timeout(facts: Surroundings) -> Optional[Finding]:
    """How long a rank waits in an exchange, as for a first rank that evaluates."""
    name = "HCCL_EXEC_TIMEOUT"
    text = facts.environment.get(name, "")
    if npu_is_910a(npu_name_in(facts.npu_smi)):
        finding = _check_seconds(facts, name, *EXECUTION_SECONDS_910A)
        if finding is None or finding.status != OK:
            return finding
        kept = max(int(text) // EXECUTION_ROUNDING, 1) * EXECUTION_ROUNDING
        return finding if kept == int(text) else _ok(name, f"{text} s, which HCCL takes as {kept}")
    if re.fullmatch(r"\d+\.\d{1,2}", text):  # where vector cores exchange
        return _ok(name, text + " s")
    finding = _check_seconds(facts, name, *EXECUTION_SECONDS)
    return _ok(name, "0: ranks wait for ever") if text == "0" else finding


def _check_seconds(facts: Surroundings, name: str, low: int, high: int) -> Optional[Finding]:
    text = facts.environment.get(name)
    if text is None:
        return None
    if text.isdigit() and low <= int(text) <= high:
        return _ok(name, text + " s")
    remedy = "unset it (the launcher sets a good one), or give a number in range"
    return _fail(name, f"{text!r} is outside {low} to {high} seconds", remedy)


# --- variables ---


def check_rank_variables(facts: Surroundings) -> Optional[Finding]:
    """RANK_* and CM_* exclude each other; even an empty variable counts as set."""
    cluster = [name for name in (*CHIEF_NAMES, "CM_WORKER_IP") if name in facts.environment]
    ranks = [name for name in RANK_VARIABLES if name in facts.environment]
    if not cluster or not ranks:
        return None
    told = f"{ranks[0]} and {cluster[0]} are both set and exclude each other"
    return Finding(_blocking(facts), "cluster variables", told, f"unset {' '.join(ranks)}")


def check_rank_table(facts: Surroundings) -> Optional[Finding]:
    """A forgotten RANK_TABLE_FILE turns a one-device run into a collective one."""
    if "RANK_TABLE_FILE" not in facts.environment:
        return None
    file = facts.environment["RANK_TABLE_FILE"]
    findings = check_text(facts.rank_table, file, CHIP_UNKNOWN)
    failure = first_failure(findings)
    if failure is not None:
        return _of_table(failure, _blocking(facts))
    size = facts.environment.get("RANK_SIZE", "").strip()
    if not size.isdigit() or int(size) <= 1:
        return _warn(
            "rank table",
            "RANK_TABLE_FILE is set without RANK_SIZE above 1",
            "unset RANK_TABLE_FILE (the launcher leaves it out of 1p runs)",
        )
    warning = next((finding for finding in findings if finding.status == WARN), None)
    return _of_table(warning, WARN) if warning else _ok("rank table", file)


def _of_table(finding: TableFinding, status: str) -> Finding:
    """A table's finding as a line of the doctor."""
    place = f", {finding.place}" if finding.place else ""
    told = f"RANK_TABLE_FILE {finding.file}{place}: {finding.found}"
    return Finding(status, "rank table", told, f"{finding.remedy}, or unset RANK_TABLE_FILE")
