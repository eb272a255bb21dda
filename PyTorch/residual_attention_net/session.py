"""Opens what a run needs: device, ranks, data, network, optimizer."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import torch
from torch import nn

from common.cards.model_card import read_card
from common.core.errors import UsageError
from common.data.labelled_images import DatasetSplits, LabelledImages
from common.machine.devices import choose_device, detect
from common.machine.precision import Precision, default_mode, resolve, with_loss_scale
from common.machine.ranks import Place, find_place, under_slurm
from common.training.run import Subject
from common.training.torch import optimizers
from common.training.torch import runtime as torch_runtime
from common.training.torch import session as torch_session
from common.training.torch import step as torch_step
from common.training.torch.ranks import synchronise_batch_norm
from common.training.torch.runtime import TorchDevice
from common.training.torch.step import Stepper
from residual_attention_net.data.augment import memory_format
from residual_attention_net.data.datasets import dataset_of
from residual_attention_net.data.draws import Augmentation
from residual_attention_net.data.loader import DeviceLoader, EvaluationLoader, TrainingLoader
from residual_attention_net.network.model import (
    Complexity,
    ResidualAttentionNetwork,
    build_network,
    measure_complexity,
)
from residual_attention_net.network.weights import network_identity
from residual_attention_net.options import Options, with_network
from residual_attention_net.recipes import RECIPES, Recipe, mixup_epochs

MODEL, TASK = "residual_attention_net", "classification"
CARD = Path(__file__).resolve().parent / "model.yaml"
MIRRORING_CHANGES_CLASS = ("digits",)


@dataclasses.dataclass(frozen=True)
class Session(torch_session.Session):
    """One rank's side of a run that is ready to begin."""

    recipe: Recipe
    splits: DatasetSplits
    network: ResidualAttentionNetwork
    complexity: Complexity
    channels_last: bool
    train_loader: Any = None

    def evaluation_loader(self, images: LabelledImages) -> EvaluationLoader:
        """This rank's share of a split, in batches of one shape where a device wants that."""
        return EvaluationLoader(
            images,
            self.options.test_batch_size,
            self.device.device,
            self.place.rank,
            self.place.world_size,
            channels_last=self.channels_last,
            pad_last=self.device.kind != "cpu",
        )


def open_session(
    options: Options, splits: Optional[DatasetSplits] = None, training: bool = True
) -> Session:
    """Opens device, process group, network and loader; the stepper comes after weights.

    Args:
        splits: the data of these options, where it was read already.
        training: False leaves out what only training needs.

    Raises:
        ZooError: a device, a precision mode or a dataset that can't be had.
    """
    if splits is None:
        options = with_network(options)
        splits = dataset_of(options)
    os.environ.update(under_slurm(os.environ))
    place = find_place(os.environ, options.device_id, options.device_num)
    mode = options.precision_mode or options.opt_level
    device, precision = open_device(options.device_type, place, mode, options.loss_scale)
    if place.world_size > 1:
        torch_runtime.init_process_group(
            device, place.rank, place.world_size, options.dist_url or "env://"
        )
    torch_runtime.seed_everything(options.seed, device)
    if place.rank == 0:
        for notice in splits.notices:
            print(f"note: {notice}", flush=True)
    classes = options.num_classes or len(splits.class_names)
    network = build_network(
        str(options.network), classes, options.spatial_dims, splits.train.channels
    )
    complexity = measure_complexity(network)
    channels_last = options.channels_last
    if channels_last is None:
        channels_last = torch_runtime.channels_last_pays(device.kind)
    network = torch_runtime.place_model(network, device, precision)
    if channels_last:
        network = network.to(memory_format=memory_format(options.spatial_dims, True))
    if options.sync_batch_norm:
        network = synchronise_batch_norm(network, device.device)
    recipe = RECIPES[options.recipe]
    session = Session(
        options, device, precision, place, recipe, splits, network, complexity, channels_last
    )
    if not training:
        return session
    return dataclasses.replace(session, train_loader=_training_loader(session))


