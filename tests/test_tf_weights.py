"""A TensorFlow network's weights: by name, drawn by seed, out of a checkpoint, packed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.core.errors import ZooError
from common.training.initial_weights import HE_NORMAL, initial_value
from common.training.stored_weights import (
    OWN,
    PACKED_STATE,
    StoredWeights,
    find_weights,
    read_packed,
    write_packed,
)
from common.training.stored_weights import main as pack
from common.training.tensorflow.runtime import tf
from common.training.tensorflow.weights import load_stored, named_weights
from tests import toy_tensorflow
from tests.toys import Toy

pytestmark = pytest.mark.tensorflow


# --- drawn by seed and name ---


@pytest.mark.parametrize("shape", [(3, 3, 1, 16), (1, 1, 32, 64), (3, 3, 64, 64)])
def test_convolutions_alone_may_be_he_normal_cut_off_at_two_deviations(shape: Any) -> None:
    expected = np.sqrt(2.0 / np.prod(shape[:3]))
    values = initial_value("a/kernel", shape, 0, HE_NORMAL)
    assert values.dtype == np.float32
    assert abs(values.std() / expected - 1) < 0.1
    assert np.abs(values).max() <= 2 * expected / 0.8796 < 1.2 * np.abs(values).max()
    dense = [initial_value("a/kernel", shape[-2:], 0, *more) for more in ((), (HE_NORMAL,))]
    assert np.array_equal(*dense)


# --- out of files ---


def _load(prefix: str, width: int = 4) -> Any:
    """Loads the toy's hidden kernel into a toy of some width; returns its value."""
    with tf.Graph().as_default(), tf.Session() as session:
        network = toy_tensorflow.ToyNetwork(width)
        network(toy_tensorflow.samples())
        weights = named_weights(network).items()
        keyed = {OWN.format(path): weight for path, weight in weights}
        load_stored(session, StoredWeights(prefix), keyed, "give its flags")
        return session.run(network.hidden.kernel)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The last checkpoint of a toy's run."""
    folder = tmp_path_factory.mktemp("toy")
    toy_tensorflow.run_toy(folder, 2)
    return folder / "ckpt/step_00000002"


def test_weights_load_by_attribute_path_from_checkpoints_and_packed_in_16_bits(
    checkpoint: Path, tmp_path: Path
) -> None:
    wanted = Toy("tensorflow").weights(checkpoint)[OWN.format("hidden/kernel")]
    assert np.array_equal(_load(find_weights(str(checkpoint)).prefix), wanted)
    moved = shutil.copytree(str(checkpoint), str(tmp_path / "run [1]"))  # not a pattern
    assert pack([moved, str(tmp_path / "some.npz")]) == 0
    found = find_weights(str(tmp_path / "some.npz"))
    assert (found.step, found.state["network"]["name"]) == (2, "toy")
    assert np.array_equal(_load(found.prefix), wanted.astype(np.float16))
    with np.load(found.prefix) as packed:
        names = ["hidden/kernel", "hidden/bias", "last/kernel", "last/bias", PACKED_STATE]
        assert sorted(packed.files) == sorted(names)


def test_packed_values_too_large_for_16_bits_stay_as_they_are(tmp_path: Path) -> None:
    given = {"variance": np.array([1e6, 0.1], np.float32), "count": np.array([1 << 40])}
    write_packed(tmp_path / "some.npz", {"step": 1}, given)
    state, found = read_packed(tmp_path / "some.npz")
    assert state == {"step": 1} and set(found) == set(given)
    assert all(np.array_equal(found[name], value) for name, value in given.items())
    assert [found[name].dtype for name in given] == [np.float32, np.int64]


def test_weights_of_another_network_are_refused(checkpoint: Path) -> None:
    with pytest.raises(ZooError, match="this network as .*7.*: give its flags"):
        _load(str(checkpoint / "weights"), 7)
    stored = StoredWeights(str(checkpoint / "weights"))
    with pytest.raises(ZooError, match="other/kernel as nothing"):
        stored.values({"other/kernel": [2, 4]}, "")


def test_a_missing_or_damaged_file_or_one_that_needs_pickle_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04 no more")
    np.savez(tmp_path / "objects.npz", **{PACKED_STATE: np.array([{"step": 1}], dtype=object)})
    np.savez(tmp_path / "stateless.npz", kernel=np.zeros(2))
    for name in ("bad.npz", "none.npz", "objects.npz", "stateless.npz", "nothing"):
        with pytest.raises(ZooError, match="can't be read") as caught:
            StoredWeights(str(tmp_path / name))
        assert "\n" not in str(caught.value)
