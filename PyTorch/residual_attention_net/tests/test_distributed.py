"""Many ranks are one job: same data, same gradients, same answer on every rank."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, Dict

import pytest
import torch
from torch import distributed, multiprocessing, nn
from training_helpers import events, finish, free_port, place, run_ranks, start

from common.training.torch.ranks import (
    SynchronisedBatchNorm,
    synchronise_batch_norm,
)
from residual_attention_net.network.model import build_network

pytestmark = [pytest.mark.pytorch, pytest.mark.long]
CPU = torch.device("cpu")


def _rank(rank: int, function: Any, size: int, port: int, arguments: Any) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", rank=rank, world_size=size, init_method=f"tcp://127.0.0.1:{port}"
    )
    function(rank, size, *arguments)
    distributed.destroy_process_group()


def _spawn(function: Any, size: int, *arguments: Any) -> None:
    multiprocessing.spawn(_rank, (function, size, free_port(), arguments), nprocs=size)


def test_synchronised_batch_norm_alone_is_batch_norm() -> None:
    torch.manual_seed(0)
    plain = nn.BatchNorm2d(4).double()
    layers = plain, SynchronisedBatchNorm(copy.deepcopy(plain))
    values, weights = torch.randn(2, 6, 4, 5, 5, dtype=torch.float64)
    inputs = [values.clone().requires_grad_() for _ in layers]
    for layer, given in zip(layers, inputs):
        (layer(given) * weights).sum().backward()
    assert torch.allclose(inputs[0].grad, inputs[1].grad, rtol=0, atol=1e-12)
    one, other = ([layer.weight.grad, *layer.buffers(), layer.eval()(values)] for layer in layers)
    assert all(torch.allclose(a, b, rtol=0, atol=1e-10) for a, b in zip(one, other))


def test_synchronised_batch_norm_of_16_bits_keeps_statistics_that_16_bits_can_not_hold() -> None:
    torch.manual_seed(0)
    inputs = (torch.randn(64, 3, 32, 32) * 3 + 2).half()  # 65,536 values: their squares overflow
    synchronised = SynchronisedBatchNorm(nn.BatchNorm2d(3, momentum=1.0))
    assert isinstance(synchronised, nn.modules.batchnorm._BatchNorm)  # apex leaves it in float32
    outputs = synchronised(inputs)
    assert outputs.dtype == torch.float16
    values = inputs.double().permute(1, 0, 2, 3).reshape(3, -1)
    assert torch.allclose(synchronised.running_mean.double(), values.mean(1), rtol=1e-5)
    assert torch.allclose(synchronised.running_var.double(), values.var(1), rtol=1e-5)
    assert float(outputs.float().std()) == pytest.approx(1.0, abs=1e-3)


STEPS = 3


def _few_steps(network: nn.Module, model: nn.Module, rank: int, size: int) -> Dict[str, Any]:
    """Trains on a rank's share of a global batch of 8."""
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, nesterov=True)
    generator = torch.Generator().manual_seed(5)
    images = torch.rand(8, 3, 16, 16, generator=generator, dtype=torch.float64)
    targets = torch.randint(0, 10, (8,), generator=generator)
    share = slice(rank * 8 // size, (rank + 1) * 8 // size)
    for _ in range(STEPS):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images[share]), targets[share]).backward()
        optimizer.step()
    return network.state_dict()


def _seeded_network() -> nn.Module:
    torch.manual_seed(1)
    return synchronise_batch_norm(build_network("small_16input", 10).double(), CPU)


def _steps_of_rank(rank: int, size: int, path: str) -> None:
    network = _seeded_network()
    model = nn.parallel.DistributedDataParallel(network, broadcast_buffers=False)
    state = _few_steps(network, model, rank, size)
    if rank == 0:
        torch.save(state, path)


def test_two_ranks_with_synchronised_batch_norm_are_one_rank_of_the_same_global_batch(
    tmp_path: Path,
) -> None:
    # In float64 only the order of additions differs: 1e-9 after three steps of a network whose
    # single-precision gradients already differ by 1e-2 between two correct programs.
    _spawn(_steps_of_rank, 2, str(tmp_path / "two.pt"))
    two = torch.load(str(tmp_path / "two.pt"))
    network = _seeded_network()
    one = _few_steps(network, network, 0, 1)
    assert list(one) == list(two)
    for name, value in one.items():
        assert torch.allclose(value.double(), two[name].double(), rtol=1e-9, atol=1e-9), name


def test_every_rank_reports_the_same_accuracy_on_the_whole_test_set(tmp_path: Path) -> None:
    ranks = 8
    run_ranks("train", tmp_path, ranks, "--train_batch_size=2", "--total_epochs=1")
    results = [
        [
            (event["split"], event["role"], event["n"], event["metrics"])
            for event in events(tmp_path, "evaluation", rank)
        ]
        for rank in range(ranks)
    ]
    assert all(result == results[0] for result in results)
    assert [entry[2] for entry in results[0]] == [20, 40, 40]


def test_ranks_without_the_first_ranks_disk_resume_from_its_checkpoint(tmp_path: Path) -> None:
    machines = [tmp_path / "first", tmp_path / "second"]
    flags = ["--device_num=2", "--train_batch_size=8", "--checkpoint_minutes=0"]
    for more in (["--total_epochs=1"], ["--total_epochs=2", "--resume"]):
        port = free_port()
        finish(
            *(
                start("train", machine, *flags, *more, **place(rank, 2, port))
                for rank, machine in enumerate(machines)
            )
        )
    assert not list((machines[1] / "ckpt").glob("step_*"))
    places = list(enumerate(machines))
    resumed = [events(machine, "start", rank)[-1]["resumed_step"] for rank, machine in places]
    assert resumed == [4, 4]
    one, other = (
        [event["loss"] for event in events(machine, "step", rank)] for rank, machine in places
    )
    assert one == other
