"""The networks against the reference: outputs, losses, gradients, steps of Adam, checkpoints."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from common.core.errors import ZooError
from common.machine.precision import resolve
from common.training.exchange import from_torch
from common.training.stored_weights import find_weights
from common.training.torch import optimizers, runtime
from common.training.torch.exchanged import keras_weights, put_weights
from slot_attention.network.architecture import ARCHITECTURES, SET_STRIDES, SlotSettings
from slot_attention.network.choice import NetworkChoice
from slot_attention_torch.losses import hungarian_huber_loss, reconstruction_loss
from slot_attention_torch.network.networks import network_of
from slot_attention_torch.network.slot_attention import SlotAttention
from slot_attention_torch.session import load_weights
from tests.fixtures.packed_arrays import group, load
from tests.fixtures.slot_reference import (
    SLOTS,
    TASKS,
    arrays,
    arrays_of,
    published_checkpoints,
    require_gradients,
    require_outputs,
    require_trajectory,
)

pytestmark = [pytest.mark.pytorch, pytest.mark.long]

CHOICES = {
    "autoencoder": NetworkChoice(SlotSettings(), 128, ARCHITECTURES["clevr"]),
    "classifier": NetworkChoice(SlotSettings(count=10), 128, None, SET_STRIDES),
}


def loss_of(name, network, stored, noise):
    image = torch.from_numpy(stored["image"])
    found = network(image, torch.from_numpy(noise))
    if name == "autoencoder":
        return found, reconstruction_loss(image, found["combined"])
    return found, hungarian_huber_loss(torch.from_numpy(stored["target"]), found["predictions"])


@pytest.fixture(scope="module", params=sorted(TASKS))
def case(request):
    """What a network with the reference's weights gives, and what the reference gave."""
    stored, exact = arrays_of(request.param)
    network = network_of(TASKS[request.param], CHOICES[request.param])
    put_weights(network, group(stored, "w"))
    found, loss = loss_of(request.param, network, stored, stored["noise"])
    loss.backward()
    named = {name: one.grad.numpy() for name, one in network.named_parameters()}
    outputs = {name: value.detach().numpy() for name, value in found.items() if name != "attention"}
    return SimpleNamespace(
        name=request.param,
        stored=stored,
        exact=exact,
        found=outputs,
        loss=float(loss),
        gradients=from_torch(named),
    )


def test_weights_outputs_and_loss_are_the_references(case):
    assert set(case.gradients) == set(group(case.stored, "w"))
    assert case.loss == pytest.approx(float(case.exact["loss"]), rel=1e-6, abs=3e-8)
    require_outputs(case.name, case.found, case.stored, case.exact)
    if case.name == "autoencoder":
        features = case.found["features"][:, :64]
        assert np.abs(features - case.stored["features_first64"]).max() < SLOTS


def test_gradients_are_the_references(case):
    require_gradients(case.gradients, case.exact)


@pytest.mark.parametrize(
    "name", [pytest.param("autoencoder", marks=pytest.mark.slow), "classifier"]
)
def test_five_steps_of_adam_in_float64_are_the_references(name):
    stored, exact = arrays_of(name)
    stored = {key: value.astype(np.float64) for key, value in stored.items()}
    network = network_of(TASKS[name], CHOICES[name]).double()
    put_weights(network, group(stored, "w"))
    precision = resolve("O0", "torch", "cpu", runtime.capabilities("cpu"))
    device = runtime.open_device("cpu", 0, precision)
    adam = optimizers.make_adam(device, precision, network.parameters(), lr=4e-4)
    losses = []
    for noise in stored["noise_traj"]:
        adam.zero_grad()
        _, loss = loss_of(name, network, stored, noise)
        loss.backward()
        adam.step()
        losses.append(float(loss))
    require_trajectory(losses, exact)


@pytest.mark.parametrize("prefix", ["", "wide_"])  # wide: fewer predictions than targets
def test_hungarian_huber_loss_is_the_references(prefix):
    stored = arrays("clevr_metrics")
    given = (torch.from_numpy(stored[prefix + name]) for name in ("target", "pred"))
    loss = hungarian_huber_loss(*given)
    assert float(loss) == pytest.approx(float(stored[prefix + "huber_loss"]), rel=1e-6)


# Checkpoints of TensorFlow 2, as the reference writes them


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    return published_checkpoints(tmp_path_factory.mktemp("published"))


@pytest.mark.parametrize("name", sorted(TASKS))
def test_a_published_checkpoint_gives_what_it_gave_the_reference(published, name):
    folder, network = published[TASKS[name]], network_of(TASKS[name], CHOICES[name])
    load_weights(network, find_weights(str(folder)), TASKS[name])
    stored = load(folder / "outputs_public.npz")
    with torch.no_grad():
        made = network(torch.from_numpy(stored["image"]), torch.from_numpy(stored["noise"]))
    found = {key: value.numpy() for key, value in made.items() if key != "attention"}
    require_outputs(name, found, stored, stored)


def test_the_other_tasks_checkpoint_is_one_clear_line(published):
    found = find_weights(str(published["set_prediction"]))
    network = network_of("object_discovery", CHOICES["autoencoder"])
    with pytest.raises(ZooError, match="is of set_prediction, not of object_discovery"):
        load_weights(network, found, "object_discovery")


# Options of the module that the reference has not


def gradients(**settings):
    """Slots and gradients by path, all weights filled by name."""
    inputs = np.random.RandomState(1).standard_normal((2, 12, 8)).astype(np.float32)
    noise = np.random.RandomState(2).standard_normal((2, 3, 16)).astype(np.float32)
    module = SlotAttention(8, SlotSettings(count=3, size=16, hidden=32, **settings))
    weights = {}
    for number, (path, value) in enumerate(sorted(keras_weights(module).items())):
        weights[path] = np.random.RandomState(number).standard_normal(value.shape) * 0.3
    put_weights(module, weights)
    slots, _ = module(torch.from_numpy(inputs), torch.from_numpy(noise))
    (slots**3).sum().backward()
    found = {name: one.grad.numpy() for name, one in module.named_parameters()}
    return slots.detach().numpy(), from_torch(found)


def test_implicit_differentiation_takes_the_gradient_of_the_last_iteration_alone():
    (plain, whole), (implicit, last) = (gradients(implicit=value) for value in (False, True))
    assert np.abs(plain - implicit).max() < 1e-6
    assert np.linalg.norm(last["project_v/kernel"]) < np.linalg.norm(whole["project_v/kernel"])
    assert not last["slots_mu"].any()
    _, learned = gradients(initial="learned", implicit=True)
    assert np.linalg.norm(learned["slots_initial"]) > 0  # straight through all iterations
