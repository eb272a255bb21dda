"""What the tests of the scripts share: a machine whose Pythons are the ones a test puts there."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Dict, Optional

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
TOOLS = (
    "awk bash cat cp cut dirname find flock grep head mkdir mv paste readlink rm sed sha256sum "
    "sort tail tr"
)


class Machine:
    """A PATH and a home folder with nothing in them but the tools a shell script needs."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "bin"
        self.home = folder / "home of the user"
        for made in (self.bin, self.home):
            made.mkdir()
        for tool in TOOLS.split():
            found = shutil.which(tool)
            if found:
                (self.bin / tool).symlink_to(found)

    def add(self, path: Path, script: str) -> Path:
        """Writes an executable shell script."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\n" + script + "\n", encoding="utf-8")
        path.chmod(0o755)
        return path

    def add_python(self, path: Path, version: str) -> Path:
        """Writes a Python that runs `-c CODE` and takes itself for the given version."""
        pretend = ("import sys; sys.version_info = ({}, 0, 'final', 0); exec(sys.argv[-1])").format(
            version.replace(".", ", ")
        )
        return self.add(path, f'exec "{sys.executable}" -c "{pretend}" "$@"')

    def run(
        self, *command: str, cwd: Optional[Path] = None, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command here; variables are added to its otherwise bare environment."""
        environment: Dict[str, str] = {"PATH": str(self.bin), "HOME": str(self.home)}
        environment.update(variables)
        return subprocess.run(
            list(command),
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            cwd=str(cwd or self.home),
            env=environment,
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with the real scripts and short locks, in a folder with a space in its name."""
    root = tmp_path / "a check out"
    shutil.copytree(
        str(CHECKOUT / "scripts"),
        str(root / "scripts"),
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    shutil.copytree(str(CHECKOUT / ".ci"), str(root / ".ci"))
    (root / "ci" / "locks").mkdir(parents=True)
    (root / "ci" / "locks" / "current.txt").write_text("torch==9.9+cpu\nuv==0.1\n")
    (root / "ci" / "locks" / "reference.txt").write_text("torch==1.8.1\n")
    (root / "pyproject.toml").write_text("")
    return root


@pytest.fixture
def call(machine: Machine, checkout: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Calls one function of scripts/lib in the checkout: call("find_python", "3.7")."""

    def run(function: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        script = "".join(
            [
                "set -eu; root=$1; shift; wheels=; install_log=/dev/null; ",
                *[
                    f'. "$root/scripts/lib/{part}.sh"; '
                    for part in ("messages", "pythons", "packages", "environments")
                ],
                '"$@"',
            ]
        )
        return machine.run(
            "bash", "-c", script, "test", str(checkout), function, *arguments, **variables
        )

    return run


@pytest.fixture
def default_graph() -> Any:
    """A TensorFlow graph of the test's own."""
    from common.training.tensorflow.runtime import tf

    with tf.Graph().as_default() as graph:
        yield graph


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch) -> Any:
    """npu_bridge's double, imported as if the test were a process of its own."""
    from tests.ascend_doubles.fresh_npu_bridge import imported

    with imported(monkeypatch) as found:
        yield found


@pytest.fixture(
    params=[
        # One loop, two engines: the fast tests see it with torch, whose toys take no seconds.
        pytest.param("tensorflow", marks=[pytest.mark.tensorflow, pytest.mark.long]),
        pytest.param("torch", marks=pytest.mark.pytorch),
    ]
)
def toy(request: pytest.FixtureRequest) -> Any:
    """The toy network of each engine."""
    from tests.toys import Toy

    return Toy(request.param)
