"""Both frameworks' networks are one: first weights, batches, draws, steps, dumps, checkpoints."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from slot_training_helpers import evaluation_flags, flags, make_scenes, make_sprites

from common.evidence.divergence.comparing import WITHIN, compare_dumps
from common.runs.dump import find_dump
from common.training.stored_weights import StoredWeights, find_weights
from slot_attention_torch.options import entry_point, parse_options

pytestmark = [pytest.mark.pytorch, pytest.mark.tensorflow, pytest.mark.long]
pytest.importorskip("tensorflow")
torch = pytest.importorskip("torch")

TASKS = ["object_discovery", "set_prediction"]
STEPS, AGREEMENT = 20, 1e-5


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folders = (make(tmp_path_factory.mktemp("data")) for make in (make_sprites, make_scenes))
    return dict(zip(TASKS, folders))


def sister(task, program):
    """The TensorFlow network's entry point."""
    import importlib

    return importlib.import_module(f"slot_attention.{task}.{program}").main


def losses_of_tensorflow(words, task):
    """The losses of steps in float64, on the sister's own parts."""
    from common.training.tensorflow.of_step import scheduled_rate, step_seed
    from common.training.tensorflow.runtime import tf
    from common.training.tensorflow.weights import draw_initial_weights
    from slot_attention import options as own
    from slot_attention.building import drawn_noise, loss_of
    from slot_attention.data.pipeline import scene_batches
    from slot_attention.network.networks import network_of
    from slot_attention.scene_run import schedule_of, training_order
    from slot_attention.session import open_session
    from slot_attention.tasks import FIGURES

    tf.keras.backend.set_floatx("float64")
    options = own.parse_options(task, "train", words)
    try:
        with open_session(options) as session, tf.Graph().as_default(), tf.Session() as running:
            order = training_order(session)
            batches = scene_batches(session.dataset, "train", order, FIGURES[task].fields)
            iterator = tf.data.make_initializable_iterator(batches)
            batch = {
                name: tf.cast(value, tf.float64) for name, value in iterator.get_next().items()
            }
            step = tf.placeholder(tf.int64, [])
            drawn = drawn_noise(
                session.choice.slots, order.batch_size, step_seed(options.seed, step, "slots")
            )
            network = network_of(task, session.choice)
            found = network(batch["image"], tf.cast(drawn, tf.float64))
            loss = loss_of(session, batch, found)
            rate = tf.cast(scheduled_rate(schedule_of(session), step), tf.float64)
            betas = (tf.constant(value, tf.float64) for value in (0.9, 0.999))
            train = tf.train.AdamOptimizer(rate, *betas, epsilon=1e-8).minimize(loss)
            running.run([tf.global_variables_initializer(), iterator.initializer])
            draw_initial_weights(running, network, options.seed)
            return [running.run([loss, train], {step: number})[0] for number in range(STEPS)]
    finally:
        tf.keras.backend.set_floatx("float32")


def losses_of_torch(words, task):
    """The losses of steps in float64, on what the engine is given."""
    from slot_attention_torch.session import open_session
    from slot_attention_torch.training import training_of

    losses = []
    with open_session(parse_options(task, "train", words)) as session:
        training = training_of(session)
        training.network.double()
        stepper = training.open_stepper()
        for step, batch in zip(range(STEPS), training.make_batches(0)):
            parts = {field.name: getattr(batch, field.name) for field in dataclasses.fields(batch)}
            exact = {name: None if one is None else one.double() for name, one in parts.items()}
            for group in stepper.optimizer.param_groups:
                group["lr"] = training.learning_rate(step)
            stepper.zero_grad()
            loss, _ = training.loss(stepper.model, type(batch)(**exact))
            stepper.step(loss)
            losses.append(float(loss.detach()))
    return losses


@pytest.mark.parametrize("task", TASKS)
def test_twenty_steps_in_float64_are_the_same(task, data, tmp_path):
    words = flags(task, data[task], tmp_path, STEPS, "--learning_rate=0.001")
    one, other = losses_of_tensorflow(words, task), losses_of_torch(words, task)
    assert one[-1] != one[0]
    assert np.abs(np.array(other) / np.array(one) - 1).max() < AGREEMENT


