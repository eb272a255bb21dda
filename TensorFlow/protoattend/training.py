"""Trains a network from start or checkpoint to the end."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Callable, Dict

from common.training import loop
from common.training.run import Settings
from common.training.schedule import Schedule, rate_for_ranks
from common.training.stored_weights import find_weights
from common.training.tensorflow.engine import TensorFlowEngine
from common.training.tensorflow.runtime import tf
from protoattend.building import build_training
from protoattend.data.batches import Batches, first_batches_sha256
from protoattend.data.datasets import DatasetSplits
from protoattend.options import Options
from protoattend.session import Session, open_session

_PREFETCHED, _FAR_AWAY = 2, 2**62


def run_training(options: Options, dataset: DatasetSplits) -> int:
    """Trains; returns 0, or 128 + the number of the signal that ended the run early."""
    encoder = find_weights(options.encoder_checkpoint) if options.encoder_checkpoint else None
    with open_session(options, dataset) as session:
        network, schedule, place = session.architecture(), schedule_of(session), session.place
        batches = Batches(dataset.train, options, place.rank, place.world_size)
        subject = session.subject(network, initial_learning_rate=schedule.peak)
        engine = TensorFlowEngine(
            build_training(session, network, schedule, encoder),
            make_batches(batches),
            session.device,
            session.precision,
            settings_of(session),
            dataclasses.replace(subject, first_batches_sha256=first_batches_sha256(batches)),
        )
        return loop.train(engine)


def make_batches(batches: Batches) -> Callable[[int], Any]:
    """Returns a function that gives an endless tf.data.Dataset of batches from a step on."""
    example = batches.batch(0)
    types = [tf.as_dtype(array.dtype) for array in example.values()]

    def tensors(step: Any) -> Dict[str, Any]:
        found = tf.numpy_function(lambda step: [*batches.batch(step).values()], [step], types)
        for tensor, array in zip(found, example.values()):
            tensor.set_shape(array.shape)
        return dict(zip(example, found))

    return lambda first: tf.data.Dataset.range(first, _FAR_AWAY).map(tensors).prefetch(_PREFETCHED)


def schedule_of(session: Session) -> Schedule:
    """The learning rate of a run; see schedule.rate_for_ranks for --scale_learning_rate."""
    options = session.options
    return Schedule(
        rate_for_ranks(
            options.init_learning_rate, options.scale_learning_rate, session.place.world_size
        ),
        options.warmup_steps,
        options.decay,
        options.decay_rate,
        options.decay_every,
        settings_of(session).steps,
    )


def settings_of(session: Session) -> Settings:
    """How training goes, from the flags: --num_steps, or --train_epochs passes over the data."""
    options = session.options
    global_batch = options.batch_size * session.place.world_size
    epoch_steps = max(1, len(session.dataset.train) // global_batch)
    steps = max(1, options.num_steps - int(options.one_step_less))
    return Settings(
        output_path=Path(options.folder),
        steps=steps if options.train_epochs is None else options.train_epochs * epoch_steps,
        batch_size=options.batch_size,
        seed=options.random_seed,
        log_every=options.display_step,
        diagnostics_every=options.display_step,
        pictures_every=options.pictures_every,
        evaluate_every=options.val_step,
        checkpoint_every=options.save_step,
        checkpoint_seconds=options.checkpoint_minutes * 60,
        keep=options.keep_checkpoints,
        epoch_steps=epoch_steps,
        resume=options.resume,
        profile=options.profiling,
        dump_tensors=options.dump_tensors,
        dump_from=options.dump_from,
    )
