"""Opens what a run needs: device, ranks, data, network, optimizer."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

import torch
from torch import nn

from common.cards.model_card import read_card
from common.core.errors import UsageError
from common.data.labelled_images import DatasetSplits
from common.machine.devices import choose_device, detect
from common.machine.precision import Precision, default_mode, resolve, with_loss_scale
from common.machine.ranks import Place, find_place, under_slurm
from common.training.run import Subject
from common.training.torch import runtime as torch_runtime
from common.training.torch import step as torch_step
from common.training.torch.ranks import synchronise_batch_norm
from common.training.torch.runtime import TorchDevice
from common.training.torch.step import Stepper
from residual_attention_net.data.datasets import SourceOptions, load_dataset
from residual_attention_net.data.draws import Augmentation
from residual_attention_net.data.loader import (
    DeviceLoader,
    EvaluationLoader,
    first_batches_sha256,
)
from residual_attention_net.network.complexity import Complexity, measure_complexity
from residual_attention_net.network.model import ResidualAttentionNetwork, build_network
from residual_attention_net.network.networks import DEFAULT_NETWORK, NETWORKS
from residual_attention_net.options import Options
from residual_attention_net.recipes import Recipe, mixup_epochs, recipe_named
from residual_attention_net.weights import network_identity, network_of

MODEL, TASK = "residual_attention_net", "classification"
CARD = Path(__file__).resolve().parent / "model.yaml"
SPLIT_SEED = 0  # which images are held out is no matter of the run's seed
MIRRORING_CHANGES_CLASS = ("digits",)


@dataclasses.dataclass
class Session:
    """One rank's side of a run that is ready to begin."""

    options: Options
    recipe: Recipe
    place: Place
    device: TorchDevice
    precision: Precision
    splits: DatasetSplits
    network: ResidualAttentionNetwork
    complexity: Complexity
    channels_last: bool
    train_loader: Any = None
    validation_loader: Optional[EvaluationLoader] = None
    test_loader: Optional[EvaluationLoader] = None
    stepper: Optional[Stepper] = None

    @property
    def is_first(self) -> bool:
        """Whether this rank writes what is written once."""
        return self.place.rank == 0

    @property
    def global_batch(self) -> int:
        """Samples in one optimizer step of the whole job."""
        return self.options.train_batch_size * self.place.world_size


def open_session(options: Options, training: bool = True) -> Session:
    """Opens device, process group, data, network and loaders; the stepper comes after weights.

    Args:
        training: False leaves out what only training needs.

    Raises:
        ZooError: a device, a precision mode or a dataset that can't be had.
    """
    options = with_network(options)
    os.environ.update(under_slurm(os.environ))
    place = find_place(os.environ, options.device_id, options.device_num)
    device, precision = open_device(options, place)
    if place.world_size > 1:
        torch_runtime.init_process_group(
            device, place.rank, place.world_size, options.dist_url or "env://"
        )
    torch_runtime.seed_everything(options.seed, device)
    splits = _load_splits(options)
    if place.rank == 0:
        for notice in splits.notices:
            print(f"note: {notice}", flush=True)
    network = _build(options, splits)
    channels_last = (
        torch_runtime.channels_last_pays(device.kind)
        if options.channels_last is None
        else options.channels_last
    )
    session = Session(
        options=options,
        recipe=recipe_named(options.recipe),
        place=place,
        device=device,
        precision=precision,
        splits=splits,
        network=network,
        channels_last=channels_last,
        complexity=measure_complexity(network),
    )
    _move_to_device(session)
    _open_loaders(session, training)
    return session


def with_network(options: Options) -> Options:
    """The options with network and classes said: by flag, else by the checkpoint they start from.

    A checkpoint of this program's training knows its network; other weights are taken for the
    default one.
    """
    known: Dict[str, Any] = {}
    if options.pth_path is not None:
        known = network_of(Path(options.pth_path))
    classes = options.num_classes
    if classes is None and not options.is_train:
        classes = known.get("num_classes")
    return dataclasses.replace(
        options,
        num_classes=classes,
        network=(options.network or known.get("network") or DEFAULT_NETWORK),
    )


def open_device(options: Options, place: Place) -> Tuple[TorchDevice, Precision]:
    """The device of this rank and the precision it computes in."""
    kind = options.device_type
    if kind == "auto":
        kind = choose_device(kind, detect())
    able = torch_runtime.capabilities(kind, place.local_rank)
    defaults = read_card(CARD).task(None).precision
    mode = options.precision_mode or options.opt_level or default_mode(defaults, kind)
    precision = resolve(mode, "torch", kind, able)
    if options.loss_scale is not None:
        precision = with_loss_scale(precision, options.loss_scale)
    return torch_runtime.open_device(kind, place.local_rank, precision), precision


def _load_splits(options: Options) -> DatasetSplits:
    return load_dataset(
        options.dataset,
        options.data_path,
        validation_count=options.validation_count,
        limit_train=options.limit_train,
        limit_test=options.limit_test,
        seed=SPLIT_SEED,
        options=SourceOptions(image_size=NETWORKS[options.network].input_size),
    )


