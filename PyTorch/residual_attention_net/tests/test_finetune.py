"""Fine-tuning for other classes replaces the head, loads everything else, and tells by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from training_helpers import SMALL, checkpoint_of, events, newest_checkpoint, run

from residual_attention_net.network.model import build_network
from residual_attention_net.options import parse_options
from residual_attention_net.session import open_session
from residual_attention_net.weights import load_weights

pytestmark = [pytest.mark.pytorch, pytest.mark.long]


@pytest.fixture()
def weights(tmp_path: Path) -> Path:
    return checkpoint_of(tmp_path / "weights", build_network("small_16input", 7))


def opened(weights: Path, *flags: str) -> Any:
    return open_session(
        parse_options("finetune", SMALL + ["--pth_path", str(weights)] + list(flags))
    )


def test_another_class_count_keeps_everything_but_the_head(weights: Path) -> None:
    session = opened(weights)
    head = session.network.fc.weight.detach().clone()
    report = load_weights(session.network, str(weights), other_classes=True)
    saved = torch.load(str(weights))["model"]
    for name, value in session.network.state_dict().items():
        assert name.startswith("fc.") or torch.equal(value, saved[name])
    assert torch.equal(session.network.fc.weight, head)
    assert report.head_replaced == ("fc.weight", "fc.bias")


def test_the_same_class_count_keeps_the_head_too(weights: Path) -> None:
    network = build_network("small_16input", 7)
    report = load_weights(network, str(weights), other_classes=True)
    assert report.head_replaced == ()
    assert torch.equal(network.fc.weight, torch.load(str(weights))["model"]["fc.weight"])


def test_fine_tuning_tells_trains_and_evaluates(weights: Path, tmp_path: Path) -> None:
    done = run("finetune", tmp_path / "run", "--pth_path", str(weights), "--total_epochs", "1")
    assert done.returncode == 0, done.stdout
    assert "left at its initialisation, a new head (2): fc.weight, fc.bias" in done.stdout
    assert newest_checkpoint(tmp_path / "run")["model"]["fc.weight"].shape[0] == 10
    assert [event["role"] for event in events(tmp_path / "run", "evaluation")] == [
        "progress",
        "final",
        "best",
    ]


def test_an_interrupted_fine_tuning_resumes_without_loading_the_first_weights_again(
    weights: Path, tmp_path: Path
) -> None:
    flags = ["--pth_path", str(weights)]
    run("finetune", tmp_path / "whole", *flags)
    run("finetune", tmp_path / "halves", "--total_epochs", "1", *flags)
    run("finetune", tmp_path / "halves", "--resume", *flags)
    one = newest_checkpoint(tmp_path / "whole")["step"]
    assert one == newest_checkpoint(tmp_path / "halves")["step"]
