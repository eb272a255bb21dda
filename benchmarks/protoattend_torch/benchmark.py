"""Speed of ProtoAttend's training step: in torch, in TensorFlow, by a plain baseline in torch."""

from __future__ import annotations

import sys
from typing import Any, Mapping

import numpy as np

from benchmarks.harness import (
    BASELINE,
    OF_TENSORFLOW,
    OF_TWIN,
    OWN_MODES,
    Benchmark,
    chosen_of_twin,
    main,
)
from benchmarks.protoattend import benchmark as sister


def open_trainer(name: str, device_kind: str, sizes: Mapping[str, Any]) -> Any:
    """Makes a variant ready on random images in memory."""
    if name in OF_TENSORFLOW:
        return sister.open_trainer(OF_TENSORFLOW[name], device_kind, sizes)
    import torch

    from benchmarks.worker import open_on_torch, step_of, trainer_on_torch
    from common.machine.ranks import Place
    from common.training.initial_weights import HE_NORMAL
    from common.training.torch.exchanged import draw_initial_weights
    from protoattend.data.batches import Batches
    from protoattend.options import TRAIN
    from protoattend.runs import architecture_of
    from protoattend_torch.network import PrototypeNetwork
    from protoattend_torch.options import parse_options
    from protoattend_torch.session import Session
    from protoattend_torch.training import make_batches, training_of

    queries, candidates = sizes["batch_size"], sizes["candidates"]
    mode = OWN_MODES.get(name, OWN_MODES["ours_fp32"])
    device, precision = open_on_torch(mode, device_kind)
    if name == BASELINE:
        # Standardised batches: what makes them costs the baseline nothing.
        from benchmarks.protoattend_torch import baseline

        random, shape = np.random.RandomState(0), (1, *sister.SHAPE[:2])
        arrays = {
            "images": random.standard_normal((queries, *shape)).astype(np.float32),
            "candidates": random.standard_normal((candidates, *shape)).astype(np.float32),
            "labels": random.randint(0, sister.CLASSES, queries),
        }
        batch = {key: torch.from_numpy(one).to(device.device) for key, one in arrays.items()}
        return trainer_on_torch(lambda: batch, baseline.trainer(device.device), device)
    options = parse_options(TRAIN, sister.words_of(device_kind, queries, candidates))
    dataset = sister.random_dataset(queries, candidates)
    network = PrototypeNetwork(architecture_of(options, dataset))
    draw_initial_weights(network, options.seed, HE_NORMAL)
    batches = Batches(dataset.train, options)
    session = Session(options, device, precision, Place(0, 1, 0), dataset)
    network = session.placed(network).train()
    training = training_of(session, network, batches)
    stepper, coming = training.open_stepper(), make_batches(batches, 0, device)
    step = step_of(stepper, lambda model, given: training.loss(model, given)[0])
    return trainer_on_torch(lambda: next(coming), step, device)


BENCHMARK = Benchmark(
    network="protoattend_torch",
    framework="torch",
    variants=OF_TWIN,
    cases=sister.cases,
    chosen=chosen_of_twin,
    targets={(1, "ours_fp32"): 1.0, (2, "ours_fp32"): 1.0},
    open_trainer=open_trainer,
    most_wait=0.05,
    repeats=8,
    add_flags=sister.add_flags,
)

if __name__ == "__main__":
    sys.exit(main(BENCHMARK))