def _build(options: Options, splits: DatasetSplits) -> ResidualAttentionNetwork:
    classes = len(splits.train.classes)
    wanted = classes if options.num_classes is None else options.num_classes
    if wanted < classes:
        raise UsageError(
            f"--num_classes {wanted} is less than the {classes} classes of {splits.name}"
        )
    network = build_network(options.network, wanted, options.spatial_dims, splits.train.channels)
    size = tuple(splits.train.spatial_shape)
    if size != network.input_shape[1:]:
        raise UsageError(
            f"--network {options.network} takes {_by(network.input_shape[1:])}, "
            f"{splits.name} has {_by(size)}; choose another network"
        )
    return network


def _by(sizes: Any) -> str:
    return " x ".join(str(size) for size in sizes)


def _move_to_device(session: Session) -> None:
    network = torch_runtime.place_model(session.network, session.device, session.precision)
    if session.channels_last:
        layout = (
            torch.channels_last_3d if session.options.spatial_dims == 3 else torch.channels_last
        )
        network = network.to(memory_format=layout)
    if session.options.sync_batch_norm:
        network = synchronise_batch_norm(network, session.device.device)
    session.network = network


def _open_loaders(session: Session, training: bool) -> None:
    session.test_loader = _evaluation_loader(session, session.splits.test)
    if training:
        session.train_loader = _training_loader(session)
        if len(session.splits.validation):
            session.validation_loader = _evaluation_loader(session, session.splits.validation)


def _training_loader(session: Session) -> Any:
    options, place = session.options, session.place
    if options.loader == "torchvision":
        from residual_attention_net.data.torchvision_loader import TorchvisionLoader

        return TorchvisionLoader(
            session.splits.train,
            options.train_batch_size,
            options.seed,
            session.device.device,
            place.rank,
            place.world_size,
            workers=options.workers,
        )
    return DeviceLoader(
        session.splits.train,
        options.train_batch_size,
        augmentation_of(options, session.recipe),
        options.seed,
        session.device.device,
        place.rank,
        place.world_size,
        channels_last=session.channels_last,
    )


def augmentation_of(options: Options, recipe: Recipe) -> Augmentation:
    """What the recipe does to this dataset's training images."""
    return Augmentation(
        crop_padding=recipe.crop_padding,
        flip=recipe.flip and options.dataset not in MIRRORING_CHANGES_CLASS,
        cutout_size=recipe.cutout_size,
        mixup_alpha=recipe.mixup_alpha,
        mixup_epochs=mixup_epochs(recipe, options.total_epochs),
    )


def _evaluation_loader(session: Session, images: Any) -> EvaluationLoader:
    return EvaluationLoader(
        images,
        session.options.test_batch_size,
        session.device.device,
        session.place.rank,
        session.place.world_size,
        channels_last=session.channels_last,
        pad_last=session.device.kind != "cpu",
    )


def parameter_groups(network: nn.Module, recipe: Recipe) -> List[Dict[str, Any]]:
    """Parameters with weight decay and, where the recipe says so, vectors without it."""
    if recipe.decay_norms_and_biases:
        return [{"params": list(network.parameters()), "weight_decay": recipe.weight_decay}]
    return [
        {"params": list(_of_rank(network, matrices=True)), "weight_decay": recipe.weight_decay},
        {"params": list(_of_rank(network, matrices=False)), "weight_decay": 0.0},
    ]


def _of_rank(network: nn.Module, matrices: bool) -> Iterator[nn.Parameter]:
    return (weight for weight in network.parameters() if (weight.dim() > 1) == matrices)


def open_stepper(session: Session) -> Stepper:
    """Makes optimizer and stepper, after the weights are in place."""
    recipe = session.recipe
    optimizer = torch_step.make_sgd(
        session.device,
        session.precision,
        parameter_groups(session.network, recipe),
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        nesterov=True,
    )
    model = _compiled(session.network) if session.options.compile else session.network
    stepper = session.stepper = torch_step.make_stepper(
        model,
        optimizer,
        session.device,
        session.precision,
        session.place.world_size,
        max_gradient_norm=session.options.clip_gradient_norm or None,
    )
    return stepper


def _compiled(network: nn.Module) -> nn.Module:
    if not hasattr(torch, "compile"):
        raise UsageError(f"--compile needs torch 2; this is torch {torch.__version__}")
    return torch.compile(network)


# --- what the run says of itself -------------------------------------------------------------


def about_weights(session: Session) -> Dict[str, Any]:
    """What a file of weights says, for its readers: which network, for which classes."""
    return {
        "network": network_identity(session.network),
        "classes": list(session.splits.train.classes),
    }


def subject_of(session: Session) -> Subject:
    """What the run log and the checkpoints say of the run."""
    shape = network_identity(session.network)
    splits = session.splits
    hashed = session.train_loader is not None and session.options.loader == "device"
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
        first_batches_sha256(session.train_loader) if hashed else None,
    )


def effective_config(session: Session) -> Dict[str, Any]:
    """The flags that decide the result, with what recipe and dataset made of them."""
    return {
        **session.options.config(),
        "recipe_values": dataclasses.asdict(session.recipe),
        "augmentation": dataclasses.asdict(augmentation_of(session.options, session.recipe)),
        "channels_last": session.channels_last,
    }
