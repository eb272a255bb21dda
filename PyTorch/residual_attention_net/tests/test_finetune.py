"""Fine-tuning for other classes replaces the head, loads everything else, and tells by name."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from training_helpers import checkpoint_of, events, newest_checkpoint, run

from residual_attention_net.network.model import build_network
from residual_attention_net.network.weights import load_weights

pytestmark = [pytest.mark.pytorch, pytest.mark.long]


@pytest.fixture()
def weights(tmp_path: Path) -> Path:
    return checkpoint_of(tmp_path / "weights", build_network("small_16input", 7))


@pytest.mark.parametrize("classes", [7, 10])
def test_another_class_count_keeps_everything_but_the_head(weights: Path, classes: int) -> None:
    network = build_network("small_16input", classes)
    head = network.fc.weight.detach().clone()
    told = load_weights(network, str(weights), other_classes=True)
    saved = torch.load(str(weights))["model"]
    for name, value in network.state_dict().items():
        assert (classes != 7 and name.startswith("fc.")) or torch.equal(value, saved[name])
    assert torch.equal(network.fc.weight, head) == (classes != 7)
    assert any("a new head (2): fc.weight, fc.bias" in line for line in told) == (classes != 7)


def test_fine_tuning_tells_trains_and_evaluates(weights: Path, tmp_path: Path) -> None:
    done = run("finetune", tmp_path / "run", "--pth_path", str(weights), "--total_epochs", "1")
    assert done.returncode == 0, done.stdout
    assert "left at its initialisation, a new head (2): fc.weight, fc.bias" in done.stdout
    assert newest_checkpoint(tmp_path / "run")["model"]["fc.weight"].shape[0] == 10
    roles = [event["role"] for event in events(tmp_path / "run", "evaluation")]
    assert roles == ["progress", "final", "best"]


def test_an_interrupted_fine_tuning_resumes_without_loading_the_first_weights_again(
    weights: Path, tmp_path: Path
) -> None:
    flags = ["--pth_path", str(weights)]
    run("finetune", tmp_path, "--total_epochs", "1", *flags)
    done = run("finetune", tmp_path, "--resume", *flags)
    assert done.returncode == 0 and "a new head" not in done.stdout
    assert newest_checkpoint(tmp_path)["step"] == 8
