"""The baseline computes what the reference computes, so a ratio to it means something.

On TensorFlow 2 the baseline is eager, which the runtime adapter switches off for its whole process:
it runs in one of its own, python benchmarks/slot_attention/test_baseline.py TASK IN OUT.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict

import numpy as np
import pytest

from tests.fixtures.packed_arrays import group, load
from tests.fixtures.slot_reference import TASKS, arrays_of, require_gradients, require_outputs

pytestmark = [pytest.mark.tensorflow, pytest.mark.long]

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    "name", [pytest.param("autoencoder", marks=pytest.mark.slow), "classifier"]
)
def test_weights_outputs_loss_and_gradients_are_the_references(name, tmp_path):
    stored, exact = arrays_of(name)
    np.savez(str(tmp_path / "in.npz"), **stored)
    words = [sys.executable, __file__, TASKS[name], tmp_path / "in.npz", tmp_path / "out.npz"]
    environment = dict(os.environ, PYTHONPATH=str(CHECKOUT))
    subprocess.run(words, cwd=str(CHECKOUT), env=environment, check=True)
    found = load(tmp_path / "out.npz")
    assert int(found["count"]) == len(group(stored, "w"))
    assert float(found["loss"]) == pytest.approx(float(exact["loss"]), rel=1e-6)
    require_gradients(group(found, "grad"), exact)
    require_outputs(name, found, stored, exact)


def weight_at(network: Any, path: str) -> Any:
    """The weight with the reference's name, such as "mlp/layer_with_weights-0/kernel"."""
    found = network if hasattr(network, path.split("/")[0]) else network.encoder
    for part in path.split("/"):
        if part.startswith("layer_with_weights-"):
            found = [layer for layer in found.layers if layer.weights][int(part.split("-")[1])]
        else:
            found = getattr(found, part)
    return found


def run(task: str, stored: Dict[str, np.ndarray]) -> Dict[str, np.ndarray]:
    """Outputs, loss and gradients for the fixture's inputs, weights and noise."""
    import tensorflow as tf

    from benchmarks.slot_attention import baseline

    network = baseline.build_network(task)
    batch = {name: tf.constant(stored[name]) for name in ("image", "target") if name in stored}
    noise = tf.constant(stored["noise"])
    network(batch["image"], noise)  # makes the weights
    weights = {path: weight_at(network, path) for path in group(stored, "w")}
    values = [(weights[path], value) for path, value in group(stored, "w").items()]

    def compute() -> Any:
        with tf.GradientTape() as tape:
            loss = baseline.loss_of(task, network, batch, noise)
        outputs = tf.nest.flatten(network(batch["image"], noise))
        gradients_of = tape.gradient if baseline.EAGER else tf.gradients
        return [*outputs, loss, *gradients_of(loss, list(weights.values()))]

    if baseline.EAGER:
        for variable, value in values:
            variable.assign(value)
        found = [tensor.numpy() for tensor in compute()]
    else:
        fetches = compute()
        with tf.compat.v1.Session() as session:
            session.run([variable.assign(value) for variable, value in values])
            found = session.run(fetches)
    is_discovery = task == baseline.OBJECT_DISCOVERY
    names = ("combined", "masks", "slots") if is_discovery else ("predictions",)
    count = np.array(len(network.trainable_weights))
    gradients = ["grad:" + path for path in weights]
    return dict(zip((*names, "loss", *gradients), found), count=count)


if __name__ == "__main__":
    np.savez(sys.argv[3], **run(sys.argv[1], load(sys.argv[2])))
