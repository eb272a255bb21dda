"""Makes `common` of every Python process look at the folder that stands for / (ASCEND_DOUBLE_ROOT).

Python imports a module of this name at its start, from the first folder of PYTHONPATH that has one.
"""

import importlib.abc
import importlib.util
import os
import sys
from pathlib import Path

_LOOKERS = (
    "common.machine.devices",
    "common.ascend.environment",
    "common.launch.meeting",
    "common.ascend.surroundings",
    "common.commands.doctor",
    "common.ascend.rank_tables.sources",
    "common.ascend.rank_tables.reading_hccn",
)


def _look_at(root, module):
    """Replaces the root of the file system where it is a function's default."""
    for value in list(vars(module).values()):
        defaults = getattr(value, "__defaults__", None)
        if defaults and getattr(value, "__module__", "") == module.__name__:
            value.__defaults__ = tuple(
                root if default == Path("/") else default for default in defaults
            )


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the modules in question in the usual way, and has them changed once they are there."""

    def __init__(self, root):
        self._root, self._busy = root, False

    def find_spec(self, name, path=None, target=None):
        """The usual spec with a loader that calls _look_at at the end; None for others."""
        if name not in _LOOKERS or self._busy:
            return None
        self._busy = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self._busy = False
        if spec is not None and spec.loader is not None:
            self._wrap(spec.loader)
        return spec

    def _wrap(self, loader):
        execute = loader.exec_module

        def execute_and_look(module):
            execute(module)
            _look_at(self._root, module)

        loader.exec_module = execute_and_look


if os.environ.get("ASCEND_DOUBLE_ROOT"):
    sys.meta_path.insert(0, _Finder(Path(os.environ["ASCEND_DOUBLE_ROOT"])))
