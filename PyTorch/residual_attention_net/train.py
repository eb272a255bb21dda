"""Trains a Residual Attention Network: python -m residual_attention_net.train --help."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Callable, Iterator, Mapping, Optional, Sequence, Tuple

from common.core.command_line import run_program
from common.training import loop
from common.training.pictures import drawn_or_told
from common.training.run import Evaluation, Settings
from common.training.torch import runtime as torch_runtime
from common.training.torch.engine import TorchEngine, TorchTraining
from residual_attention_net.evaluation import AccuracyLines, evaluate
from residual_attention_net.losses import mixed_cross_entropy
from residual_attention_net.network.reference_weights import LoadReport
from residual_attention_net.options import Options, parse_options
from residual_attention_net.recipes import Schedule, make_schedule
from residual_attention_net.run_pictures import masks_of, write_curves
from residual_attention_net.session import (
    Session,
    about_weights,
    open_session,
    open_stepper,
    parameter_groups,
    subject_of,
)
from residual_attention_net.weights import load_weights

LoadFirst = Callable[[Session], LoadReport]


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Trains, or with --is_train=false evaluates; returns the exit code."""
    options = parse_options("train", argv)
    if not options.is_train:
        from residual_attention_net.evaluate import evaluate_weights

        return evaluate_weights(options)
    return train(options, _pretrained if options.is_pretrain else None)


def _pretrained(session: Session) -> LoadReport:
    return load_weights(session.network, str(session.options.pth_path))


def train(options: Options, load_first: Optional[LoadFirst] = None) -> int:
    """Runs a training from start or checkpoint to the end.

    Args:
        load_first: loads first weights into the session's network, unless a checkpoint does.

    Returns:
        0, or 128 + the number of the signal that ended the run early.
    """
    try:
        session = open_session(options)
        code = loop.train(
            TorchEngine(
                training_of(session, load_first),
                session.device,
                session.place,
                session.precision,
                settings_of(session),
                subject_of(session),
            )
        )
        if code == 0 and session.is_first and options.pictures_every:
            drawn_or_told("curves.png", lambda: write_curves(Path(options.output_path)), print)
    finally:
        torch_runtime.leave_process_group()
    return code


def plan_of(session: Session) -> Tuple[int, Schedule]:
    """Steps and learning rates of a run."""
    options, per_epoch = session.options, session.train_loader.batches_per_epoch
    steps = options.train_steps or per_epoch * options.total_epochs
    recipe = (
        session.recipe
        if options.learning_rate is None
        else dataclasses.replace(session.recipe, learning_rate=options.learning_rate)
    )
    return steps, make_schedule(
        recipe, session.global_batch, per_epoch, steps, options.scale_learning_rate
    )


def settings_of(session: Session) -> Settings:
    """How training goes, from the flags, where what comes every so often counts epochs."""
    options, per_epoch = session.options, session.train_loader.batches_per_epoch
    return Settings(
        output_path=Path(options.output_path),
        steps=plan_of(session)[0],
        batch_size=options.train_batch_size,
        seed=options.seed,
        log_every=options.log_every,
        diagnostics_every=0,
        pictures_every=options.pictures_every * per_epoch,
        evaluate_every=options.evaluate_every * per_epoch,
        checkpoint_every=per_epoch,
        checkpoint_seconds=60.0 * options.checkpoint_minutes,
        keep=options.keep_checkpoints,
        epoch_steps=per_epoch,
        resume=options.resume,
        profile=options.profiling,
        dump_tensors=options.dump_tensors,
        dump_from=options.dump_from,
        lines=AccuracyLines,
    )


def training_of(session: Session, load_first: Optional[LoadFirst] = None) -> TorchTraining:
    """What the engine is given of a session."""
    smoothing = session.recipe.label_smoothing

    def batches(first: int) -> Iterator[Any]:
        epoch, batch = divmod(first, session.train_loader.batches_per_epoch)
        while True:
            yield from session.train_loader.epoch(epoch, batch)
            epoch, batch = epoch + 1, 0

    def evaluated(role: str, step: int, heartbeat: Callable[[], None]) -> Sequence[Evaluation]:
        split = "validation" if role == "progress" else "test"
        loader = session.validation_loader if role == "progress" else session.test_loader
        if loader is None:
            return ()
        context = session.stepper.forward_context
        classes = session.network.num_classes
        device = session.device.device
        found = evaluate(session.network, loader, device, classes, context, heartbeat)
        return (found.told(split),)

    def pictures(step: int) -> Mapping[str, bytes]:
        split = "validation" if len(session.splits.validation) else "train"
        return masks_of(session, getattr(session.splits, split), split, f"after {step:,} steps")

    return TorchTraining(
        network=session.network,
        open_stepper=lambda: open_stepper(session),
        about=about_weights(session),
        make_batches=batches,
        loss=lambda model, batch: mixed_cross_entropy(model(batch.inputs), batch, smoothing),
        learning_rate=plan_of(session)[1].at,
        parameter_groups=lambda: parameter_groups(session.network, session.recipe),
        evaluate=evaluated,
        first_weights=None if load_first is None else lambda: load_first(session).lines(),
        pictures=pictures,
    )


if __name__ == "__main__":
    run_program(main)