def open_device(
    kind: str, place: Place, mode: Optional[str] = None, loss_scale: Optional[str] = None
) -> Tuple[TorchDevice, Precision]:
    """The device of this rank and the precision it computes in.

    Args:
        kind: as --device_type says it.
        mode: of precision; default: the card's for that kind of device.
        loss_scale: as --loss_scale says it.
    """
    if kind == "auto":
        kind = choose_device(kind, detect())
    able = torch_runtime.capabilities(kind, place.local_rank)
    defaults = read_card(CARD).task(None).precision
    precision = resolve(mode or default_mode(defaults, kind), "torch", kind, able)
    if loss_scale is not None:
        precision = with_loss_scale(precision, loss_scale)
    return torch_runtime.open_device(kind, place.local_rank, precision), precision


def _training_loader(session: Session) -> TrainingLoader:
    options, place = session.options, session.place
    images, size = session.splits.train, options.train_batch_size
    shared = (images, size, options.seed, session.device.device, place.rank, place.world_size)
    if options.loader == "torchvision":
        from residual_attention_net.data.torchvision_loader import TorchvisionLoader

        return TorchvisionLoader(*shared, workers=options.workers)
    augmentation = augmentation_of(options, session.recipe)
    return DeviceLoader(*shared, augmentation, session.channels_last)


def augmentation_of(options: Options, recipe: Recipe) -> Augmentation:
    """What the recipe does to this dataset's training images."""
    return Augmentation(
        crop_padding=recipe.crop_padding,
        flip=recipe.flip and options.dataset not in MIRRORING_CHANGES_CLASS,
        cutout_size=recipe.cutout_size,
        mixup_alpha=recipe.mixup_alpha,
        mixup_epochs=mixup_epochs(recipe, options.total_epochs),
    )


def parameter_groups(network: nn.Module, recipe: Recipe) -> List[Dict[str, Any]]:
    """Parameters with weight decay and, where the recipe says so, vectors without it."""
    weights, decay = list(network.parameters()), recipe.weight_decay
    if recipe.decay_norms_and_biases:
        return [{"params": weights, "weight_decay": decay}]
    return [
        {"params": [one for one in weights if one.dim() > 1], "weight_decay": decay},
        {"params": [one for one in weights if one.dim() <= 1], "weight_decay": 0.0},
    ]


def open_stepper(session: Session) -> Stepper:
    """Makes optimizer and stepper, after the weights are in place."""
    options, recipe, model = session.options, session.recipe, session.network
    optimizer = optimizers.make_sgd(
        session.device,
        session.precision,
        parameter_groups(session.network, recipe),
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        nesterov=True,
    )
    if options.compile:
        if not hasattr(torch, "compile"):
            raise UsageError(f"--compile needs torch 2; this is torch {torch.__version__}")
        model = torch.compile(model)
    return torch_step.make_stepper(
        model,
        optimizer,
        session.device,
        session.precision,
        session.place.world_size,
        max_gradient_norm=options.clip_gradient_norm or None,
    )


# --- what the run says of itself -------------------------------------------------------------


def about_weights(session: Session) -> Dict[str, Any]:
    """What a file of weights says, for its readers: which network, for which classes."""
    return {
        "network": network_identity(session.network),
        "classes": list(session.splits.class_names),
    }


def subject_of(session: Session) -> Subject:
    """What the run log and the checkpoints say of the run."""
    shape, splits = network_identity(session.network), session.splits
    loader = session.train_loader
    return Subject(
        MODEL,
        TASK,
        MODEL,
        {
            "name": shape.pop("network"),
            **shape,
            "multiply_accumulates": session.complexity.multiply_accumulates,
        },
        {
            "name": splits.name,
            "predicate": splits.predicate,
            "counts": splits.counts,
            "manifest_sha256": splits.manifest_sha256,
        },
        effective_config(session),
        loader.checksum() if isinstance(loader, DeviceLoader) else None,
    )


def effective_config(session: Session) -> Dict[str, Any]:
    """The flags that decide the result, with what recipe and dataset made of them."""
    return {
        **session.options.config(),
        "recipe_values": dataclasses.asdict(session.recipe),
        "augmentation": dataclasses.asdict(augmentation_of(session.options, session.recipe)),
        "channels_last": session.channels_last,
    }
