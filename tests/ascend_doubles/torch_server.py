"""An Ascend server on which a network in torch is launched, and what each launch leaves."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

import psutil

from common.machine.ports import reserve_port
from tests.ascend_doubles.machine import TOOLKIT, AscendMachine
from tests.fake_zoo import REPOSITORY

MODEL = "residual_attention_net"
SMALL = [
    "--dataset=synthetic",
    "--network=small_16input",
    "--limit_train=64",
    "--limit_test=40",
    "--validation_count=20",
    "--test_batch_size=16",
]
TRAINING = SMALL + ["--batch_size=16", "--train_epochs=2"]
SECONDS = 400.0


class Launched:
    """What a launch left: exit code, output, run folder, what the double or the stubs noted."""

    def __init__(self, code: int, output: str, folder: Path, noted: Path) -> None:
        self.code, self.output, self.folder, self._noted = code, output, folder, noted
        self.events = {
            int(path.name.split("_")[1]): [json.loads(line) for line in path.open()]
            for path in sorted(noted.glob("rank_*.jsonl"))
        }

    @property
    def record(self) -> Dict[str, Any]:
        """The run's record."""
        return json.loads((self.folder / "record.json").read_text())

    @property
    def answer(self) -> Any:
        """The JSON that a function of torch_steps printed."""
        assert self.code == 0, self.output[-3000:]
        return json.loads(self.output.splitlines()[-1])

    def noted(self, kind: str, rank: int = 0) -> List[Dict[str, Any]]:
        """A double's events of a kind."""
        return [event for event in self.events[rank] if event["event"] == kind]

    def kinds(self, rank: int, *wanted: str) -> List[str]:
        """The kinds of a rank's events in order."""
        return [event["event"] for event in self.events[rank] if event["event"] in wanted]

    def calls(self) -> List[str]:
        """The calls that the stubs under the real torch_npu noted, such as "aclrtSetDevice …"."""
        return [line.split(" ", 1)[1] for line in (self._noted / "calls").read_text().splitlines()]

    def newest_weights(self) -> Dict[str, Any]:
        """The weights in the last checkpoint."""
        import torch

        path = sorted(self.folder.glob("ckpt/step_*/weights.pt"))[-1]
        return torch.load(str(path), map_location="cpu")["model"]


class Server:
    """The machine, a copy of the network, and packages on PYTHONPATH, in a folder of the test's."""

    def __init__(
        self, root: Path, packages: Sequence[Path], model: str = MODEL, **machine: Any
    ) -> None:
        self.root, self._packages, self._runs = root, list(packages), 0
        self.machine = AscendMachine(root / "machine", **machine)
        self.model, self._folder = model, REPOSITORY / "PyTorch" / model
        shutil.copytree(
            str(self._folder),
            str(root / "zoo" / "PyTorch" / model),
            ignore=shutil.ignore_patterns("output", "__pycache__"),
        )

    def variables(self, noted: Path, **more: Optional[str]) -> Dict[str, str]:
        """The environment of a user's shell there."""
        return self.machine.variables(
            *self._packages,
            ASCEND_DOUBLE_REPORT=str(noted),
            STUB_CALLS=str(noted / "calls"),
            ZOO_ROOT=str(self.root / "zoo"),
            ZOO_PYTHON=sys.executable,
            **more,
        )

    def start(
        self,
        case: str,
        *flags: str,
        output: Optional[Path] = None,
        device: str = "npu",
        script: bool = False,
        **variables: Optional[str],
    ) -> Any:
        """Starts a case, or the script of that name; (process, run folder, folder of the notes)."""
        self._runs += 1
        noted = self.root / f"noted_{self._runs}"
        noted.mkdir()
        folder = self.root / f"run_{self._runs}" if output is None else output
        command = (
            ["bash", str(self._folder / "test" / (case + ".sh"))]
            if script
            else [sys.executable, "-m", "common", "launch", self.model, case]
        )
        process = subprocess.Popen(
            command + ["--device", device, "--output_path", str(folder)] + list(flags),
            cwd=str(self.root),
            env=self.variables(noted, **variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            universal_newlines=True,
        )
        return process, folder, noted

    def launch(self, case: str, *flags: str, **where: Any) -> Launched:
        """Launches to the end."""
        return self.end(*self.start(case, *flags, **where))

    def killed(self, case: str, *flags: str, after: int) -> Launched:
        """Launches, and kills the ranks once the first has written so many checkpoints."""
        process, folder, noted = self.start(case, *flags)
        path, deadline = folder / "rank_0" / "metrics.jsonl", time.monotonic() + SECONDS
        while not (path.exists() and path.read_text().count('"checkpoint"') >= after):
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.05)
        for rank in psutil.Process(process.pid).children():
            rank.kill()
        return self.end(process, folder, noted)

    def ask(self, function: str, *words: str, ranks: int = 1, **more: Optional[str]) -> List[Any]:
        """What a function of torch_steps does in a prepared shell; one Launched a rank."""
        toolkit = self.machine.root / TOOLKIT / "latest"
        more.update(
            ASCEND_HOME_PATH=str(toolkit),
            ASCEND_OPP_PATH=str(toolkit / "opp"),
            LD_LIBRARY_PATH=str(toolkit / "lib64"),
            MASTER_PORT=str(reserve_port().port),
        )
        self._runs += 1
        started = []
        for rank in range(ranks):
            noted = self.root / f"noted_{self._runs}_{rank}"
            noted.mkdir()
            code = f"from tests.ascend_doubles import torch_steps as s; s.{function}(*{words!r})"
            process = subprocess.Popen(
                [sys.executable, "-c", code],
                cwd=str(REPOSITORY),
                env=self.variables(noted, RANK=str(rank), **more),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                universal_newlines=True,
            )
            started.append((process, noted, noted))
        return [self.end(*one) for one in started]

    @staticmethod
    def end(process: Any, folder: Path, noted: Path) -> Launched:
        """Waits for a launch that was started."""
        output = process.communicate(timeout=SECONDS)[0]
        return Launched(process.returncode, output, folder, noted)
