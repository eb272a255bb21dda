"""Training steps of a variant, ready to be timed."""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from typing import Any, Callable, Iterator, List, Tuple

import numpy as np
import torch

from benchmarks.residual_attention_net import baseline
from benchmarks.residual_attention_net.variants import VARIANTS, Variant
from benchmarks.shared.needs import PASSES, SGD_PASSES, Needs
from benchmarks.shared.timing import Timing, Trainer
from common.data.labelled_images import LabelledImages
from common.training.torch import runtime as torch_runtime
from residual_attention_net.data.loader import DeviceLoader
from residual_attention_net.losses import mixed_cross_entropy
from residual_attention_net.options import parse_options
from residual_attention_net.session import augmentation_of, open_session, open_stepper

FRAMEWORK, WARM_UP_STEPS = "torch", 3
FLAGS = {"batch_size": int, "images": int}
PRECISION_MODES = {
    "fp32": "must_keep_origin_dtype",
    "bf16": "allow_mix_precision_bf16",
    "fp16": "allow_mix_precision",
}
LOADER_WORKERS = 2
CLASSES = 10


@dataclass(frozen=True)
class _Steps:
    """Endless batches, the step that takes one and returns its loss, the device they are on."""

    batches: Iterator[Any]
    step: Callable[[Any], torch.Tensor]
    device: torch_runtime.TorchDevice

    def __call__(self, count: int) -> Timing:
        """Do `count` steps, as the training loop does them: the device is awaited at the end."""
        waited = 0.0
        began = time.perf_counter()
        for _ in range(count):
            asked = time.perf_counter()
            batch = next(self.batches)
            waited += time.perf_counter() - asked
            loss = self.step(batch)
        value = float(loss.detach())
        torch_runtime.synchronize(self.device)
        return Timing(time.perf_counter() - began, waited, value)


def images_of(case: argparse.Namespace) -> int:
    """Images of one step."""
    return int(case.batch_size)


def needs_of(case: argparse.Namespace) -> Needs:
    """What an image costs at least, counted on the baseline's convolutions and linear layer."""
    found: List[List[float]] = []

    def count(layer: Any, inputs: Any, output: torch.Tensor) -> None:
        operations = 2.0 * output.numel() * layer.weight[0].numel()
        found.append([operations, float(inputs[0].numel() + output.numel())])

    network = baseline.BaselineNetwork().eval()
    for layer in network.modules():
        if isinstance(layer, (torch.nn.Conv2d, torch.nn.Linear)):
            layer.register_forward_hook(count)
    with torch.no_grad():
        network(torch.zeros(1, 3, baseline.IMAGE_SIZE, baseline.IMAGE_SIZE))
    operations, activations = (sum(column) for column in zip(*found))
    weights = sum(parameter.numel() for parameter in network.parameters())
    return Needs(PASSES * operations, PASSES * activations, float(weights), SGD_PASSES)


def open_trainer(case: argparse.Namespace) -> Trainer:
    """Makes a variant ready on synthetic images of CIFAR-10's shape."""
    variant = VARIANTS[case.name]
    opened = _plain_trainer if variant.plain else _own_trainer
    return opened(variant, case.batch_size, case.device, case.images)


def synthetic_images(count: int) -> Tuple[np.ndarray, np.ndarray]:
    """Random uint8 images (count, 32, 32, 3) and labels (count,) of ten classes."""
    random = np.random.RandomState(0)
    return random.randint(0, 256, (count, 32, 32, 3), np.uint8), random.randint(0, CLASSES, count)


def _plain_trainer(variant: Variant, batch_size: int, device_kind: str, images: int) -> Trainer:
    device = _untuned_device(device_kind)
    torch.manual_seed(0)
    layout = torch.channels_last if variant.channels_last else torch.contiguous_format
    network = baseline.BaselineNetwork().to(device.device).to(memory_format=layout)
    optimizer = baseline.build_optimizer(network)
    loader = baseline.build_loader(
        *synthetic_images(images), batch_size=batch_size, workers=LOADER_WORKERS
    )

    def step(batch: Any) -> torch.Tensor:
        inputs = batch[0].to(device.device).contiguous(memory_format=layout)
        labels = batch[1].to(device.device)
        if variant.precision == "fp32":
            return baseline.training_step(network, optimizer, inputs, labels)
        return _autocast_step(network, optimizer, inputs, labels)

    return _Steps(_endless(lambda _: iter(loader)), step, device)


def _untuned_device(kind: str) -> torch_runtime.TorchDevice:
    """The device as torch leaves it: the runtime adapter's settings would make it a tuned one."""
    name = torch_runtime.TORCH_NAMES[kind]
    return torch_runtime.TorchDevice(
        kind, 0, torch.device(name), name, 1, "", "", f"torch {torch.__version__}"
    )


def _autocast_step(
    network: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    inputs: torch.Tensor,
    labels: torch.Tensor,
) -> torch.Tensor:
    """The baseline's step in bfloat16 autocast."""
    optimizer.zero_grad()
    with torch.autocast(inputs.device.type, dtype=torch.bfloat16):
        loss = torch.nn.functional.cross_entropy(network(inputs), labels)
    loss.backward()
    optimizer.step()
    return loss


def _own_trainer(variant: Variant, batch_size: int, device_kind: str, images: int) -> Trainer:
    # The session's own data is a placeholder: it has no set as large as CIFAR-10 without files.
    session = open_session(
        parse_options(
            "train",
            [
                "--dataset=synthetic",
                "--validation_count=0",
                "--limit_train=1",
                "--limit_test=1",
                "--train_batch_size=1",
                f"--device_type={device_kind}",
                f"--precision_mode={PRECISION_MODES[variant.precision]}",
            ],
        )
    )
    open_stepper(session)
    loader = _own_loader(session, batch_size, images)
    stepper = session.stepper
    if variant.compile_mode:
        stepper.model = torch.compile(session.network, mode=variant.compile_mode)

    def step(batch: Any) -> torch.Tensor:
        stepper.zero_grad()
        with stepper.forward_context():
            loss = mixed_cross_entropy(stepper.model(batch.inputs), batch)
        stepper.step(loss)
        return loss

    return _Steps(_endless(loader.epoch), step, session.device)


def _own_loader(session: Any, batch_size: int, images: int) -> DeviceLoader:
    classes = tuple(str(number) for number in range(CLASSES))
    data = LabelledImages(*synthetic_images(images), classes)
    return DeviceLoader(
        data,
        batch_size,
        augmentation_of(session.options, session.recipe),
        session.options.seed,
        session.device.device,
        channels_last=session.channels_last,
    )


def _endless(epoch: Callable[[int], Iterator[Any]]) -> Iterator[Any]:
    number = 0
    while True:
        yield from epoch(number)
        number += 1
