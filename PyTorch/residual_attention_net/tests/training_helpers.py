"""Starts the entry points as their users do, on a network small enough for tests."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, Optional

from common.machine.ports import reserve_port
from common.runs import events as run_log

CHECKOUT = Path(__file__).resolve().parents[3]
SMALL = shlex.split(
    "--dataset synthetic --network small_16input --train_batch_size 16 --limit_train 64 "
    "--limit_test 40 --validation_count 20 --total_epochs 2 --pictures_every 0 --device_type cpu"
)


def environment(**extra: str) -> Dict[str, str]:
    """This process's environment with the checkout's packages, one thread a process."""
    path = os.pathsep.join([str(CHECKOUT), str(CHECKOUT / "PyTorch")])
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path, **extra}


def start(program: str, output: Path, *flags: str, **extra: str) -> subprocess.Popen[str]:
    """Starts an entry point and returns at once; flags given here win over SMALL."""
    module = "residual_attention_net." + program
    return subprocess.Popen(
        [sys.executable, "-m", module, "--output_path", str(output), *SMALL, *flags],
        env=environment(**extra),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
    )


def run(program: str, output: Path, *flags: str, **extra: str) -> subprocess.CompletedProcess[str]:
    """Runs an entry point to its end."""
    process = start(program, output, *flags, **extra)
    text = process.communicate(timeout=600)[0]
    return subprocess.CompletedProcess(process.args, process.returncode, text)


def trained(program: str, output: Path, *flags: str) -> Path:
    """The folder of a run that ended well."""
    done = run(program, output, *flags)
    assert done.returncode == 0, done.stdout
    return output


def events(output: Path, kind: Optional[str] = None, rank: int = 0) -> List[Dict[str, Any]]:
    """The effective events of a run folder, of one kind or all."""
    path = output / f"rank_{rank}" / run_log.FILE_NAME
    return [
        event for event in run_log.effective_events(path) if kind is None or event["event"] == kind
    ]


def error_line(text: str) -> str:
    """The one error line of a program's output."""
    (line,) = [line for line in text.splitlines() if line.startswith("error: ")]
    assert "Traceback" not in text
    return line


def newest_checkpoint(output: Path) -> Dict[str, Any]:
    """The content of the newest whole checkpoint of a run folder, with its state."""
    from common.training.checkpoints import CheckpointFolder, read_state
    from common.training.torch.weights_file import FILE, load

    path = CheckpointFolder(output / "ckpt").newest()
    assert path is not None
    return dict(read_state(path), **load(path / FILE))


def saved(folder: Path, network: Any, **more: Any) -> Path:
    """A file of weights as a training of the network writes it."""
    from common.training.torch import weights_file
    from residual_attention_net.network.weights import network_identity

    about = {"network": network_identity(network)}
    content = dict(weights_file.pack(network, about), **more)
    folder.mkdir(parents=True, exist_ok=True)
    weights_file.write(folder / weights_file.FILE, content)
    return folder / weights_file.FILE


def checkpoint_of(output: Path, network: Any, step: int = 1) -> Path:
    """A checkpoint in a run folder, without what the optimizer keeps; its file of weights."""
    from common.training.checkpoints import CheckpointFolder
    from common.training.torch.weights_file import FILE
    from residual_attention_net.network.weights import network_identity

    def write(work: Path) -> Dict[str, Any]:
        saved(work, network)
        return {}

    folder = CheckpointFolder(output / "ckpt", weights_file=FILE)
    folder.prepare()
    shape = network_identity(network)
    state = {"network": {"name": shape.pop("network"), **shape}, "best": {"step": step}}
    return folder.save(step, state, write)[0] / FILE


def start_rank(
    program: str, output: Path, rank: int, ranks: int, port: int, *flags: str
) -> subprocess.Popen[str]:
    """Starts one rank of a job, as a launcher does."""
    place = {"RANK": str(rank), "WORLD_SIZE": str(ranks), "LOCAL_RANK": str(rank)}
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return start(program, output, "--device_num", str(ranks), *flags, **place, **meeting)


def finish(processes: List[subprocess.Popen[str]]) -> List[str]:
    """What they printed, once all have ended well."""
    texts = [process.communicate(timeout=600)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), texts
    return texts


def run_ranks(program: str, output: Path, ranks: int, *flags: str) -> List[str]:
    """Runs a job to its end; returns what each rank printed."""
    port = free_port()
    return finish([start_rank(program, output, rank, ranks, port, *flags) for rank in range(ranks)])


def free_port() -> int:
    """A port that nothing listens on at the moment."""
    return reserve_port().port