@pytest.fixture(scope="module", params=TASKS)
def both(request, data, tmp_path_factory):
    """Runs of both of the same flags, which stored their second step: (task, folders)."""
    task, folder = request.param, tmp_path_factory.mktemp("both")
    mains = {"tensorflow": sister(task, "train"), "torch": entry_point(task, "train")}
    for name, main in mains.items():
        words = flags(task, data[task], folder / name, 3, "--dump_tensors=2", "--warmup_steps=0")
        assert main(words) == 0
    return task, folder


def test_dumps_of_one_step_have_the_same_tensors(both):
    _, folder = both
    dumps = [find_dump(folder / name) for name in ("tensorflow", "torch")]
    one, other = ([(item.kind, item.name) for item in dump.index.tensors] for dump in dumps)
    assert sorted(one) == sorted(other)
    layers = [[name for kind, name in names if kind == "activation"] for names in (one, other)]
    assert layers[0] == layers[1]  # in the same order
    batches = [dump.inputs("batch") for dump in dumps]
    # TensorFlow 1.15 scales pixels by a reciprocal: a rounding less.
    assert all(np.abs(batches[0][name] - batches[1][name]).max() < 3e-7 for name in batches[0])
    for kind in ("weight before", "optimizer", "noise"):
        inputs = [dump.inputs(kind) for dump in dumps]
        assert set(inputs[0]) == set(inputs[1])
    assert np.abs(inputs[0]["slots"] - inputs[1]["slots"]).max() < 1e-6


@pytest.mark.parametrize("source", ["tensorflow", "torch"])
def test_a_step_of_one_repeated_by_the_other_is_within_tolerance(both, source, data, tmp_path):
    task, folder = both
    main = sister(task, "train") if source == "torch" else entry_point(task, "train")
    more = [f"--dump_from={folder / source}", "--warmup_steps=0"]
    assert main(flags(task, data[task], tmp_path, 3, *more)) == 0
    outcome = compare_dumps(find_dump(folder / source), find_dump(tmp_path))
    assert outcome.verdict == WITHIN, (outcome.obstacles, outcome.first)


@pytest.mark.parametrize("trained", ["tensorflow", "torch"])
def test_a_checkpoint_of_one_evaluates_the_same_in_the_other(both, trained, data, tmp_path):
    task, folder = both
    mains = {"tensorflow": sister(task, "eval"), "torch": entry_point(task, "eval")}
    told = {}
    for name, main in mains.items():
        more = f"--checkpoint_dir={folder / trained}"
        assert main(evaluation_flags(task, data[task], tmp_path / name, more)) == 0
        told[name] = json.loads((tmp_path / name / "metrics.json").read_text())
    assert told["tensorflow"]["n"] == told["torch"]["n"] and told["torch"]["step"] == 3
    assert told["torch"]["metrics"] == pytest.approx(told["tensorflow"]["metrics"], abs=1e-4)


def test_the_kept_weights_give_the_same_outputs_in_both():
    import slot_attention
    import slot_attention_torch

    images = np.random.RandomState(0).randint(0, 256, (4, 64, 64, 3)).astype(np.uint8)
    one, other = (module.load(batch=4)(images) for module in (slot_attention, slot_attention_torch))
    assert np.abs(one["predictions"] - other["predictions"]).max() < 1e-4


def test_weights_packed_of_either_are_the_same_file(both, tmp_path):
    from common.training.stored_weights import main as pack

    _, folder = both
    for name in ("tensorflow", "torch"):
        assert pack([str(folder / name), str(tmp_path / f"{name}.npz")]) == 0
        packed = StoredWeights(str(tmp_path / f"{name}.npz")).arrays()
        whole = StoredWeights(find_weights(str(folder / name)).prefix).arrays()
        assert set(packed) == set(whole) and len(packed) > 30
        half = {path: value.astype(np.float16) for path, value in whole.items()}
        assert all(np.array_equal(packed[path], half[path]) for path in whole)
    # TensorFlow 1.15 counts layers under a name of its own.
    one, other = (
        {path.replace("layer-", "layer_with_weights-") for path in files}
        for files in (np.load(tmp_path / f"{name}.npz").files for name in ("tensorflow", "torch"))
    )
    assert one == other
