"""How long and at what rate a run trains."""

from __future__ import annotations

from typing import Any

from common.training.tensorflow.of_step import (
    rate_for_ranks,
    warmup_cosine_decay,
    warmup_exponential_decay,
)
from slot_attention.data.batches import steps_per_epoch
from slot_attention.options import COSINE
from slot_attention.session import Session


def peak_learning_rate(session: Session) -> float:
    """--learning_rate; see schedule.rate_for_ranks for --scale_learning_rate."""
    options = session.options
    return rate_for_ranks(
        options.learning_rate, options.scale_learning_rate, session.place.world_size
    )


def learning_rate(session: Session, step: Any) -> Any:
    """The learning rate of a step, in the graph: warm-up, and a continuous decay by --decay."""
    options = session.options
    if options.decay == COSINE:
        return warmup_cosine_decay(
            step, peak_learning_rate(session), options.warmup_steps, training_steps(session)
        )
    return warmup_exponential_decay(
        step,
        peak_learning_rate(session),
        options.warmup_steps,
        options.decay_rate,
        options.decay_steps,
    )


def epoch_steps(session: Session) -> int:
    """Optimizer steps of one pass over the training scenes."""
    return steps_per_epoch(session.dataset, session.options.batch_size, session.place.world_size)


def training_steps(session: Session) -> int:
    """Optimizer steps in all: --num_train_steps, or --train_epochs passes over the data."""
    if session.options.train_epochs is None:
        return session.options.num_train_steps
    return session.options.train_epochs * epoch_steps(session)
