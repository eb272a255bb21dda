"""Files of weights as torch's trainings write them, read without running anything in them.

    python -m common.training.torch.weights_file RUN_FOLDER weights/NAME.npz

packs the best weights of a run: what --checkpoint takes.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence

import torch

from common.core.command_line import run_program
from common.core.errors import ZooError
from common.core.files import save_atomically, sha256_of, write_atomically
from common.training.checkpoints import STATE, CheckpointFolder, find_checkpoint
from common.training.stored_weights import (
    SUFFIX,
    TORCH_FILE,
    Weights,
    pack_as_asked,
    read_packed,
)
from common.training.torch.safe_load import safe_load

FILE = TORCH_FILE  # in a checkpoint
FORMATS = ("torch.training", "residual_attention_net.checkpoint")  # the second before 2026-12
VERSION = 1


def on_host(value: Any) -> Any:
    """A copy of nested containers with every tensor on the CPU, in the memory layout it has."""
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {name: on_host(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(on_host(part) for part in value)
    return value


def pack(network: torch.nn.Module, about: Mapping[str, Any], **parts: Any) -> Dict[str, Any]:
    """The content of a file of weights.

    Args:
        about: what readers need to know of the network: its name, its classes.
        parts: optimizer, loss scale, random states.
    """
    content = {"format": FORMATS[0], "version": VERSION, **about, "model": network.state_dict()}
    return dict(on_host({**content, **parts}))


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Writes a file of weights, whole or not at all."""
    # In memory first: torch's own writer aborts the process when the disk is full.
    packed = io.BytesIO()
    torch.save(dict(content), packed)
    save_atomically(path, lambda stream: stream.write(packed.getbuffer()))


def is_checkpoint(content: Any) -> bool:
    """Whether what a file held is of a training here, and not weights alone."""
    return isinstance(content, dict) and content.get("format") in FORMATS


def load(path: Path) -> Dict[str, Any]:
    """Reads a file of weights of a training here.

    Raises:
        ZooError: missing, truncated, altered, of another program, or of a newer version.
    """
    content = load_any(path)
    if not is_checkpoint(content):
        raise ZooError(
            f"{path} is not a checkpoint of a training here; weights alone are loaded with "
            "--pth_path"
        )
    return dict(content)


def load_any(path: Path) -> Any:
    """Reads weights that a user names: a file, or the best of a run or checkpoint folder.

    Raises:
        ZooError: missing, truncated, altered, or of a newer version of this program.
    """
    path = Path(path)
    if path.suffix == SUFFIX:
        return _unpacked(path)
    if path.is_dir():
        path = find_checkpoint(path) / FILE  # whose checksums are right
    else:
        path = path.resolve()
        digest = _told_digest(path)
        if digest is not None and digest != sha256_of(path):
            raise ZooError(
                f"checkpoint {path} does not have the checksum that is told beside it: it is "
                "truncated or altered; take another one"
            )
    content = safe_load(path)
    version = content.get("version") if is_checkpoint(content) else VERSION
    if not (isinstance(version, int) and version <= VERSION):
        raise ZooError(
            f"checkpoint {path} was written by a newer version (format {version}, known here: up "
            f"to {VERSION}); update this checkout"
        )
    return content


def _unpacked(path: Path) -> Dict[str, Any]:
    state, arrays = read_packed(path)
    model = {name: torch.from_numpy(value) for name, value in arrays.items()}
    return {"format": FORMATS[0], "version": VERSION, **state, "model": model}


def to_pack(path: str) -> Weights:
    """What is packed of the weights at load_any's path."""
    content = load(Path(path))
    arrays = {name: value.numpy() for name, value in content["model"].items()}
    state = {name: value for name, value in content.items() if name in ("network", "classes")}
    return state, arrays


def _told_digest(path: Path) -> Any:
    """The checksum that state.json, or the older layout's description, gives of a file."""
    try:
        if path.name == FILE:
            return json.loads((path.parent / STATE).read_text())["files"][FILE]
        return json.loads(path.with_suffix(".json").read_text())["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def weights_in(checkpoints: Path) -> Optional[Path]:
    """The best weights among a run's checkpoints, else the newest whole ones, else None."""
    best, newest = checkpoints / "best.pt", CheckpointFolder(checkpoints).newest()
    if best.exists():
        return best
    return next(iter(_whole_olds(checkpoints)), None) if newest is None else newest / FILE


# --- the older layout: step_<step>.pt and best.pt, each with a .json of its checksum ----------


def adopt_older_layout(checkpoints: Path) -> None:
    """Makes folders of best.pt and of the newest step_<step>.pt; the files stay where they are."""
    folder = CheckpointFolder(checkpoints, keep=1 << 30)
    steps, here = _whole_olds(checkpoints), folder.all()
    if not steps or (here and int(here[-1].name[5:]) >= int(steps[0].stem[5:])):
        return
    best_step = 0
    for old in (checkpoints / "best.pt", steps[0]):
        if old.is_symlink() or not _is_whole(old):
            continue
        content = load(old)
        position, chosen, network = content["position"], content["best"], dict(content["network"])
        step, losses = int(position["step"]), content.get("epoch_losses", [])
        best_step = step if old.stem == "best" else best_step
        score = [chosen["accuracy"], -chosen["loss"]] if best_step else None
        state = {
            "network": {"name": network.pop("network"), **network},
            "taken": step,
            "step_before": step - 1 if position["batch"] and losses else step,
            "epoch_losses": losses,
            "best": {"step": best_step, "score": score},
        }

        def copy(work: Path, old: Path = old) -> Mapping[str, Any]:
            write_atomically(work / FILE, old.read_bytes())
            return {}

        folder.save(step, state, copy)


def _whole_olds(checkpoints: Path) -> List[Path]:
    """The steps' files, the newest first."""
    return [old for old in sorted(checkpoints.glob("step_*.pt"), reverse=True) if _is_whole(old)]


def _is_whole(old: Path) -> bool:
    return old.is_file() and _told_digest(old) == sha256_of(old)


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Packs the weights of the command line."""
    return pack_as_asked(to_pack, argv)


if __name__ == "__main__":
    run_program(main)
