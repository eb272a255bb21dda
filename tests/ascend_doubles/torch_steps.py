"""Steps of a small network through the product's adapter, in its order.

What tests have done in processes of their own (torch_server.Server.ask) stands below; each of
those functions prints a line of JSON.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, List, Optional

import torch

from common.machine import precision as vocabulary
from common.training.torch import optimizers, ranks, runtime
from common.training.torch import step as stepping
from common.training.torch.profile import LEAST_STEPS, StepProfiler
from common.training.torch.weights_file import on_host


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


# --- in processes of their own ---


def able() -> None:
    """Whether the device computes in bfloat16, and whether the apex there is Ascend's."""
    found = runtime.capabilities("npu")
    print(json.dumps([found.bfloat16, found.ascend_apex]))


def steps(mode: str, scale: str, norm: str) -> None:
    """Eight steps; with a scale that is checked one of an overflow and one more."""
    stepper, device = open_stepper(
        mode, loss_scale=scale or None, max_gradient_norm=float(norm) if norm else None
    )
    before = [weight.detach().float().cpu() for weight in stepper.module.parameters()]
    train(stepper, device, 8)
    after = [weight.detach().float().cpu() for weight in stepper.module.parameters()]
    optimized = [weight for group in stepper.optimizer.param_groups for weight in group["params"]]
    norms = torch.stack([weight.grad.float().norm() for weight in optimized])
    buffers = [weight.grad.data_ptr() for weight in stepper.module.parameters()]
    stepper.zero_grad()
    left = [weight.grad for weight in stepper.module.parameters() if weight.grad is not None]
    found = {
        "optimizer": type(stepper.optimizer).__module__,
        "moved": not any(map(torch.equal, before, after)),
        "norm": norms.norm().item(),
        "buffers_kept": buffers == [one.data_ptr() for one in left],
        "zeroed": not any(bool(one.any()) for one in left),
    }
    if scale == "dynamic" or (scale and stepper.scaling == "grad_scaler"):
        held = weights_of(stepper)
        skipped = train(stepper, device, 1, first=8, spoiled=8)[0][1]
        found["spoiled"] = skipped and torch.equal(held, weights_of(stepper))
        found["went_on"] = not train(stepper, device, 1, first=9)[0][1]
        found["moved"] = found["moved"] and not torch.equal(held, weights_of(stepper))
    state = stepper.state_dict()["state"]
    found["scale"] = state["amp"]["loss_scaler0"]["loss_scale"] if "amp" in state else None
    found["scale"] = state.get("scale", found["scale"])
    trusted, processor = open_stepper("O0", "cpu", max_gradient_norm=float(norm) if norm else None)
    train(trusted, processor, 8)
    distances = [
        (one - other.detach()).abs().max().item()
        for one, other in zip(after, trusted.module.parameters())
    ]
    random = runtime.rng_state(device)
    drawn = torch.rand(3, device=device.device).tolist()
    runtime.set_rng_state(random, device)
    found["random_numbers_kept"] = torch.rand(3, device=device.device).tolist() == drawn
    print(json.dumps(dict(found, distance=max(distances))))


def profiled(folder: str) -> None:
    """A profile of some steps; the files that it left."""
    _, device = open_stepper("O0")
    profiler = StepProfiler(device, Path(folder))
    for _ in range(LEAST_STEPS + 2):
        profiler.step()
    profiler.close()
    print(json.dumps([path.name for path in Path(folder).iterdir()]))


def continued(mode: str, folder: str) -> None:
    """Eight steps with a checkpoint after six; where it is there, whether the last two are alike.

    The weights are loaded before apex sees the network.
    """
    middle, end = Path(folder, "middle.pt"), Path(folder, "end.pt")
    network, content = small_network(), None
    if middle.exists():
        content = torch.load(str(middle))
        network.load_state_dict(content["model"])
    stepper, device = open_stepper(mode, network=network)
    if content is None:
        train(stepper, device, 6)
        content = {
            "model": stepper.module.state_dict(),
            "optimizer": stepper.optimizer_state(),
            "scaler": stepper.state_dict(),
        }
        torch.save(on_host(content), str(middle))
    else:
        stepper.load_optimizer_state(content["optimizer"])
        stepper.load_state_dict(content["scaler"])
    train(stepper, device, 2, first=6)
    if not end.exists():
        torch.save(weights_of(stepper), str(end))
    print(json.dumps(torch.equal(weights_of(stepper), torch.load(str(end)))))


def _joined() -> Any:
    """(rank, device, precision) of one of two ranks."""
    rank = int(os.environ["RANK"])
    wanted = vocabulary.resolve("O2", "torch", "npu", runtime.capabilities("npu", rank))
    device = runtime.open_device("npu", rank, wanted)
    address = "tcp://127.0.0.1:" + os.environ["MASTER_PORT"]
    runtime.init_process_group(device, rank, 2, address, timeout_seconds=60)
    return rank, device, wanted


def group() -> None:
    """One of two ranks: joins and adds up once."""
    rank, device, _ = _joined()
    torch.distributed.all_reduce(torch.ones(3, device=device.device))
    store = torch.distributed.distributed_c10d._get_default_store()
    store.set(f"done by {rank}", "")
    if rank == 0:  # which serves the store
        store.wait(["done by 1"])
    told = [torch.distributed.get_backend(), torch.distributed.get_world_size()]
    print(json.dumps(told), flush=True)
    os._exit(0)  # the stubs' communicators can't be taken down


def together() -> None:
    """One of two ranks: what ranks send each other, and steps of which one overflows on one."""
    rank, device, wanted = _joined()
    network = runtime.place_model(small_network(), device, wanted)
    network[1].running_mean.fill_(float(rank))
    ranks.average_batch_norm_statistics(network)
    content = b"seven bytes more" if rank == 0 else b""
    found = {
        "mean": network[1].running_mean.tolist(),
        "bytes": ranks.bytes_from_first_rank(content, device.device).decode(),
        "sums": ranks.sum_over_ranks([1.0, rank], device.device),
    }
    optimizer = optimizers.make_sgd(device, wanted, network.parameters(), lr=0.02, momentum=0.9)
    stepper = stepping.make_stepper(network, optimizer, device, wanted, world_size=2)
    found["skipped"] = train(stepper, device, 3, first=10 * rank, spoiled=11)[1][1]
    alike = [torch.zeros_like(weights_of(stepper)).to(device.device) for _ in range(2)]
    torch.distributed.all_gather(alike, weights_of(stepper).to(device.device))
    found["alike"] = torch.equal(alike[0].cpu(), alike[1].cpu())
    print(json.dumps(found), flush=True)
    os._exit(0)
