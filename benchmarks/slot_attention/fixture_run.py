"""What the baseline makes of the reference's inputs and weights, in a process of its own.

On TensorFlow 2 the baseline is eager, which the project's runtime adapter switches off for its
whole process: so the tests of the baseline run this program and read what it writes.

    python -m benchmarks.slot_attention.fixture_run --task object_discovery \\
        --fixture tests/fixtures/slot_attention/….npz --output found.npz
"""

from __future__ import annotations

import argparse
from typing import Any, Dict, List

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
    weights = {key[2:]: value for key, value in stored.items() if key.startswith("w:")}
    network = baseline.build_network(task)
    batch = {name: tf.constant(stored[name]) for name in ("image", "target") if name in stored}
    noise = tf.constant(stored["noise"])
    network(batch["image"], noise)  # makes the weights
    variables = [weight_at(network, path) for path in weights]
    compute = _eagerly if baseline.EAGER else _in_a_session
    outputs, loss, gradients = compute(
        task, network, batch, noise, variables, list(weights.values())
    )
    names = (
        ("combined", "masks", "slots") if task == baseline.OBJECT_DISCOVERY else ("predictions",)
    )
    found = dict(zip(names, outputs), loss=loss, count=np.array(len(network.trainable_weights)))
    found.update({"grad:" + path: value for path, value in zip(weights, gradients)})
    return found


def _outputs(network: Any, image: Any, noise: Any) -> List[Any]:
    found = network(image, noise)
    return list(found) if isinstance(found, tuple) else [found]


def _eagerly(
    task: str, network: Any, batch: Any, noise: Any, variables: List[Any], values: List[np.ndarray]
) -> Any:
    for variable, value in zip(variables, values):
        variable.assign(value)

    @tf.function
    def compute() -> Any:
        with tf.GradientTape() as tape:
            loss = baseline.loss_of(task, network, batch, noise)
        return (_outputs(network, batch["image"], noise), loss, tape.gradient(loss, variables))

    return tf.nest.map_structure(lambda tensor: tensor.numpy(), compute())


def _in_a_session(
    task: str, network: Any, batch: Any, noise: Any, variables: List[Any], values: List[np.ndarray]
) -> Any:
    loss = baseline.loss_of(task, network, batch, noise)
    fetches = (_outputs(network, batch["image"], noise), loss, tf.gradients(loss, variables))
    with tf.compat.v1.Session() as session:
        session.run([variable.assign(value) for variable, value in zip(variables, values)])
        return session.run(fetches)


def main() -> None:
    """Reads a fixture, computes, writes what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", required=True)
    parser.add_argument("--fixture", required=True)
    parser.add_argument("--output", required=True)
    arguments = parser.parse_args()
    with np.load(arguments.fixture, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    np.savez(arguments.output, **run(arguments.task, arrays))


if __name__ == "__main__":
    main()
