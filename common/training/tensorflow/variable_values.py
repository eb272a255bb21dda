"""The values of variables as numpy arrays, read and put back to the bit."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping

import numpy as np

from common.training.tensorflow.named_weights import named_weights
from common.training.tensorflow.runtime import tf

_OF_ALL_STEPS = ("beta1_power", "beta2_power")


def optimizer_variables(network: Any) -> Dict[str, Any]:
    """What an optimizer keeps, by names that are the same on all versions: "<weight's path>/Adam".

    A slot's own name begins with that of its weight, which differs between versions of Keras.
    """
    paths = {weight.op.name: path for path, weight in named_weights(network).items()}
    found: Dict[str, Any] = {}
    for variable in tf.global_variables():
        name = variable.op.name
        owner, _, slot = name.rpartition("/")
        if owner in paths:
            found[f"{paths[owner]}/{slot}"] = variable
        elif name in _OF_ALL_STEPS:
            found[name] = variable
    return {name: found[name] for name in sorted(found)}


def read_variables(session: Any, variables: Mapping[str, Any]) -> Dict[str, np.ndarray]:
    """The values of variables by the same names."""
    return {name: np.array(value) for name, value in session.run(dict(variables)).items()}


def put_variables(
    session: Any, variables: Mapping[str, Any], values: Mapping[str, np.ndarray]
) -> None:
    """Gives variables values without adding to the graph: as if these had been their first."""
    operations: List[Any] = []
    feeds: Dict[Any, np.ndarray] = {}
    for name, variable in variables.items():
        operations.append(variable.initializer)
        feeds[variable.initializer.inputs[1]] = values[name]
    session.run(operations, feed_dict=feeds)
