"""Steps of a small network through the product's adapter, in its order."""

from __future__ import annotations

from typing import Any, List, Optional

import torch

from common.machine import precision as vocabulary
from common.training.torch import optimizers, runtime
from common.training.torch import step as stepping


def small_network():
    """Well-behaved, so that a small difference of arithmetic stays a small one."""
    torch.manual_seed(0)
    nn = torch.nn
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.Conv2d(8, 8, 3, stride=2),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.Flatten(),
        nn.Linear(72, 10),
    )


def open_stepper(
    mode: str,
    kind: str = "npu",
    loss_scale: Optional[str] = None,
    network: Any = None,
    lr: float = 0.02,
    **options: Any,
) -> Any:
    """A stepper through the product's adapter, in its order, and its device."""
    wanted = vocabulary.resolve(mode, "torch", kind, runtime.capabilities(kind))
    if loss_scale is not None:
        wanted = vocabulary.with_loss_scale(wanted, loss_scale)
    device = runtime.open_device(kind, 0, wanted)
    network = small_network() if network is None else network
    network = runtime.place_model(network, device, wanted)
    optimizer = optimizers.make_sgd(
        device,
        wanted,
        network.parameters(),
        lr=lr,
        momentum=0.9,
        weight_decay=1e-4,
        nesterov=True,
    )
    return stepping.make_stepper(network, optimizer, device, wanted, **options), device


def train(stepper: Any, device: Any, steps: int, first: int = 0, spoiled: int = -1) -> List[Any]:
    """Steps over fixed batches; (loss, skipped) of each. One step may be spoiled by an inf."""
    told = []
    for number in range(first, first + steps):
        generator = torch.Generator().manual_seed(number)
        images = torch.rand(8, 3, 8, 8, generator=generator).to(device.device)
        labels = torch.randint(0, 10, (8,), generator=generator).to(device.device)
        stepper.zero_grad()
        with stepper.forward_context():
            logits = stepper.model(images)
            loss = torch.nn.functional.cross_entropy(logits.float(), labels)
        health = stepper.step(loss * (float("inf") if number == spoiled else 1.0))
        told.append((loss.item(), health.skipped))
    return told


def weights_of(stepper: Any) -> Any:
    return torch.cat(
        [weight.detach().float().cpu().reshape(-1) for weight in stepper.module.parameters()]
    )
