"""A small network's view of a few images, and run folders, for tests of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Tuple

import torch
from training_helpers import checkpoint_of

from common.runs.events import RunLog
from residual_attention_net.data.samples import Samples, dataset_samples
from residual_attention_net.network.model import ResidualAttentionNetwork, build_network
from residual_attention_net.pictures import AttentionView, attention_view
from residual_attention_net.trained_network import open_trained

NETWORK = "small_16input"
CLASSES = tuple(f"class {number}" for number in range(10))


def small_network(**arguments: Any) -> ResidualAttentionNetwork:
    torch.manual_seed(0)
    return build_network(NETWORK, **arguments)


def weights_in(folder: Path, **arguments: Any) -> Path:
    """A file of weights of the small network."""
    torch.save(small_network(**arguments).state_dict(), str(folder / "weights.pth"))
    return folder / "weights.pth"


def view_of(
    folder: Path, count: int = 2, strongest: int = 0, **arguments: Any
) -> Tuple[Samples, AttentionView]:
    trained = open_trained(str(weights_in(folder, **arguments)), NETWORK, device_type="cpu")
    data = "synthetic_volumes" if trained.network.spatial_dims == 3 else "synthetic"
    samples, _ = dataset_samples(data, None, count, 16)
    return samples, attention_view(
        trained.network, samples, CLASSES, "a title", trained.forward_context, strongest
    )


def write_run(folder: Path, steps: int = 30, with_weights: bool = True) -> Path:
    """A run folder as training leaves it."""
    with RunLog(folder / "rank_0") as log:
        log.event(
            "start",
            model="residual_attention_net",
            config={"dataset": "synthetic"},
            command="train.py --dataset synthetic",
            resumed_step=0,
            network={"name": NETWORK},
            dataset={"name": "synthetic"},
        )
        for step in range(1, steps + 1):
            log.event("step", step=step, epoch=1, loss=2.0 / step, learning_rate=0.1)
        shared = {"epoch": 1, "step": steps}
        for split, role, n, accuracy in (
            ("validation", "progress", 20, 60.0),
            ("test", "final", 40, 55.5),
        ):
            metrics = {"accuracy": accuracy, "loss": 1.0}
            log.event("evaluation", split=split, role=role, n=n, metrics=metrics, **shared)
    if with_weights:
        checkpoint_of(folder, small_network(), steps)
    return folder
