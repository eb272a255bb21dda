"""Training: what the engine is given of a session."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Callable, Iterator, Mapping, Sequence, Tuple

from common.data.labelled_images import DatasetSplits
from common.training import loop
from common.training.pictures import drawn_or_told
from common.training.run import Evaluation, Settings
from common.training.torch import runtime as torch_runtime
from common.training.torch.engine import TorchEngine, TorchTraining
from residual_attention_net.evaluation import AccuracyLines, evaluate
from residual_attention_net.losses import mixed_cross_entropy
from residual_attention_net.network.weights import load_weights
from residual_attention_net.network.whitening import whiten_stem
from residual_attention_net.options import Options
from residual_attention_net.recipes import Schedule, make_schedule
from residual_attention_net.session import (
    Session,
    about_weights,
    open_session,
    open_stepper,
    parameter_groups,
    subject_of,
)


def train(options: Options, splits: DatasetSplits, other_classes: bool = False) -> int:
    """Runs a training from start, given weights or checkpoint to the end.

    Args:
        splits: the data of these options.
        other_classes: of the weights of --pth_path a classifier for other classes is left out.

    Returns:
        0, or 128 + the number of the signal that ended the run early.
    """
    try:
        session = open_session(options, splits)
        code = loop.train(
            TorchEngine(
                training_of(session, other_classes),
                session.device,
                session.place,
                session.precision,
                settings_of(session),
                subject_of(session),
            )
        )
        if code == 0 and session.place.rank == 0 and options.pictures_every:
            from residual_attention_net.pictures import write_curves

            drawn_or_told("curves.png", lambda: write_curves(Path(options.output_path)), print)
    finally:
        torch_runtime.leave_process_group()
    return code


def plan_of(session: Session) -> Tuple[int, Schedule]:
    """Steps and learning rates of a run."""
    options, per_epoch = session.options, session.train_loader.batches_per_epoch
    steps = options.train_steps or per_epoch * options.total_epochs
    recipe = session.recipe
    if options.learning_rate is not None:
        recipe = dataclasses.replace(recipe, learning_rate=options.learning_rate)
    global_batch = options.train_batch_size * session.place.world_size
    return steps, make_schedule(recipe, global_batch, per_epoch, steps, options.scale_learning_rate)


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


def training_of(session: Session, other_classes: bool = False) -> TorchTraining:
    """What the engine is given of a session."""
    options, splits = session.options, session.splits
    smoothing = session.recipe.label_smoothing
    evaluated_on = {
        split: session.evaluation_loader(getattr(splits, split))
        for split in ("validation", "test")
        if len(getattr(splits, split))
    }

    def batches(first: int) -> Iterator[Any]:
        epoch, batch = divmod(first, session.train_loader.batches_per_epoch)
        while True:
            yield from session.train_loader.epoch(epoch, batch)
            epoch, batch = epoch + 1, 0

    def evaluated(role: str, step: int, heartbeat: Callable[[], None]) -> Sequence[Evaluation]:
        split = "validation" if role == "progress" else "test"
        if split not in evaluated_on:
            return ()
        loader, device = evaluated_on[split], session.device.device
        found = evaluate(session.network, loader, device, session.forward_context, heartbeat)
        return (found.told(split),)

    def pictures(step: int) -> Mapping[str, bytes]:
        from residual_attention_net.pictures import MASKS, masks_of

        split = "validation" if "validation" in evaluated_on else "train"
        return {MASKS: masks_of(session, split, f"after {step:,} steps")}

    def first_weights() -> Sequence[str]:
        if options.is_pretrain or other_classes:
            return load_weights(session.network, str(options.pth_path), other_classes)
        if session.recipe.whitened_stem:
            whiten_stem(session.network, splits.train.images)
        return ()

    return TorchTraining(
        network=session.network,
        open_stepper=lambda: open_stepper(session),
        about=about_weights(session),
        make_batches=batches,
        loss=lambda model, batch: mixed_cross_entropy(model(batch.inputs), batch, smoothing),
        learning_rate=plan_of(session)[1].at,
        parameter_groups=lambda: parameter_groups(session.network, session.recipe),
        evaluate=evaluated,
        first_weights=first_weights,
        pictures=pictures,
    )
