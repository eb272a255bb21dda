"""Trains a network from start or checkpoint to the end."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any, Callable, Iterator, Mapping, Sequence, Tuple

import torch

from common.data.labelled_images import DatasetSplits
from common.training import loop
from common.training.initial_weights import HE_NORMAL
from common.training.run import Evaluation
from common.training.stored_weights import find_weights
from common.training.torch import optimizers
from common.training.torch import step as torch_step
from common.training.torch.engine import TorchEngine, TorchTraining
from common.training.torch.exchanged import draw_initial_weights
from common.training.torch.reading import on_device, read_ahead
from common.training.torch.runtime import TorchDevice
from protoattend.data.batches import Batches, first_batches_sha256
from protoattend.network.parts import Attended, Losses
from protoattend.runs import architecture_of, schedule_of, settings_of, subject_of
from protoattend.splits import Splits
from protoattend_torch.network import PrototypeNetwork, kernel_penalty, losses_of
from protoattend_torch.options import Options
from protoattend_torch.passes import passes_of
from protoattend_torch.session import MODEL, Session, load_weights, open_session


@dataclasses.dataclass(frozen=True)
class Batch:
    """A step's images of bytes (B, H, W, C) with labels (B,); candidates may be none."""

    images: torch.Tensor
    labels: torch.Tensor
    candidates: torch.Tensor
    candidate_labels: torch.Tensor


def run_training(options: Options, dataset: DatasetSplits) -> int:
    """Trains; returns 0, or 128 + the number of the signal that ended the run early."""
    encoder = find_weights(options.encoder_checkpoint) if options.encoder_checkpoint else None
    with open_session(options, dataset) as session:
        place, architecture = session.place, architecture_of(options, dataset)
        network = PrototypeNetwork(
            architecture,
            options.alpha_intermediate,
            options.freeze_encoder,
            options.detach_attention,
        )
        draw_initial_weights(network, options.random_seed, HE_NORMAL)
        if encoder is not None:
            load_weights(network, encoder, encoder_alone=True)
        network = session.placed(network).train()
        batches = Batches(dataset.train, options, place.rank, place.world_size)
        peak = schedule_of(options, dataset, place.world_size).peak
        subject = subject_of(MODEL, options, dataset, architecture, initial_learning_rate=peak)
        engine = TorchEngine(
            training_of(session, network, batches),
            session.device,
            place,
            session.precision,
            settings_of(options, dataset, place.world_size),
            dataclasses.replace(subject, first_batches_sha256=first_batches_sha256(batches)),
        )
        return loop.train(engine)


def training_of(session: Session, network: PrototypeNetwork, batches: Batches) -> TorchTraining:
    """What the engine is given."""
    options, device, ranks = session.options, session.device, session.place.world_size
    schedule = schedule_of(options, session.dataset, ranks)
    splits = Splits(options, session.dataset, session.say)
    passes = passes_of(session, network, splits)

    weights = [weight for weight in network.parameters() if weight.requires_grad]

    def open_stepper() -> torch_step.Stepper:
        optimizer = optimizers.make_adam(device, session.precision, weights, schedule.peak)
        about = (network, optimizer, device, session.precision, ranks)
        return torch_step.make_stepper(*about, max_gradient_value=options.gradient_thresh)

    def loss(model: Any, batch: Batch) -> Tuple[torch.Tensor, Any]:
        attended = Attended(*model(batch.images, batch.candidates))
        labels = batch.labels.long()
        losses = losses_of(attended, labels, options.epsilon_sparsity)
        total = losses.total(options.sparsity_weight)
        if options.l2_weight and not options.freeze_encoder:
            total = total + kernel_penalty(network, options.l2_weight)
        return total, (attended, losses, labels)

    def evaluated(role: str, step: int, heartbeat: Callable[[], None]) -> Sequence[Evaluation]:
        passes.fill()
        return splits.evaluate(role, passes.decide)

    def pictures(step: int) -> Mapping[str, bytes]:
        passes.fill()
        return splits.pictures(passes.decide)

    return TorchTraining(
        network=network,
        open_stepper=open_stepper,
        about={"network": network.architecture.described()},
        make_batches=lambda first: make_batches(batches, first, device),
        loss=loss,
        learning_rate=schedule.at,
        parameter_groups=lambda: [{"params": weights}],
        evaluate=evaluated,
        pictures=pictures,
        diagnostics=lambda found: _diagnostics(*found),
    )


def make_batches(batches: Batches, first: int, device: TorchDevice) -> Iterator[Batch]:
    """This rank's batches from a step on; the next ones are made while a step runs."""
    for arrays in read_ahead(batches.batch, itertools.count(first)):
        yield Batch(**on_device(arrays, device))


def _diagnostics(
    attended: Attended, losses: Losses, labels: torch.Tensor
) -> Mapping[str, torch.Tensor]:
    """Scalars that tell how training goes: accuracies, terms, how many prototypes decide."""

    def accuracy(logits: torch.Tensor) -> torch.Tensor:
        return (logits.argmax(-1) == labels).float().mean()

    return {
        "batch_encoder_accuracy": accuracy(attended.own),
        "batch_accuracy": accuracy(attended.mixed),
        "sparsity": losses.sparsity.detach(),
        "prototypes_used": (attended.weights > 0).float().sum(-1).mean(),
        "largest_weight": attended.weights.max(-1)[0].mean(),
    }
