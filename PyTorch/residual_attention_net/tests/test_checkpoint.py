"""Checkpoints are whole or not there, and say what is wrong with a wrong one."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
import torch

from common.core import files
from common.core.errors import ZooError
from residual_attention_net.checkpoint import (
    CheckpointFolder,
    Position,
    load,
    pack,
    require_same_network,
)
from residual_attention_net.network.model import build_network

pytestmark = pytest.mark.pytorch


@pytest.fixture()
def network() -> Any:
    return build_network("small_16input", 10)


@pytest.fixture()
def folder(tmp_path: Path) -> CheckpointFolder:
    checkpoints = CheckpointFolder(tmp_path / "ckpt", keep=2)
    checkpoints.prepare()
    return checkpoints


def at(step: int) -> Position:
    return Position(step, 0, step)


def test_what_is_saved_is_what_is_loaded(folder: CheckpointFolder, network: Any) -> None:
    saved = folder.save(pack(network, at(3), note=[1, 2]))
    content = load(saved.path)
    assert content["position"] == {"step": 3, "epoch": 0, "batch": 3}
    assert content["note"] == [1, 2]
    for name, value in network.state_dict().items():
        assert torch.equal(content["model"][name], value)


def test_a_packed_checkpoint_does_not_change_with_the_network(network: Any) -> None:
    content = pack(network, at(1))
    before = content["model"]["fc.weight"].clone()
    with torch.no_grad():
        network.fc.weight.zero_()
    assert torch.equal(content["model"]["fc.weight"], before)


def test_the_newest_whole_checkpoint_is_found(folder: CheckpointFolder, network: Any) -> None:
    first = folder.save(pack(network, at(1)))
    second = folder.save(pack(network, at(2)))
    assert folder.newest() == second.path
    with open(str(second.path), "r+b") as stream:
        stream.seek(100)
        stream.write(b"altered")
    assert folder.newest() == first.path


def test_a_checkpoint_without_its_checksum_is_not_taken(
    folder: CheckpointFolder, network: Any
) -> None:
    saved = folder.save(pack(network, at(1)))
    saved.path.with_suffix(".json").unlink()
    assert folder.newest() is None


def test_a_full_disk_leaves_the_last_checkpoint_and_nothing_half_written(
    folder: CheckpointFolder, network: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = folder.save(pack(network, at(1)))

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError):
        folder.save(pack(network, at(2)))
    monkeypatch.undo()
    assert folder.newest() == first.path
    assert sorted(path.name for path in folder.folder.iterdir()) == [
        "step_000000001.json",
        "step_000000001.pt",
    ]


def test_what_a_killed_writer_left_is_cleared_at_the_next_start(folder: CheckpointFolder) -> None:
    (folder.folder / (files.TEMPORARY_PREFIX + "x")).write_bytes(b"half")
    folder.prepare()
    assert list(folder.folder.iterdir()) == []


def test_a_truncated_checkpoint_is_told_in_one_line(folder: CheckpointFolder, network: Any) -> None:
    saved = folder.save(pack(network, at(1)))
    saved.path.write_bytes(saved.path.read_bytes()[:2000])
    with pytest.raises(ZooError, match="truncated or altered"):
        load(saved.path)
    saved.path.with_suffix(".json").unlink()
    with pytest.raises(ZooError):
        load(saved.path)


def test_a_checkpoint_from_the_future_is_refused(folder: CheckpointFolder, network: Any) -> None:
    saved = folder.save(dict(pack(network, at(1)), version=99))
    with pytest.raises(ZooError, match="newer version .format 99"):
        load(saved.path)


def test_weights_alone_are_no_checkpoint_to_resume_from(tmp_path: Path, network: Any) -> None:
    torch.save(network.state_dict(), str(tmp_path / "weights.pth"))
    with pytest.raises(ZooError, match="is not a checkpoint of residual_attention_net"):
        load(tmp_path / "weights.pth")


def test_a_checkpoint_of_another_network_is_refused_with_both_names(
    folder: CheckpointFolder, network: Any
) -> None:
    saved = folder.save(pack(network, at(1)))
    other = build_network("attention56_cifar", 10)
    with pytest.raises(ZooError, match="'small_16input', this run 'attention56_cifar'"):
        require_same_network(load(saved.path), other, saved.path)


def test_another_number_of_classes_is_another_network(
    folder: CheckpointFolder, network: Any
) -> None:
    saved = folder.save(pack(network, at(1)))
    with pytest.raises(ZooError, match="num_classes 10, this run 11"):
        require_same_network(load(saved.path), build_network("small_16input", 11), saved.path)
