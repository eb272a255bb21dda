"""A folder that stands for / of an Ascend server, and the variables of a program there."""

import os
from pathlib import Path

from tests.fake_zoo import REPOSITORY, own_variables
from tests.rank_tables import hccn_conf
from tests.real_torch_npu.installed import STUBS

HERE = Path(__file__).resolve().parent
INSTALL = "usr/local/Ascend"
TOOLKIT = INSTALL + "/ascend-toolkit"

# Like CANN's own, it reads variables that may not be set, and says things.
_SET_ENV = """\
export ASCEND_TOOLKIT_HOME={toolkit}
export ASCEND_HOME_PATH=${{ASCEND_TOOLKIT_HOME}}
export ASCEND_OPP_PATH=${{ASCEND_TOOLKIT_HOME}}/opp
export LD_LIBRARY_PATH=${{ASCEND_TOOLKIT_HOME}}/lib64:$LD_LIBRARY_PATH
export PYTHONPATH=${{ASCEND_TOOLKIT_HOME}}/python/site-packages:$PYTHONPATH
export PATH=${{ASCEND_TOOLKIT_HOME}}/bin:$PATH
echo "set_env.sh: done"
false
"""

_NPU_SMI = """\
#!/bin/sh
cat <<'END'
+------------------------------------------------------------------------------------------------+
| npu-smi 22.0.4                   Version: 22.0.4                                               |
+---------------------------+---------------+----------------------------------------------------+
| NPU   Name                | Health        | Power(W)    Temp(C)           Hugepages-Usage(page)|
| Chip  {phy:<20}| Bus-Id        | AICore(%)   Memory-Usage(MB)  HBM-Usage(MB)        |
+===========================+===============+====================================================+
{devices}
+---------------------------+---------------+----------------------------------------------------+
| NPU     Chip              | Process id    | Process name             | Process memory(MB)      |
+===========================+===============+====================================================+
{processes}
+---------------------------+---------------+----------------------------------------------------+
END
"""
_DEVICE = """\
| {npu:<5} {name:<19} | {health:<13} | 68.3        38                15    / 15           |
| {chip:<5} {phy:<19} | 0000:C1:00.0  | 0           1169 / 15137  {used:<5}/ 32768 |"""
_PROCESS = (
    "| {npu:<7} {chip:<17} | {pid:<13} | python3                  | 1234                    |"
)
_IDLE = "| No running processes found in NPU {npu} |"


class AscendMachine:
    """An Ascend server under `root`, made once; its variables are in `environment`."""

    def __init__(
        self,
        root,
        soc="Ascend910A",
        devices=8,
        busy=(),
        unhealthy=(),
        real_torch_npu=False,
    ):
        """
        Args:
            busy, unhealthy: numbers of devices that others compute on, and that are broken.
            real_torch_npu: whether CANN's libraries are there, as stubs.
        """
        self.root, self.soc, self.devices = Path(root), soc, devices
        self.real_torch_npu = real_torch_npu
        self._make_devices()
        self._make_cann()
        self._make_npu_smi(busy, unhealthy)

    def variables(self, *packages, **changes):
        """The environment of a user's shell there: nothing sourced, packages on PYTHONPATH.

        Args:
            packages: folders with doubles that stand for installed packages (torch_npu, apex).
            changes: further variables; None takes one away.
        """
        variables = own_variables()
        variables.update(
            ASCEND_DOUBLE_ROOT=str(self.root),
            ASCEND_DOUBLE_SOC=self.soc,
            ASCEND_DOUBLE_DEVICES=str(self.devices),
            PYTHONPATH=os.pathsep.join(map(str, (HERE / "site", REPOSITORY, *packages))),
            PATH="{}:{}".format(self.root / "usr/local/bin", os.environ["PATH"]),
            HOME=str(self.root / "root"),
            OMP_NUM_THREADS="1",
        )
        if self.real_torch_npu:
            variables.update(
                STUB_SOC=self.soc, STUB_DEVICES=str(self.devices), TASK_QUEUE_ENABLE="0"
            )
        variables.update(changes)
        return {name: value for name, value in variables.items() if value is not None}

    def _make_devices(self):
        for number in range(self.devices):
            self.write(f"dev/davinci{number}", "")
        self.write("dev/davinci_manager", "")
        (self.root / "root").mkdir()
        for name in ("proc", "sys", "dev/shm"):
            (self.root / name).symlink_to(Path("/") / name)
        self.write("etc/hccn.conf", hccn_conf(range(self.devices)))

    def _make_cann(self):
        toolkit = self.root / TOOLKIT / "latest"
        (toolkit / "opp").mkdir(parents=True)
        self.write("etc/Ascend/ascend_cann_install.info", f"Install_Path=/{INSTALL}\n")
        self.write(INSTALL + "/driver/version.info", "Version=22.0.4\n")
        self.write(TOOLKIT + "/latest/ascend_toolkit_install.info", "version=6.0.0\n")
        for name in (
            "compiler",
            "runtime",
        ):  # torch_npu looks for both; a package's number is first
            inner = "Version=7.7.0.1.238\nversion_dir=6.0.0\n"
            self.write(f"{TOOLKIT}/latest/{name}/version.info", inner)
        self.write(TOOLKIT + "/set_env.sh", _SET_ENV.format(toolkit=toolkit))
        (toolkit / "python").mkdir()
        (toolkit / "python/site-packages").symlink_to(HERE / "cann_python")
        if self.real_torch_npu:
            (toolkit / "lib64").symlink_to(STUBS)
        packages = self.root / INSTALL / "tfplugin/latest/python/site-packages"
        packages.parent.mkdir(parents=True)
        packages.symlink_to(HERE / "tensorflow")

    def _make_npu_smi(self, busy, unhealthy):
        is_a3 = "910_93" in self.soc  # two dies a card, counted by Phy-ID
        rows, used = [], []
        for number in range(self.devices):
            place = {"npu": number // 2 if is_a3 else number, "chip": number % 2 if is_a3 else 0}
            rows.append(
                _DEVICE.format(
                    name="Ascend910" if is_a3 else self.soc.replace("Ascend", ""),
                    phy=number if is_a3 else "",
                    health="Alarm" if number in unhealthy else "OK",
                    used=20000 if number in busy else 0,
                    **place,
                )
            )
            row = _PROCESS if number in busy else _IDLE
            used.append(row.format(pid=4000 + number, **place))
        phy, parts = "Phy-ID" * is_a3, {"devices": "\n".join(rows), "processes": "\n".join(used)}
        self.write("usr/local/bin/npu-smi", _NPU_SMI.format(phy=phy, **parts)).chmod(0o755)

    def write(self, name, text):
        """Writes a file of the machine; returns its path."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path
