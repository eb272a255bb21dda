"""How long and at what rate a run trains."""

from __future__ import annotations

from typing import Any

from common.training.tensorflow.of_step import (
    rate_for_ranks,
    warmup_cosine_decay,
    warmup_exponential_decay,
)
from protoattend.options import COSINE
from protoattend.session import Session


def initial_learning_rate(session: Session) -> float:
    """--init_learning_rate; see schedule.rate_for_ranks for --scale_learning_rate."""
    options = session.options
    return rate_for_ranks(
        options.init_learning_rate, options.scale_learning_rate, session.place.world_size
    )


def learning_rate(session: Session, step: Any) -> Any:
    """The learning rate of a step, in the graph: it decays continuously, by --decay."""
    options, base = session.options, initial_learning_rate(session)
    if options.decay == COSINE:
        return warmup_cosine_decay(step, base, options.warmup_steps, training_steps(session))
    return warmup_exponential_decay(
        step, base, options.warmup_steps, options.decay_rate, options.decay_every
    )


def epoch_steps(session: Session) -> int:
    """Optimizer steps of one pass over the training images."""
    global_batch = session.options.batch_size * session.place.world_size
    return max(1, len(session.dataset.train) // global_batch)


def training_steps(session: Session) -> int:
    """Optimizer steps in all: --num_steps, or --train_epochs passes over the data."""
    options = session.options
    if options.train_epochs is not None:
        return options.train_epochs * epoch_steps(session)
    return max(1, options.num_steps - int(options.one_step_less))
