"""The variables of a graph: by attribute path, as arrays, and all of them in a checkpoint."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Tuple

import numpy as np

from common.core.errors import InfrastructureError, ZooError, first_line
from common.training.initial_weights import GLOROT_UNIFORM, initial_value
from common.training.stored_weights import PREFIX, StoredWeights
from common.training.tensorflow.runtime import tf

_OF_ALL_STEPS = ("beta1_power", "beta2_power")


# --- by name ---------------------------------------------------------------------------------


def named_weights(layer: tf.keras.layers.Layer) -> Dict[str, tf.Variable]:
    """The weights below a layer by attribute path: "slot_attention/gru/kernel".

    In a Sequential the path counts the layers that have weights: "mlp/layer_with_weights-0/bias",
    as in the reference's checkpoints.
    """
    found: Dict[str, tf.Variable] = {}
    for name, part in _parts(layer):
        for path, weight in named_weights(part).items():
            found[f"{name}/{path}"] = weight
    # tf.Variable is no common base of the variables of all versions: identity tells.
    own = {id(weight) for weight in layer.weights}
    for name, value in vars(layer).items():
        if id(value) in own and not name.startswith("_"):
            found[name] = value
    return found


def _parts(layer: tf.keras.layers.Layer) -> Iterator[Tuple[str, tf.keras.layers.Layer]]:
    if isinstance(layer, tf.keras.Sequential):
        with_weights = [part for part in layer.layers if part.weights]
        for index, part in enumerate(with_weights):
            yield f"layer_with_weights-{index}", part
        return
    for name, value in vars(layer).items():
        if isinstance(value, tf.keras.layers.Layer) and not name.startswith("_"):
            yield name, value


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


# --- as arrays -------------------------------------------------------------------------------


def read_variables(session: Any, variables: Mapping[str, Any]) -> Dict[str, np.ndarray]:
    """The values of variables by the same names."""
    return {name: np.array(value) for name, value in session.run(dict(variables)).items()}


def put_variables(
    session: Any, variables: Mapping[str, Any], values: Mapping[str, np.ndarray]
) -> None:
    """Gives variables values without adding to the graph: as if these had been their first."""
    initializers = {name: variable.initializer for name, variable in variables.items()}
    session.run(
        list(initializers.values()),
        feed_dict={initializers[name].inputs[1]: values[name] for name in initializers},
    )


def draw_initial_weights(
    session: Any, network: Any, seed: int, convolutions: str = GLOROT_UNIFORM
) -> None:
    """Gives every weight of a network its first value; see initial_weights.initial_value."""
    session.run(
        [
            weight.assign(initial_value(path, tuple(weight.shape.as_list()), seed, convolutions))
            for path, weight in named_weights(network).items()
        ]
    )


def load_stored(
    session: Any, stored: StoredWeights, weights: Mapping[str, Any], advice: str
) -> None:
    """Gives variables, by the key of what they are to get, the stored values; see `values`."""
    shapes = {key: weight.shape.as_list() for key, weight in weights.items()}
    values = stored.values(shapes, advice)
    session.run([weight.assign(values[key]) for key, weight in weights.items()])


# --- in a checkpoint -------------------------------------------------------------------------


@contextlib.contextmanager
def plain_path(path: Path) -> Iterator[str]:
    """A path of the same file or prefix that TensorFlow does not take for a pattern.

    Where a folder's name has brackets, stars or the like, the way goes through a link.
    """
    path = Path(path)
    if not set(str(path)) & set("[]*?\\"):
        yield str(path)
        return
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / "link"
        link.symlink_to(path.parent.resolve(), target_is_directory=True)
        yield str(link / path.name)


class Variables:
    """All global variables of the default graph, saved by attribute path where they have one.

    The network is `network`, the step `global_step`, as in tf.train.Checkpoint(network=…,
    global_step=…); all others (the optimizer's, the loss scale…) are in `training` by name.
    Make it when the graph is complete and before variables are initialised.
    """

    def __init__(self, network: Any, global_step: Any) -> None:
        known = {id(variable) for variable in network.variables} | {id(global_step)}
        others = {
            variable.op.name: variable
            for variable in tf.global_variables()
            if id(variable) not in known
        }
        self._checkpoint = tf.train.Checkpoint(
            network=network, global_step=global_step, training=tf.train.Checkpoint(**others)
        )
        # Made now: restoring would make it later, after everything has been initialised.
        self._counter = self._checkpoint.save_counter

    def described(self) -> Dict[str, List[Any]]:
        """Name, shape and type of every variable."""
        return {
            variable.op.name: [variable.shape.as_list(), variable.dtype.base_dtype.name]
            for variable in tf.global_variables()
        }

    def write(self, session: Any, folder: Path) -> None:
        """Writes all variables to files in a folder.

        Raises:
            InfrastructureError: the disk is full or read-only.
        """
        try:
            with plain_path(folder / PREFIX) as prefix:
                self._checkpoint.write(prefix, session=session)
        except tf.errors.OpError as error:
            raise InfrastructureError(
                f"checkpoint {folder} can't be written: {first_line(error)}; free space or give "
                "another --output_path"
            ) from error

    def restore(self, session: Any, path: Path, state: Mapping[str, Any]) -> None:
        """Restores every variable; run no initialiser of global variables before or after.

        Raises:
            ZooError: the checkpoint is of another network or another optimizer.
        """
        there, here = state.get("variables", {}), self.described()
        for name in sorted(set(there) | set(here)):
            if there.get(name) != here.get(name):
                raise ZooError(
                    f"checkpoint {path} has variable {name} as {there.get(name)}, this run as "
                    f"{here.get(name)}; give the flags it was made with, or another --output_path"
                )
        with plain_path(Path(path) / PREFIX) as prefix:
            status = self._checkpoint.restore(prefix)
            status.assert_existing_objects_matched()
            status.run_restore_ops(session)
