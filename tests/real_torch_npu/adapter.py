"""What tests/test_real_torch_npu.py has done in processes of their own; each prints JSON."""

from __future__ import annotations

import json
import os
from typing import Any, Dict, List

import torch

from common.machine import precision as vocabulary
from common.training.torch import runtime
from tests.ascend_doubles.torch_steps import open_stepper, train, weights_of


def bfloat16() -> None:
    """Whether the device computes in bfloat16."""
    print(json.dumps(runtime.capabilities("npu").bfloat16))


def steps() -> None:
    """Steps of a small network in several precisions."""
    found: Dict[str, Any] = {"float32": _trained("O0", "npu"), "processor": _trained("O0", "cpu")}
    stepper, device = open_stepper("O2", loss_scale="dynamic")
    found["optimizer"] = type(stepper.optimizer).__module__
    before = [weight.detach().float().cpu() for weight in stepper.module.parameters()]
    train(stepper, device, 1)
    after = [weight.detach().float().cpu() for weight in stepper.module.parameters()]
    found["every_weight_moved"] = not any(map(torch.equal, before, after))
    buffers = [weight.grad.data_ptr() for weight in stepper.module.parameters()]
    stepper.zero_grad()
    found["buffers_kept"] = buffers == [w.grad.data_ptr() for w in stepper.module.parameters()]
    held = weights_of(stepper)
    skipped = train(stepper, device, 1, first=1, spoiled=1)[0][1]
    found["spoiled"] = [skipped and torch.equal(held, weights_of(stepper)), _scale(stepper)]
    found["unspoiled"] = [train(stepper, device, 1, first=2)[0][1], _scale(stepper)]
    stepper, device = open_stepper("O2", loss_scale="128", max_gradient_norm=1e-3)
    train(stepper, device, 1)
    norms = [weight.grad.float().norm() for weight in stepper.module.parameters()]
    found["clipped_norm"] = torch.stack(norms).norm().item()
    state = runtime.rng_state(device)
    drawn = torch.rand(3, device=device.device).tolist()
    runtime.set_rng_state(state, device)
    found["random_numbers_kept"] = torch.rand(3, device=device.device).tolist() == drawn
    print(json.dumps(found))


def _trained(mode: str, kind: str) -> List[float]:
    stepper, device = open_stepper(mode, kind)
    return [loss for loss, _ in train(stepper, device, 3)]


def _scale(stepper: Any) -> float:
    return float(stepper.state_dict()["state"]["scale"])


def group() -> None:
    """One of two ranks: joins, adds up once; prints the backend and the number of ranks."""
    rank = int(os.environ["RANK"])
    wanted = vocabulary.resolve("O2", "torch", "npu", runtime.capabilities("npu"))
    device = runtime.open_device("npu", rank, wanted)
    address = "tcp://127.0.0.1:" + os.environ["MASTER_PORT"]
    runtime.init_process_group(device, rank, 2, address, timeout_seconds=60)
    torch.distributed.all_reduce(torch.ones(3, device=device.device))
    store = torch.distributed.distributed_c10d._get_default_store()
    store.set(f"done by {rank}", "")
    if rank == 0:  # which serves the store
        store.wait(["done by 1"])
    told = [torch.distributed.get_backend(), torch.distributed.get_world_size()]
    print(json.dumps(told), flush=True)
    os._exit(0)  # the stubs' communicators can't be taken down
