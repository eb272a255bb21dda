"""Fine-tuning for other classes replaces the head, loads everything else, and tells by name."""

from __future__ import annotations

from pathlib import Path

import pytest
from training_helpers import checkpoint_of, events, newest_checkpoint, run

from residual_attention_net.network.model import build_network

pytestmark = [pytest.mark.pytorch, pytest.mark.long]


@pytest.fixture()
def weights(tmp_path: Path) -> Path:
    return checkpoint_of(tmp_path / "weights", build_network("small_16input", 7))


def test_fine_tuning_tells_trains_and_evaluates(weights: Path, tmp_path: Path) -> None:
    done = run("finetune", tmp_path / "run", "--pth_path", str(weights), "--total_epochs", "1")
    assert done.returncode == 0, done.stdout
    assert "left at its initialisation, a new head (2): fc.weight, fc.bias" in done.stdout
    assert newest_checkpoint(tmp_path / "run")["model"]["fc.weight"].shape[0] == 10
    roles = [event["role"] for event in events(tmp_path / "run", "evaluation")]
    assert roles == ["progress", "final", "best"]
    # An interrupted one does not load the first weights again.

    done = run("finetune", tmp_path / "run", "--resume", "--pth_path", str(weights))
    assert done.returncode == 0 and "a new head" not in done.stdout
    assert newest_checkpoint(tmp_path / "run")["step"] == 8
