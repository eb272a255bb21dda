"""What a training is made of: first weights, attention, rates, candidates, passes, folders."""

from __future__ import annotations

import shutil
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from common.core.errors import UsageError, ZooError
from common.data.labelled_images import LabelledImages
from common.training.flags import COSINE
from common.training.initial_weights import HE_NORMAL
from common.training.schedule import Schedule
from common.training.tensorflow.runtime import tf
from common.training.tensorflow.weights import draw_initial_weights, named_weights
from protoattend.building import attend
from protoattend.network.architecture import SMALL, SOFTMAX, SPARSEMAX, Architecture
from protoattend.network.attention import attention_logits, attention_weights
from protoattend.network.prototype_network import Encoded, PrototypeNetwork, standardised
from protoattend.options import TRAIN, parse_options
from protoattend.passes import PrototypePasses
from protoattend.platform_folders import on_platform
from protoattend.runs import schedule_of, settings_of
from protoattend.splits import evaluated_tests

pytestmark = pytest.mark.tensorflow

# Attention and first weights


def encoded(seed, count):
    generator = np.random.RandomState(seed)
    keys, queries = (generator.uniform(0, 2, (count, 16)) for _ in range(2))
    values = generator.standard_normal((count, 64))
    return Encoded(*(tf.constant(part, tf.float32) for part in (keys, queries, values)), [])


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_alpha_is_the_share_of_the_mixed_values_as_in_the_reference(share):
    with tf.Graph().as_default(), tf.Session() as session:
        network = PrototypeNetwork(Architecture(encoder=SMALL))
        found = attend(network, encoded(0, 4), encoded(1, 9), share)
        session.run(tf.global_variables_initializer())
        values = session.run(found._asdict())
    # The classifier is linear and has no bias.
    expected = (1 - share) * values["own"] + share * values["mixed"]
    assert np.abs(values["joint"] - expected).max() < 1e-5
    assert np.abs(values["own"] - values["mixed"]).max() > 0.1


def test_queries_that_are_one_anothers_candidates_never_attend_to_themselves():
    with tf.Graph().as_default(), tf.Session() as session:
        network, same = PrototypeNetwork(Architecture(encoder=SMALL)), encoded(1, 6)
        same = same._replace(queries=same.keys)  # each is nearest to itself
        weights = session.run(attend(network, same, same, 0.5, exclude_self=True).weights)
    assert np.array_equal(np.diag(weights), np.zeros(6))
    assert np.abs(weights.sum(axis=1) - 1).max() < 1e-6


def test_convolutions_begin_he_normal_and_heads_glorot():
    with tf.Graph().as_default(), tf.Session() as session:
        network = PrototypeNetwork(Architecture())
        draw_initial_weights(session, network, 1, HE_NORMAL)
        values = session.run(named_weights(network))
    assert values["encoder/entry/kernel"].shape == (3, 3, 1, 16)
    for path, value in values.items():
        if value.ndim == 4:
            assert abs(value.std() / np.sqrt(2 / np.prod(value.shape[:3])) - 1) < 0.15, path
    head = values["representation/kernel"]
    assert np.abs(head).max() <= np.sqrt(6 / sum(head.shape))


# Steps and rates


def planned(what, *words, world_size=1):
    return what(parse_options(TRAIN, list(words)), SimpleNamespace(train=range(1000)), world_size)


def test_ranks_epochs_and_parity_decide_rates_and_steps():
    def steps(*words, world_size=1):
        return planned(settings_of, *words, world_size=world_size).steps

    words = "--decay=cosine", "--num_steps=100", "--warmup_steps=10"
    found = planned(schedule_of, *words, world_size=4)
    assert found == Schedule(2e-3, 10, COSINE, 0.9, 2000, 100)
    unscaled = planned(schedule_of, "--scale_learning_rate=false", world_size=4)
    assert unscaled.peak == 1e-3
    words = "--batch_size", "10", "--train_epochs", "3"
    assert (steps(*words), steps(*words, world_size=2)) == (300, 150)
    assert steps() - steps("--parity") == 1


# Passes


def images(count, seed, size=12):
    draws = np.random.RandomState(seed)
    pixels = draws.randint(0, 256, (count, size, size, 1)).astype(np.uint8)
    return LabelledImages(pixels, draws.randint(0, 4, count).astype(np.int32))


def decided(batch, normalization=SPARSEMAX, scale=1.0):
    """19 decisions with 23 candidates."""
    with tf.Graph().as_default(), tf.Session() as session:
        architecture = Architecture("small", (12, 12, 1), 4, normalization=normalization)
        network = PrototypeNetwork(architecture)
        passes = PrototypePasses(network, images(23, 1), batch, scale)
        session.run(tf.local_variables_initializer())
        draw_initial_weights(session, network, 5)
        passes.fill(session)
        return passes.decide(session, images(19, 2))


