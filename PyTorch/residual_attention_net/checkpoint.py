"""Checkpoints: everything a run needs to go on as if it had never stopped, written atomically."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path
from typing import Any, Dict, List, Optional

import torch

from common.core.errors import ZooError
from common.core.files import remove_unfinished, save_atomically, sha256_of, write_atomically
from residual_attention_net.network.safe_load import safe_load

FORMAT = "residual_attention_net.checkpoint"
VERSION = 1
BEST = "best.pt"


@dataclasses.dataclass(frozen=True)
class Position:
    """Where a run stands: steps and epochs done, batches done of the epoch that is under way."""

    step: int
    epoch: int
    batch: int


@dataclasses.dataclass(frozen=True)
class Saved:
    """A checkpoint that is whole on the disk."""

    path: Path
    step: int
    epoch: int
    sha256: str


def network_identity(network: torch.nn.Module) -> Dict[str, Any]:
    """What must agree before weights are loaded: which network, for how many classes."""
    return {
        "network": network.spec.name,
        "num_classes": network.num_classes,
        "spatial_dims": network.spatial_dims,
        "input_channels": network.input_channels,
    }


def pack(network: torch.nn.Module, position: Position, **parts: Any) -> Dict[str, Any]:
    """The content of a checkpoint; `parts` are optimizer, scaler, random states, best result…."""
    content = {
        "format": FORMAT,
        "version": VERSION,
        "network": network_identity(network),
        "position": dataclasses.asdict(position),
        "model": on_host(network.state_dict()),
    }
    content.update(on_host(parts))
    return content


def on_host(value: Any) -> Any:
    """A copy of nested containers with every tensor on the CPU, in the memory layout it has."""
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {name: on_host(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(on_host(part) for part in value)
    return value


class CheckpointFolder:
    """The checkpoints of one run: the last good ones, and the best on validation."""

    def __init__(self, folder: Path, keep: int = 3) -> None:
        self.folder = Path(folder)
        self.keep = keep

    def prepare(self) -> None:
        """Makes the folder, and clears what a killed process left half-written."""
        self.folder.mkdir(parents=True, exist_ok=True)
        remove_unfinished(self.folder)

    def save(self, content: Dict[str, Any]) -> Saved:
        """Writes `step_<step>.pt` with its checksum beside it, then drops the oldest ones."""
        position = content["position"]
        saved = self._write(self.folder / "step_{:09d}.pt".format(position["step"]), content)
        for old in self._named()[: -self.keep]:
            _description(old).unlink()
            old.unlink()
        return saved

    def save_best(self, content: Dict[str, Any]) -> Saved:
        """Writes `best.pt`, in place of the one before."""
        return self._write(self.folder / BEST, content)

    def _write(self, path: Path, content: Dict[str, Any]) -> Saved:
        # In memory first: torch's own writer aborts the process when the disk is full.
        packed = io.BytesIO()
        torch.save(content, packed)
        save_atomically(path, lambda stream: stream.write(packed.getbuffer()))
        position = content["position"]
        saved = Saved(path, position["step"], position["epoch"], sha256_of(path))
        write_atomically(
            _description(path),
            json.dumps({"sha256": saved.sha256, "step": saved.step, "epoch": saved.epoch}) + "\n",
        )
        return saved

    def _named(self) -> List[Path]:
        return sorted(path for path in self.folder.glob("step_*.pt") if _description(path).exists())

    def newest(self) -> Optional[Path]:
        """The newest checkpoint that is whole (its checksum holds); None where there is none."""
        return next((path for path in reversed(self._named()) if is_whole(path)), None)

    def best(self) -> Optional[Path]:
        """The checkpoint that was best on validation; None where there is none."""
        path = self.folder / BEST
        return path if path.exists() else None


def _description(path: Path) -> Path:
    return path.with_suffix(".json")


def is_whole(path: Path) -> bool:
    """Whether the checksum beside a checkpoint is that of its content."""
    try:
        described = json.loads(_description(path).read_text())
        return bool(described["sha256"] == sha256_of(path))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def load(path: Path) -> Dict[str, Any]:
    """Reads a checkpoint of this network family without executing anything in it.

    Raises:
        ZooError: missing, truncated, altered, of another program, or of a newer version.
    """
    content = load_any(path)
    if not is_checkpoint(content):
        raise ZooError(
            f"{path} is not a checkpoint of residual_attention_net's training; weights alone "
            "are loaded with --pth_path"
        )
    return dict(content)


def is_checkpoint(content: Any) -> bool:
    """Whether what a file held is a checkpoint of this program, and not weights alone."""
    return isinstance(content, dict) and content.get("format") == FORMAT


def load_any(path: Path) -> Any:
    """Reads a checkpoint or weights; a checkpoint of this program is checked.

    Raises:
        ZooError: missing, truncated, altered, or of a newer version of this program.
    """
    path = Path(path)
    if _description(path).exists() and path.suffix == ".pt" and not is_whole(path):
        raise ZooError(
            f"checkpoint {path} does not have the checksum that "
            f"{_description(path).name} gives: it is truncated or "
            "altered; take another one"
        )
    content = safe_load(path)
    if is_checkpoint(content) and not _is_known(content.get("version")):
        raise ZooError(
            "checkpoint {} was written by a newer version (format {}, known here: up to "
            "{}); update this checkout".format(path, content.get("version"), VERSION)
        )
    return content


def _is_known(version: Any) -> bool:
    return isinstance(version, int) and version <= VERSION


def require_same_network(content: Dict[str, Any], network: torch.nn.Module, path: Path) -> None:
    """Raises ZooError when a checkpoint is of another network or another number of classes."""
    here = network_identity(network)
    for name, value in sorted(content["network"].items()):
        if here.get(name) != value:
            raise ZooError(
                f"checkpoint {path} has {name} {value!r}, this run {here.get(name)!r}; "
                "give the flags it was made "
                "with, or another --output_path"
            )
