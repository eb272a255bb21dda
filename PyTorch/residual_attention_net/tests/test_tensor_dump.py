"""Dumps of training steps: the right tensors, and a training that does not notice."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict

import numpy as np
import pytest
import torch
from torch import nn
from training_helpers import events, trained

from common.core.text import version_numbers
from common.evidence.divergence.comparing import compare_dumps
from common.runs.dump import Dump, find_dump
from common.training.torch.activations import recording
from residual_attention_net.network.model import build_network

pytestmark = [pytest.mark.pytorch, pytest.mark.long]
SHORT = ["--train_steps", "3", "--total_epochs", "1", "--validation_count", "0"]
SECOND = SHORT + ["--dump_tensors", "2"]


@pytest.fixture(scope="module")
def dumped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three steps that stored the second."""
    return trained("train", tmp_path_factory.mktemp("dumped") / "run", *SECOND)


def tensors(dump: Dump) -> Dict[Any, np.ndarray]:
    names = [(entry.kind, entry.name) for entry in dump.index.tensors]
    return dict(zip(names, dump.tensors(dump.index.tensors)))


def test_the_tensors_are_those_of_the_step(dumped: Path) -> None:
    """Computed again from the inputs that are stored beside them."""
    dump = find_dump(dumped)
    found = tensors(dump)
    network = build_network("small_16input")
    network.load_state_dict(
        {name: torch.from_numpy(value) for name, value in dump.inputs("weight before").items()}
    )
    network.train()
    logits = network(torch.from_numpy(dump.inputs("batch")["inputs"]))
    loss = nn.functional.cross_entropy(logits, torch.from_numpy(dump.inputs("batch")["targets"]))
    loss.backward()
    assert found["activation", "fc"] == pytest.approx(logits.detach().numpy(), rel=1e-3, abs=1e-4)
    assert float(found["loss", "loss"]) == pytest.approx(float(loss), rel=1e-5)
    assert found["gradient", "fc.weight"] == pytest.approx(
        network.fc.weight.grad.numpy(), rel=1e-2, abs=1e-4
    )
    assert float(found["loss", "loss"]) == pytest.approx(
        events(dumped, "step")[1]["loss"], abs=1e-6
    )


@pytest.mark.skipif(version_numbers(torch.__version__) < (1, 10), reason="no bfloat16 autocast")
def test_bfloat16_is_told_from_float32_and_stays_within_its_tolerance(
    dumped: Path, tmp_path: Path
) -> None:
    flags = ["--dump_from", str(dumped), "--precision_mode", "allow_mix_precision_bf16"]
    dump = find_dump(trained("train", tmp_path / "run", *SHORT, *flags))
    assert (dump.subject.arithmetic, dump.index.tensors[0].dtype) == ("bfloat16", "bfloat16")
    outcome = compare_dumps(find_dump(dumped), dump)
    assert outcome.differences[0].relative == pytest.approx(2.3e-3, rel=0.3)
    activations = [item for item in outcome.differences if item.kind == "activation"]
    assert activations and all(item.is_within for item in activations)


def test_changes_in_place_are_told_apart_and_containers_are_not_told_twice() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.ReLU(inplace=True))
    with torch.no_grad():
        network[0].weight.copy_(torch.eye(2))
        network[0].bias.copy_(torch.tensor([-1.0, 1.0]))
    with recording(network, lambda given: given.detach().clone()) as found:
        network(torch.zeros(1, 2))
    assert [(name, values.tolist()) for name, values in found] == [
        ("0", [[-1.0, 1.0]]),
        ("1", [[0.0, 1.0]]),
    ]
    network(torch.zeros(1, 2))
    assert len(found) == 2