def decided_at_once(normalization):
    """The same by the operations of training, in one piece, and the attention's weights."""
    with tf.Graph().as_default(), tf.Session() as session:
        network = PrototypeNetwork(Architecture("small", (12, 12, 1), 4))
        queries, candidates = (
            network.encode(standardised(tf.constant(images(*which).images)), False)
            for which in ((19, 2), (23, 1))
        )
        logits = attention_logits(queries.queries, candidates.keys)
        weights = attention_weights(logits, normalization)
        draw_initial_weights(session, network, 5)
        found = {
            "own_logits": network.classify(queries.values),
            "mixed_logits": network.classify(tf.matmul(weights, candidates.values)),
            "class_weights": tf.matmul(weights, tf.one_hot(images(23, 1).labels, 4)),
        }
        return session.run([found, weights])


@pytest.mark.parametrize("normalization", [SPARSEMAX, SOFTMAX])
def test_batches_and_their_padding_change_nothing(normalization):
    wanted, weights = decided_at_once(normalization)
    ordered = np.sort(weights, axis=1)[:, ::-1]
    for batch in (7, 19, 64):
        found = decided(batch, normalization)
        assert np.array_equal(found.labels, images(19, 2).labels)
        for name, value in wanted.items():
            assert np.abs(getattr(found, name) - value).max() < 3e-5
    # Prototypes are the heaviest candidates, counted as the reference counts them.
    assert np.abs(found.top_weights - ordered[:, :8]).max() < 1e-6
    chosen = np.take_along_axis(weights, found.top_candidates, axis=1)
    assert np.abs(chosen - found.top_weights).max() < 1e-6
    reached = np.cumsum(ordered, axis=1)
    for column, share in enumerate((0.5, 0.9, 0.95)):
        counts = weights.shape[1] + 1 - (reached > share).sum(axis=1)
        assert np.array_equal(found.prototype_counts[:, column], counts)


def test_the_reference_leaves_out_test_images_that_fill_no_batch():
    def tests(*words):
        return evaluated_tests(parse_options(TRAIN, list(words)), images(45, 0, 8))

    drop = "--drop_test_tail"
    assert len(tests("--batch_size", "16")) == 45
    assert len(tests("--batch_size", "16", drop)) == 32
    with pytest.raises(UsageError, match="leaves none of 45 test images"):
        tests("--batch_size", "64", drop)


# ModelArts: data comes from object storage, results go there, after errors too


def platform_options(result, target, *words):
    own = ["--platform", "modelarts", "--result", str(result), "--obs_dir", str(target)]
    return parse_options(TRAIN, own + list(words))


def test_results_are_copied_after_errors_too_beside_what_is_there(tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "other").write_text("theirs")
    options = platform_options(tmp_path / "result", tmp_path / "kept")
    with pytest.raises(ValueError), on_platform(options) as found:
        assert found.folder == str(tmp_path / "result")
        (tmp_path / "result" / "ckpt").mkdir()
        (tmp_path / "result" / "ckpt" / "weights").write_text("1")
        raise ValueError
    assert (tmp_path / "kept" / "ckpt" / "weights").read_text() == "1"
    assert (tmp_path / "kept" / "other").read_text() == "theirs"


def test_object_storage_is_copied_by_the_platforms_library(tmp_path, monkeypatch):
    remote = {"obs://bucket/data": tmp_path / "remote_data", "obs://bucket/log": tmp_path / "log"}
    (tmp_path / "remote_data").mkdir()
    (tmp_path / "remote_data" / "images").write_text("1")
    words = tmp_path / "cache" / "result", "obs://bucket/log", "--data_url", "obs://bucket/data"
    here = tmp_path / "kept"
    for missing in (words, words[:2], (words[0], here, *words[2:])):
        with pytest.raises(ZooError, match="needs moxing"), on_platform(platform_options(*missing)):
            pytest.fail("a training that could not hand over its results has begun")

    def copy_parallel(source, target):
        shutil.copytree(str(remote.get(source, source)), str(remote.get(target, target)))

    moxing = SimpleNamespace(file=SimpleNamespace(copy_parallel=copy_parallel))
    monkeypatch.setitem(sys.modules, "moxing", moxing)
    with on_platform(platform_options(*words)) as options:
        assert (tmp_path / "cache" / "dataset" / "images").exists()
        assert options.data_url == str(tmp_path / "cache" / "dataset")
        (tmp_path / "cache" / "result" / "weights").write_text("1")
    assert (tmp_path / "log" / "weights").exists()
