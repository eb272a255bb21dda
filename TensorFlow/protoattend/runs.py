"""What a run of this network is, in either framework: its network, steps, rates, what it says."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Dict, NamedTuple, Optional

from common.core.errors import ZooError
from common.data.labelled_images import DatasetSplits
from common.training.evaluation_run import output_folder
from common.training.run import Settings, Subject
from common.training.schedule import Schedule, rate_for_ranks
from common.training.stored_weights import FoundCheckpoint, find_weights
from protoattend.data.datasets import EMBEDDED, dataset_of
from protoattend.network.architecture import Architecture, architecture_from
from protoattend.options import DEFAULT_CANDIDATES, DEFAULT_SEED

MODEL, TASK = "protoattend", "classification"
DEFAULT_DATASET = "fashion_mnist"
# What a checkpoint's run tells where no flag does, else these.
_TAKEN = {
    "img_size": None,
    "num_classes": None,
    "validation_count": None,
    "random_seed": DEFAULT_SEED,
    "eval_cand_size": DEFAULT_CANDIDATES,
}


# --- a training ------------------------------------------------------------------------------


def architecture_of(options: Any, dataset: DatasetSplits) -> Architecture:
    """The network that flags and data ask for."""
    return Architecture(
        options.encoder,
        dataset.image_shape,
        len(dataset.class_names),
        options.final_units,
        options.attention_dim,
        options.val_dim,
        options.normalization,
    )


def schedule_of(options: Any, dataset: DatasetSplits, world_size: int) -> Schedule:
    """The learning rate of a run; see schedule.rate_for_ranks for --scale_learning_rate."""
    return Schedule(
        rate_for_ranks(options.init_learning_rate, options.scale_learning_rate, world_size),
        options.warmup_steps,
        options.decay,
        options.decay_rate,
        options.decay_every,
        settings_of(options, dataset, world_size).steps,
    )


def settings_of(options: Any, dataset: DatasetSplits, world_size: int) -> Settings:
    """How training goes, from the flags: --num_steps, or --train_epochs passes over the data."""
    epoch_steps = max(1, len(dataset.train) // (options.batch_size * world_size))
    steps = max(1, options.num_steps - int(options.one_step_less))
    return Settings(
        output_path=Path(options.folder),
        steps=steps if options.train_epochs is None else options.train_epochs * epoch_steps,
        batch_size=options.batch_size,
        seed=options.random_seed,
        log_every=options.display_step,
        diagnostics_every=options.display_step,
        pictures_every=options.pictures_every,
        evaluate_every=options.val_step,
        checkpoint_every=options.save_step,
        checkpoint_seconds=options.checkpoint_minutes * 60,
        keep=options.keep_checkpoints,
        epoch_steps=epoch_steps,
        resume=options.resume,
        profile=options.profiling,
        dump_tensors=options.dump_tensors,
        dump_from=options.dump_from,
    )


def subject_of(
    model: str, options: Any, dataset: DatasetSplits, network: Architecture, **more: Any
) -> Subject:
    """What the run log and the checkpoints say of a run; `more` belongs to its config."""
    told = {
        "name": dataset.name,
        "predicate": dataset.predicate,
        "counts": dataset.counts,
        "manifest_sha256": dataset.manifest_sha256,
    }
    config = dict(options.config(), dataset=dataset.name, **more)
    twin_of = "" if model == MODEL else MODEL
    return Subject(model, TASK, model, network.described(), told, config, twin_of=twin_of)


# --- what follows a training -----------------------------------------------------------------


class Asked(NamedTuple):
    """A checkpoint to be evaluated or explained, as its run had everything, and where to write."""

    found: FoundCheckpoint
    options: Any
    dataset: DatasetSplits
    architecture: Architecture
    folder: str


def asked_for(options: Any, folder_name: str, dataset: Optional[DatasetSplits] = None) -> Asked:
    """Finds --checkpoint and opens its data.

    Dataset, image size, candidates and network are the checkpoint's own, where it tells them.

    Args:
        folder_name: below the run's folder, where no other is given.
        dataset: the data, where the flags don't say it.

    Raises:
        ZooError: no such checkpoint or data; images that the network can't take.
    """
    checkpoint = str(options.checkpoint)
    found = find_weights(checkpoint)
    folder = output_folder(options.train_url, checkpoint, folder_name)
    options = dataclasses.replace(as_trained(options, found.state), train_url=folder)
    dataset = dataset_of(options) if dataset is None else dataset
    told = found.state.get("network")
    architecture = architecture_from(told) if told else architecture_of(options, dataset)
    have, want = dataset.image_shape, architecture.image_shape
    if tuple(have) != tuple(want):
        raise ZooError(
            f"the images of {dataset.name} are {_shape(have)}, the checkpoint's network takes "
            f"{_shape(want)}: give --img_size {want[0]} or the dataset it was trained on"
        )
    return Asked(found, options, dataset, architecture, folder)


def as_trained(options: Any, state: Dict[str, Any]) -> Any:
    """The options with what the flags leave open taken from a checkpoint's run."""
    config = state.get("config", {})
    dataset = options.dataset or config.get("dataset") or DEFAULT_DATASET
    taken = {
        name: config.get(name, default)
        for name, default in _TAKEN.items()
        if getattr(options, name) is None
    }
    data_url = None if dataset in EMBEDDED else options.data_url
    return dataclasses.replace(options, dataset=dataset, data_url=data_url, **taken)


def _shape(shape: Any) -> str:
    return "x".join(map(str, shape))
