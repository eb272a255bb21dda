"""Starts the entry points as their users do, on a network small enough for tests."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path
from typing import Any, Dict, List

from tests import processes
from tests.processes import events, finish, free_port, place, start_ranks

__all__ = ["events", "finish", "free_port", "place", "start_ranks"]
SMALL = shlex.split(
    "--dataset synthetic --network small_16input --train_batch_size 16 --limit_train 64 "
    "--limit_test 40 --validation_count 20 --total_epochs 2 --pictures_every 0 --device_type cpu"
)


def words(program: str, output: Path, *flags: str) -> List[str]:
    """The command line of an entry point; flags given here win over SMALL."""
    module = "residual_attention_net." + program
    return ["-m", module, "--output_path", str(output), *SMALL, *flags]


def start(program: str, output: Path, *flags: str, **variables: str) -> subprocess.Popen[str]:
    """Starts an entry point and returns at once."""
    return processes.start(words(program, output, *flags), **variables)


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


def small_network(**arguments: Any) -> Any:
    """The network of SMALL, always the same."""
    import torch

    from residual_attention_net.network.model import build_network

    torch.manual_seed(0)
    return build_network("small_16input", **arguments)


def weights_in(folder: Path, **arguments: Any) -> Path:
    """A state_dict of the small network, as others save one."""
    import torch

    torch.save(small_network(**arguments).state_dict(), str(folder / "weights.pth"))
    return folder / "weights.pth"


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


def run_ranks(program: str, output: Path, ranks: int, *flags: str) -> List[str]:
    """Runs a job to its end; returns what each rank printed."""
    more = ["--device_num", str(ranks), *flags]
    return finish(*start_ranks(words(program, output, *more), ranks))
