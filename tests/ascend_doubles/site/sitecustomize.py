"""Makes each Python process of a test's machine an Ascend server's; imported at its start.

ASCEND_DOUBLE_ROOT is the folder at which `common` looks in place of /. With STUB_SOC the real
torch_npu is simulated from its import on (tests/real_torch_npu).
"""

import importlib.abc
import importlib.util
import os
import runpy
import sys
from pathlib import Path

_LOOKERS = (
    "common.machine.devices",
    "common.ascend.environment",
    "common.launch.meeting",
    "common.ascend.doctor",
    "common.commands.doctor",
    "common.commands.ranktable",
)
_SIMULATED = Path(__file__).resolve().parents[2] / "real_torch_npu" / "simulated.py"


def _look_at_the_root(module):
    """Replaces the root of the file system where it is a function's default."""
    root = Path(os.environ["ASCEND_DOUBLE_ROOT"])
    for value in list(vars(module).values()):
        defaults = getattr(value, "__defaults__", None)
        if defaults and getattr(value, "__module__", "") == module.__name__:
            value.__defaults__ = tuple(
                root if default == Path("/") else default for default in defaults
            )


def _simulate(module):
    runpy.run_path(str(_SIMULATED))["start"]()


class _Finder(importlib.abc.MetaPathFinder):
    """Finds modules in the usual way, and has something done at the end of some modules' import."""

    def __init__(self, actions):
        self._actions, self._busy = actions, False

    def find_spec(self, name, path=None, target=None):
        """None for all modules without an action."""
        if name not in self._actions or self._busy:
            return None
        self._busy = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self._busy = False
        if spec is not None and spec.loader is not None:
            execute, act = spec.loader.exec_module, self._actions[name]
            spec.loader.exec_module = lambda module: (execute(module), act(module))
        return spec


_ACTIONS = {}
if os.environ.get("ASCEND_DOUBLE_ROOT"):
    _ACTIONS.update(dict.fromkeys(_LOOKERS, _look_at_the_root))
if os.environ.get("STUB_SOC"):
    _ACTIONS["torch_npu"] = _simulate
sys.meta_path.insert(0, _Finder(_ACTIONS))
