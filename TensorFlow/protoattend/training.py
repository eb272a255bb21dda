"""Trains a network from start or checkpoint to the end."""

from __future__ import annotations

from pathlib import Path

from common.training import loop
from common.training.run import Settings, Subject
from common.training.tensorflow import runtime as tf_runtime
from common.training.tensorflow.engine import TensorFlowEngine
from common.training.tensorflow.stored_weights import find_weights
from protoattend.building import build_training
from protoattend.data.batches import make_batches
from protoattend.data.datasets import DatasetSplits
from protoattend.data.streams import BatchPlan, first_batches_sha256
from protoattend.network.architecture import Architecture
from protoattend.options import Options
from protoattend.recipe import epoch_steps, initial_learning_rate, training_steps
from protoattend.session import MODEL, TASK, Session, open_session

SECONDS_OF_A_MINUTE = 60.0


def run_training(options: Options, dataset: DatasetSplits) -> int:
    """Trains; returns 0, or 128 + the number of the signal that ended the run early."""
    encoder = find_weights(options.encoder_checkpoint) if options.encoder_checkpoint else None
    session = open_session(options, dataset)
    try:
        architecture = session.architecture()
        plan = batch_plan(session)
        return loop.train(
            TensorFlowEngine(
                build_training(session, architecture, encoder),
                make_batches(session.dataset.train, plan),
                session.device,
                session.precision,
                settings_of(session),
                subject_of(session, architecture, plan),
            )
        )
    finally:
        tf_runtime.close_device(session.device)


def batch_plan(session: Session) -> BatchPlan:
    """What the batches of this rank consist of."""
    options, place = session.options, session.place
    return BatchPlan(
        options.batch_size,
        options.example_cand_size,
        options.random_seed,
        place.rank,
        place.world_size,
        options.shuffle,
        options.exclude_queries,
        options.augment,
        options.flip,
    )


def settings_of(session: Session) -> Settings:
    """How training goes, from the flags."""
    options = session.options
    return Settings(
        output_path=Path(options.folder),
        steps=training_steps(session),
        batch_size=options.batch_size,
        seed=options.random_seed,
        log_every=options.display_step,
        diagnostics_every=options.display_step,
        pictures_every=options.pictures_every,
        evaluate_every=options.val_step,
        checkpoint_every=options.save_step,
        checkpoint_seconds=options.checkpoint_minutes * SECONDS_OF_A_MINUTE,
        keep=options.keep_checkpoints,
        epoch_steps=epoch_steps(session),
        resume=options.resume,
        profile=options.profiling,
        dump_tensors=options.dump_tensors,
        dump_from=options.dump_from,
    )


def subject_of(session: Session, architecture: Architecture, plan: BatchPlan) -> Subject:
    """What the run log and the checkpoints say of the run."""
    config = dict(
        session.options.config(),
        dataset=session.dataset.name,
        initial_learning_rate=initial_learning_rate(session),
    )
    return Subject(
        MODEL,
        TASK,
        MODEL,
        architecture.described(),
        session.dataset_record(),
        config,
        first_batches_sha256(session.dataset.train, plan),
    )
