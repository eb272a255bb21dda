"""What the baseline makes of the reference's inputs and weights, in a process of its own.

On TensorFlow 2 the baseline is eager, which the project's runtime adapter switches off for its
whole process. python -m benchmarks.slot_attention.fixture_run TASK FIXTURE.npz FOUND.npz
"""

from __future__ import annotations

import sys
from typing import Any, Dict

import numpy as np
import tensorflow as tf

from benchmarks.slot_attention import baseline


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
    """Outputs, loss and gradients ("grad:<name>") for the fixture's inputs, weights and noise."""
    values = {key[2:]: value for key, value in stored.items() if key.startswith("w:")}
    network = baseline.build_network(task)
    batch = {name: tf.constant(stored[name]) for name in ("image", "target") if name in stored}
    noise = tf.constant(stored["noise"])
    network(batch["image"], noise)  # makes the weights
    variables = [weight_at(network, path) for path in values]
    assigned = zip(variables, values.values())

    def compute(gradients_of: Any) -> Any:
        loss, gradients = gradients_of(lambda: baseline.loss_of(task, network, batch, noise))
        return tf.nest.flatten(network(batch["image"], noise)), loss, gradients

    def by_tape(loss_of: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = loss_of()
        return loss, tape.gradient(loss, variables)

    def by_graph(loss_of: Any) -> Any:
        loss = loss_of()
        return loss, tf.gradients(loss, variables)

    if baseline.EAGER:
        for variable, value in assigned:
            variable.assign(value)
        found = tf.function(lambda: compute(by_tape))()
        outputs, loss, gradients = tf.nest.map_structure(lambda tensor: tensor.numpy(), found)
    else:
        fetches = compute(by_graph)
        with tf.compat.v1.Session() as session:
            session.run([variable.assign(value) for variable, value in assigned])
            outputs, loss, gradients = session.run(fetches)
    is_discovery = task == baseline.OBJECT_DISCOVERY
    names = ("combined", "masks", "slots") if is_discovery else ("predictions",)
    found = dict(zip(names, outputs), loss=loss, count=np.array(len(network.trainable_weights)))
    return dict(found, **{"grad:" + path: value for path, value in zip(values, gradients)})


if __name__ == "__main__":
    with np.load(sys.argv[2], allow_pickle=False) as fixture:
        arrays = {name: fixture[name] for name in fixture.files}
    np.savez(sys.argv[3], **run(sys.argv[1], arrays))
