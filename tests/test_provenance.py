"""A record names the sources it was made by, and the hash of its configuration."""

from __future__ import annotations

import subprocess
from pathlib import Path

from common.runs.provenance import code_state, config_sha256, shown_command


def test_a_checkout_names_its_commit_and_a_changed_file_makes_it_dirty(tmp_path: Path) -> None:
    assert code_state(tmp_path) == {"commit": "unknown", "dirty": True}  # no checkout
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    (tmp_path / "file").write_text("one")
    for words in (["init", "-q"], ["add", "file"], identity + ["commit", "-qm", "first"]):
        subprocess.check_call(["git", "-C", str(tmp_path)] + words)
    (tmp_path / "output").write_text("a run's log beside the sources")
    state = code_state(tmp_path)
    assert len(state["commit"]) == 40 and state["dirty"] is False
    (tmp_path / "file").write_text("two")
    assert code_state(tmp_path)["dirty"] is True


def test_the_hash_of_a_configuration_does_not_depend_on_the_order_of_its_keys() -> None:
    assert config_sha256({"a": 1, "b": [2]}) == config_sha256({"b": [2], "a": 1})
    assert config_sha256({"a": 1}) != config_sha256({"a": 2})


def test_the_shown_command_can_be_typed_and_names_no_folder() -> None:
    words = ["/some/where/train.py", "--data_path", "/data/cifar", "--output_path=/home/me/run"]
    assert shown_command(words, "slot_attention.object_discovery") == (
        "python -m slot_attention.object_discovery.train --data_path '…/cifar' "
        "'--output_path=…/run'"
    )
