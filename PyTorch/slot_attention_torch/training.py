"""Trains and evaluates both tasks: what the engine is given of a session."""

from __future__ import annotations

import dataclasses
from typing import Any, Callable, Mapping, Sequence, Tuple

import torch

from common.training import loop
from common.training.evaluation_run import Files, output_folder
from common.training.run import Evaluation
from common.training.stored_weights import find_weights
from common.training.torch import optimizers
from common.training.torch import session as torch_session
from common.training.torch import step as torch_step
from common.training.torch.engine import TorchEngine, TorchTraining
from common.training.torch.session import Evaluator
from slot_attention.options import OBJECT_DISCOVERY, SceneOptions
from slot_attention.pictures.training import tell_pictures
from slot_attention.scene_run import schedule_of, settings_of, subject_of, warn_of_few_slots
from slot_attention.tasks import FIGURES, PICTURED_IN_TRAINING, evaluation_files, target_rows
from slot_attention_torch import losses
from slot_attention_torch.batches import SceneBatch, ScenePass, training_batches
from slot_attention_torch.session import Session, open_session

Found = Mapping[str, Any]


def run_training(options: SceneOptions) -> int:
    """Trains to the end; returns 0, or 128 + the number of the signal that ended it early."""
    figures = FIGURES[options.task]
    with open_session(options) as session:
        warn_of_few_slots(session)
        settings = settings_of(session)
        about = (session.device, session.place, session.precision, settings, subject_of(session))
        code = loop.train(TorchEngine(training_of(session), *about))
    if code == 0 and session.place.rank == 0 and options.pictures_every:
        tell_pictures(settings.output_path, figures.picture, figures.score)
    return code


def training_of(session: Session) -> TorchTraining:
    """What the engine is given of a session."""
    options, figures = session.options, FIGURES[session.options.task]
    splits = {"progress": session.validation_split, "final": session.test_split}
    passes = {
        role: ScenePass(figures, session, split, options.evaluation_count)
        for role, split in splits.items()
    }

    def groups() -> Any:
        return [{"params": list(session.network.parameters())}]

    def open_stepper() -> torch_step.Stepper:
        return torch_step.make_stepper(
            session.network,
            optimizers.make_adam(
                session.device, session.precision, groups(), options.learning_rate
            ),
            session.device,
            session.precision,
            session.place.world_size,
            options.clip_gradient_norm or None,
        )

    def loss(model: Any, batch: SceneBatch) -> Tuple[torch.Tensor, Found]:
        found = model(batch.image, batch.slots)
        if options.task == OBJECT_DISCOVERY:
            return losses.reconstruction_loss(batch.image, found["combined"]), found
        targets = batch.target[:, : target_rows(session)]
        return losses.hungarian_huber_loss(targets, found["predictions"]), found

    def evaluated(role: str, step: int, heartbeat: Callable[[], None]) -> Sequence[Evaluation]:
        return [passes["progress" if role == "progress" else "final"].evaluate(heartbeat)]

    def pictures(step: int) -> Mapping[str, bytes]:
        values = passes["progress"].first(PICTURED_IN_TRAINING)
        return {figures.picture: figures.draw(session, values)}

    return TorchTraining(
        network=session.network,
        open_stepper=open_stepper,
        about={"network": session.choice.described(), "task": options.task},
        make_batches=lambda first: training_batches(session, figures, first),
        loss=loss,
        learning_rate=schedule_of(session).at,
        parameter_groups=groups,
        evaluate=evaluated,
        pictures=pictures,
        diagnostics=losses.diagnostics,
    )


def run_evaluation(options: SceneOptions) -> int:
    """Evaluates --checkpoint_dir and writes what came out; returns the exit code."""
    checkpoint, figures = str(options.checkpoint_dir), FIGURES[options.task]
    found = find_weights(checkpoint)
    folder = output_folder(options.model_dir, checkpoint)
    session = open_session(dataclasses.replace(options, model_dir=folder), found)
    warn_of_few_slots(session)

    def build() -> Evaluator:
        count = None if options.full_eval else options.evaluation_count
        scenes = ScenePass(figures, session, session.test_split, count)

        def files(result: Evaluation) -> Files:
            return evaluation_files(figures, session, found.step, result, scenes.first)

        return Evaluator(session.network, scenes.evaluate, files)

    return torch_session.run_evaluation(session, folder, subject_of(session), found.step, build)
