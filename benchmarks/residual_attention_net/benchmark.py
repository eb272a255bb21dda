"""Speed of a training step, each variant against the plain baseline in the same run."""

from __future__ import annotations

import sys
from typing import Any, Callable, Iterator, List, Mapping, NamedTuple, Tuple

import numpy as np

from benchmarks.harness import BASELINE, Benchmark, Case, main
from common.core.command_line import Parser, number_in
from common.core.errors import UsageError

BATCH_SIZE, STEPS, IMAGES = 32, 2, 50000
LOADER_WORKERS, CLASSES = 2, 10
PRECISION_MODES = {
    "fp32": "must_keep_origin_dtype",
    "bf16": "allow_mix_precision_bf16",
    "fp16": "allow_mix_precision",
}


class Variant(NamedTuple):
    """One way to train the reference network: plain, by the baseline, or as the project does.

    compile_mode: of torch.compile ("reduce-overhead" records CUDA graphs), "" for none.
    """

    plain: bool
    precision: str = "fp32"
    channels_last: bool = False
    compile_mode: str = ""


VARIANTS = {
    BASELINE: Variant(True),
    "baseline_channels_last": Variant(True, "fp32", True),
    "baseline_bf16_channels_last": Variant(True, "bf16", True),
    "ours_fp32": Variant(False),
    "ours_bf16": Variant(False, "bf16"),
    "ours_fp16": Variant(False, "fp16"),
    "ours_fp32_compiled": Variant(False, compile_mode="default"),
    "ours_bf16_compiled": Variant(False, "bf16", compile_mode="default"),
    "ours_bf16_graphs": Variant(False, "bf16", compile_mode="reduce-overhead"),
    "ours_fp16_graphs": Variant(False, "fp16", compile_mode="reduce-overhead"),
}


def _add_flags(parser: Parser) -> None:
    text = "synthetic images to train on, as many as CIFAR-10 has"
    parser.add_argument("--images", type=number_in(int, 1), default=IMAGES, help=text)


def cases(arguments: Any) -> List[Case]:
    """One; UsageError where a batch is larger than the images."""
    size = arguments.batch_size or BATCH_SIZE
    if size > arguments.images:
        raise UsageError(f"--batch_size {size} is larger than --images {arguments.images}")
    sizes = {"batch_size": size, "images": arguments.images}
    return [Case("", f"batch {size}", size, arguments.steps or STEPS, sizes)]


def chosen(device_kind: str, version: Tuple[int, ...], bfloat16: bool) -> Tuple[str, ...]:
    """The variants that run where none are named, the baseline first."""
    if device_kind == "gpu" and version >= (2,):
        return (BASELINE, "ours_fp32", "ours_bf16", "ours_bf16_compiled", "ours_bf16_graphs")
    if device_kind == "gpu":
        return (BASELINE, "ours_fp32", "ours_fp16")
    if version >= (2,):
        return tuple(VARIANTS)[:5]
    return (BASELINE, "ours_fp32")


def open_trainer(name: str, device_kind: str, sizes: Mapping[str, Any]) -> Any:
    """Makes a variant ready on random images of CIFAR-10's shape."""
    from benchmarks.worker import trainer_on_torch

    random, count = np.random.RandomState(0), sizes["images"]
    images = random.randint(0, 256, (count, 32, 32, 3), np.uint8)
    data = images, random.randint(0, CLASSES, count)
    variant = VARIANTS[name]
    opened = _plainly if variant.plain else _as_the_project
    batches, step, device = opened(variant, sizes["batch_size"], device_kind, data)
    return trainer_on_torch(lambda: next(batches), step, device)


def _plainly(variant: Variant, batch_size: int, device_kind: str, data: Any) -> Tuple[Any, ...]:
    """Endless batches, a step, and the device as torch leaves it, untuned."""
    import torch

    from benchmarks.residual_attention_net import baseline
    from common.training.torch import runtime as torch_runtime

    name = torch_runtime.TORCH_NAMES[device_kind]
    device = torch_runtime.TorchDevice(
        device_kind, 0, name, "", "", torch_runtime.FRAMEWORK, torch.device(name)
    )
    torch.manual_seed(0)
    layout = torch.channels_last if variant.channels_last else torch.contiguous_format
    network = baseline.BaselineNetwork().to(device.device).to(memory_format=layout)
    optimizer = baseline.build_optimizer(network)
    loader = baseline.build_loader(*data, batch_size=batch_size, workers=LOADER_WORKERS)

    def step(batch: Any) -> Any:
        inputs = batch[0].to(device.device).contiguous(memory_format=layout)
        labels = batch[1].to(device.device)
        if variant.precision == "fp32":
            return baseline.training_step(network, optimizer, inputs, labels)
        optimizer.zero_grad()
        with torch.autocast(inputs.device.type, dtype=torch.bfloat16):
            loss = torch.nn.functional.cross_entropy(network(inputs), labels)
        loss.backward()
        optimizer.step()
        return loss

    return _endless(lambda number: iter(loader)), step, device


def _as_the_project(
    variant: Variant, batch_size: int, device_kind: str, data: Any
) -> Tuple[Any, ...]:
    """Endless batches, residual_attention_net.train's step, and its device."""
    import torch

    from benchmarks.worker import step_of
    from common.data.labelled_images import DatasetSplits, LabelledImages, numbered_names
    from residual_attention_net.losses import mixed_cross_entropy
    from residual_attention_net.options import parse_options, with_network
    from residual_attention_net.session import open_session, open_stepper

    images = LabelledImages(*data, numbered_names(CLASSES))
    words = ["--dataset=synthetic", f"--train_batch_size={batch_size}"]
    words += [f"--device_type={device_kind}"]
    words += [f"--precision_mode={PRECISION_MODES[variant.precision]}"]
    session = open_session(
        with_network(parse_options("train", words)),
        DatasetSplits("random", images, images, images, "", ""),
    )
    stepper = open_stepper(session)
    if variant.compile_mode:
        stepper.model = torch.compile(session.network, mode=variant.compile_mode)
    step = step_of(stepper, lambda model, batch: mixed_cross_entropy(model(batch.inputs), batch))
    return _endless(session.train_loader.epoch), step, session.device


def _endless(epoch: Callable[[int], Iterator[Any]]) -> Iterator[Any]:
    number = 0
    while True:
        yield from epoch(number)
        number += 1


BENCHMARK = Benchmark(
    network="residual_attention_net",
    framework="torch",
    variants=tuple(VARIANTS),
    cases=cases,
    chosen=chosen,
    targets={(1, "ours_fp32"): 1.1, (2, "ours_fp32"): 1.25, (2, "ours_bf16"): 2.2},
    open_trainer=open_trainer,
    add_flags=_add_flags,
)

if __name__ == "__main__":
    sys.exit(main(BENCHMARK))
