"""Trains a network from start or checkpoint to the end."""

from __future__ import annotations

import dataclasses
from typing import Any, Callable, Dict

from common.training import loop
from common.training.stored_weights import find_weights
from common.training.tensorflow.engine import TensorFlowEngine
from common.training.tensorflow.runtime import tf
from protoattend.building import build_training
from protoattend.data.batches import Batches, first_batches_sha256
from protoattend.data.datasets import DatasetSplits
from protoattend.options import Options
from protoattend.runs import MODEL, architecture_of, schedule_of, settings_of, subject_of
from protoattend.session import open_session

_PREFETCHED, _FAR_AWAY = 2, 2**62


def run_training(options: Options, dataset: DatasetSplits) -> int:
    """Trains; returns 0, or 128 + the number of the signal that ended the run early."""
    encoder = find_weights(options.encoder_checkpoint) if options.encoder_checkpoint else None
    with open_session(options, dataset) as session:
        rank, ranks = session.place.rank, session.place.world_size
        network, schedule = architecture_of(options, dataset), schedule_of(options, dataset, ranks)
        batches = Batches(dataset.train, options, rank, ranks)
        more = {"initial_learning_rate": schedule.peak}
        subject = subject_of(MODEL, options, dataset, network, **more)
        engine = TensorFlowEngine(
            build_training(session, network, schedule, encoder),
            make_batches(batches),
            session.device,
            session.precision,
            settings_of(options, dataset, ranks),
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
