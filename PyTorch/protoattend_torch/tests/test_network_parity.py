"""The network against the reference: outputs, losses, gradients, statistics, five steps."""

from __future__ import annotations

import tarfile
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from proto_parity import HEADS, TERMS, Parity

from common.data.labelled_images import LabelledImages
from common.machine.precision import KEEP, resolve
from common.training.exchange import from_torch, to_torch
from common.training.stored_weights import find_weights
from common.training.torch import runtime
from common.training.torch.optimizers import make_adam
from protoattend.network.architecture import SOFTMAX, SPARSEMAX, Architecture
from protoattend.network.checkpoints import reference_name
from protoattend.network.parts import Attended, Losses, Projection
from protoattend_torch.network import (
    PrototypeNetwork,
    Sparsemax,
    attention_logits,
    attention_weights,
    losses_of,
    project,
    standardised,
)
from protoattend_torch.passes import PrototypePasses
from protoattend_torch.session import load_weights
from tests.fixtures.packed_arrays import group, load_either
from tests.fixtures.proto_reference import ENCODED, FOLDER, LOGITS, TRAJECTORY, WEIGHTS

pytestmark = pytest.mark.pytorch


def network_of(stored, dtype=torch.float32):
    """A network with the weights of the fixture."""
    network = PrototypeNetwork(Architecture()).to(dtype)
    values = group(stored, "w")
    own = from_torch(arrays(network.state_dict()))
    paths = {path: values[reference_name(path)] for path in own}
    assert set(map(reference_name, paths)) == set(values)
    named = {name: torch.from_numpy(value.copy()) for name, value in to_torch(paths).items()}
    assert not network.load_state_dict(named, strict=False).unexpected_keys
    return network


def arrays(named):
    return {name: value.detach().numpy() for name, value in named.items()}


def by_reference_name(named):
    return {reference_name(path): value for path, value in from_torch(arrays(named)).items()}


def tensors(stored, dtype=torch.float32):
    images = [torch.from_numpy(stored[name]).to(dtype) for name in ("batch_images", "cand_images")]
    return images, torch.from_numpy(stored["batch_labels"]).long()


def run(stored, training, dtype=torch.float32):
    network = network_of(stored, dtype).train(training)
    images, labels = tensors(stored, dtype)
    queries, candidates = map(network.encode, images)
    attended = network.attend(queries, candidates)
    losses = losses_of(attended, labels, 1e-6)
    losses.total(1e-4).backward()
    logits = attention_logits(queries.queries, candidates.keys)
    weights = {name: attention_weights(logits, name) for name in (SPARSEMAX, SOFTMAX)}
    classes = {theirs: getattr(attended, ours) for ours, theirs in TERMS[:3]}
    gradients = {name: one.grad for name, one in network.named_parameters()}
    encoded = {
        f"{name}_{head}": getattr(one, head)
        for name, one in (("batch", queries), ("cand", candidates))
        for head in HEADS
    }
    return SimpleNamespace(
        weights=arrays(weights),
        mixed=arrays({name: weights[name] @ candidates.values for name in weights}),
        classes=arrays(classes),
        losses=Losses(*(one.item() for one in losses)),
        gradients=by_reference_name(gradients),
        statistics=by_reference_name(network.state_dict()),
        **arrays(encoded),
    )


@pytest.fixture(scope="module")
def ran(stored):
    return {"eval": run(stored, False), "train": run(stored, True)}


@pytest.fixture(scope="module")
def trained_exactly(stored):
    return run(stored, True, torch.float64)


@pytest.fixture
def decided(stored):
    images = stored["raw_uint8"]
    candidates = LabelledImages(images[8:], stored["cand_labels"])
    passes = PrototypePasses(network_of(stored), candidates, 5)
    passes.fill()
    return passes.decide(LabelledImages(images[:8], stored["batch_labels"]))


@pytest.fixture
def sparsemax_with_slope(stored):
    logits = torch.from_numpy(stored["sparsemax_in"]).requires_grad_()
    weights = Sparsemax.apply(logits)
    weights.backward(torch.from_numpy(stored["sparsemax_upstream"]))
    return weights.detach().numpy(), logits.grad.numpy()


@pytest.fixture
def projected():
    def found(logits):
        return Projection(*(one.numpy() for one in project(torch.from_numpy(logits))))

    return found


class TestParity(Parity):
    """See proto_parity."""


def apart(found, wanted):
    return np.abs(found.detach().numpy() - wanted).max()


def test_standardisation_is_that_of_tensorflow(stored):
    images = standardised(torch.from_numpy(stored["raw_uint8"]))
    assert apart(images[:8], stored["batch_images"]) < 1e-5
    flat = torch.from_numpy(stored["standardize_const_in"][None].astype(np.uint8))
    assert apart(standardised(flat)[0], stored["standardize_const_out"]) < 1e-5


def test_five_steps_of_training_lose_what_the_reference_lost(stored, exact):
    network = network_of(stored).train()
    precision = resolve(KEEP, "torch", "cpu", runtime.capabilities("cpu"))
    device = runtime.open_device("cpu", 0, precision)
    optimizer = make_adam(device, precision, network.parameters(), 1e-3)
    images, labels = tensors(stored)
    found = []
    for _ in range(5):
        optimizer.zero_grad()
        loss = losses_of(Attended(*network(*images)), labels, 1e-6).total(1e-4)
        loss.backward()
        torch.nn.utils.clip_grad_value_(network.parameters(), 20)
        optimizer.step()
        found.append(loss.item())
    assert np.abs(np.array(found) / exact["traj_loss"] - 1).max() < TRAJECTORY


def test_the_references_checkpoint_gives_its_stored_outputs(stored, tmp_path):
    with tarfile.open(str(FOLDER / "tf1_ckpt_protoattend.tar.xz")) as archive:
        archive.extractall(str(tmp_path))
    found = find_weights(str(tmp_path / "tf1_ckpt_protoattend" / "main_protoattend.ckpt"))
    outputs = load_either(FOLDER / "tf1_ckpt_protoattend_outputs")
    network = PrototypeNetwork(Architecture())
    load_weights(network, found)
    images, _ = tensors(stored)
    queries, others = (network.eval().encode(one) for one in images)
    weights = project(attention_logits(queries.queries, others.keys)).weights
    assert apart(weights, outputs["eval_sparsemax_weights"]) < WEIGHTS
    assert apart(weights @ others.values, outputs["eval_sparsemax_weighted"]) < ENCODED
    assert apart(network.classify(queries.values), outputs["eval_self_class_logits"]) < LOGITS


def test_a_detached_attention_teaches_its_heads_and_not_the_encoder():
    images = torch.randint(0, 256, (6, 14, 14, 1)).to(torch.uint8)
    for detached in (False, True):
        network = PrototypeNetwork(Architecture("small", (14, 14, 1)), detached=detached).train()
        _, own, mixed, _ = network(images)
        kernel, key = network.encoder.convolution0.weight, network.key.weight
        of_mixed = torch.autograd.grad(
            mixed.square().sum(), [kernel, key], allow_unused=True, retain_graph=True
        )
        assert (of_mixed[0] is None) == detached and of_mixed[1].abs().max() > 0
        assert torch.autograd.grad(own.square().sum(), [kernel])[0].abs().max() > 0
