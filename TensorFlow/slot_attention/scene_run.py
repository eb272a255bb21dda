"""What a run is by its flags and its data, whatever framework computes it: data, steps, rates."""

from __future__ import annotations

import abc
import os
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Tuple

from common.core.errors import UsageError
from common.machine.ranks import Place
from common.training.run import Settings, Subject
from common.training.schedule import Schedule, rate_for_ranks
from slot_attention.data.arrays import prepare
from slot_attention.data.batches import TrainingOrder
from slot_attention.data.datasets import find_scenes
from slot_attention.data.geometry import Geometry
from slot_attention.data.scenes import SceneDataset, SceneFacts, SceneSource
from slot_attention.network.choice import NetworkChoice, chosen_network
from slot_attention.options import OBJECT_DISCOVERY, SceneOptions
from slot_attention.synthetic.prepare import make_on_demand

MODEL = "slot_attention"
CLEVR_DATASETS = ("clevr", "clevr_with_masks")
CLEVR_OBJECTS = 6  # what the paper calls CLEVR6
VALIDATION_OF = {"clevr": "train_eval"}
TEST_OF = {"clevr": "validation"}


class SceneRun(abc.ABC):
    """One rank's side of a run: its flags, its network's sizes and its data.

    A framework's session derives from it and gives the fields, say and, for a twin, the model.
    """

    model = MODEL
    options: Any
    place: Place
    choice: NetworkChoice
    dataset: SceneDataset

    @abc.abstractmethod
    def say(self, line: str) -> None:
        """Tells the user, once and not per rank."""

    @property
    def validation_split(self) -> str:
        """The split by which checkpoints are chosen."""
        return VALIDATION_OF.get(self.dataset.facts.name, "validation")

    @property
    def test_split(self) -> str:
        """The split of the final figures."""
        return TEST_OF.get(self.dataset.facts.name, "test")

    @property
    def workers(self) -> int:
        """How many processes prepare scenes, and threads batches."""
        return _workers(self.options)

    def dataset_record(self) -> Dict[str, Any]:
        """The dataset as the run record has it."""
        facts = self.dataset.facts
        return {
            "name": facts.name,
            "predicate": f"{facts.predicate}; {self.dataset.geometry.text}",
            "counts": self.dataset.counts,
            "manifest_sha256": facts.manifest_sha256,
        }


def open_scenes(
    options: SceneOptions,
    place: Place,
    known: Optional[Mapping[str, Any]] = None,
    source: Optional[SceneSource] = None,
) -> Tuple[NetworkChoice, SceneDataset]:
    """Opens and prepares the data, and chooses the network by it.

    Args:
        known: what a checkpoint says of its network.
        source: the data, where the flags don't say it.

    Raises:
        ZooError: a dataset that can't be had.
    """
    if source is None:
        data = _data_path(options, place)
        source = find_scenes(options.dataset, data, max_objects(options))
    choice = chosen_network(options, min(source.facts.image_size), known)
    dataset = prepare(
        source,
        _geometry(options, source.facts, choice.resolution),
        options.cache == "disk",
        options.cache_path,
        _workers(options),
        # An evaluation wants one split alone.
        [TEST_OF.get(source.facts.name, "test")] if options.checkpoint_dir else None,
    )
    return choice, dataset


def _workers(options: SceneOptions) -> int:
    return options.workers or len(os.sched_getaffinity(0))


def _geometry(options: SceneOptions, facts: SceneFacts, resolution: int) -> Geometry:
    """How source images become what the network sees."""
    crop = options.crop
    if crop is None and facts.name == "clevr" and options.task == OBJECT_DISCOVERY:
        crop = "clevr_reference"
    if crop is None and options.task != OBJECT_DISCOVERY:
        crop = "none"
    return facts.geometry((resolution, resolution), crop, options.resize)


def _data_path(options: SceneOptions, place: Place) -> str:
    if options.data_path:
        return options.data_path
    if place.world_size > 1:
        raise UsageError(
            f"--data_path is missing: {options.dataset} is made on demand for one rank only; run "
            f"`zoo data prepare {options.dataset} --data_path DIR` first"
        )
    return str(make_on_demand(options.dataset, Path(options.model_dir) / "data"))


def max_objects(options: SceneOptions) -> Optional[int]:
    """The filter on the number of objects, the background not counted; None for none."""
    if (
        options.max_objects is None
        and options.task == OBJECT_DISCOVERY
        and options.dataset in CLEVR_DATASETS
    ):
        return CLEVR_OBJECTS
    return options.max_objects


# --- how training goes ---


def warn_of_few_slots(session: SceneRun) -> None:
    """Says at the start when there are fewer slots than a scene can need."""
    slots, most = session.choice.slots.count, session.dataset.most_objects
    background = int(session.options.task == OBJECT_DISCOVERY)
    needed = most + background
    if slots < needed:
        session.say(
            f"warning: {slots} slots, but scenes of {session.dataset.facts.name} have up to {most} "
            f"objects{' and a background' if background else ''}: slots will have to share; give "
            f"--num_slots {needed} or --max_objects {max(1, slots - background)}"
        )


def training_order(session: SceneRun) -> TrainingOrder:
    """Which scenes this rank takes at which step."""
    options, place = session.options, session.place
    count = len(session.dataset.split("train").images)
    return TrainingOrder(count, options.batch_size, options.seed, place.rank, place.world_size)


def peak_learning_rate(session: SceneRun) -> float:
    """--learning_rate; see schedule.rate_for_ranks for --scale_learning_rate."""
    options = session.options
    return rate_for_ranks(
        options.learning_rate, options.scale_learning_rate, session.place.world_size
    )


def schedule_of(session: SceneRun) -> Schedule:
    """The learning rate of a run."""
    options = session.options
    return Schedule(
        peak_learning_rate(session),
        options.warmup_steps,
        options.decay,
        options.decay_rate,
        options.decay_steps,
        settings_of(session).steps,
    )


def settings_of(session: SceneRun) -> Settings:
    """How training goes, from the flags: --num_train_steps, or --train_epochs over the data."""
    options, epochs = session.options, session.options.train_epochs
    epoch_steps = training_order(session).steps_per_epoch
    return Settings(
        output_path=Path(options.model_dir),
        steps=options.num_train_steps if epochs is None else epochs * epoch_steps,
        batch_size=options.batch_size,
        seed=options.seed,
        log_every=options.log_every,
        diagnostics_every=options.diagnostics_every,
        pictures_every=options.pictures_every,
        evaluate_every=options.evaluate_every,
        epoch_steps=epoch_steps,
        checkpoint_seconds=options.checkpoint_minutes * 60,
        keep=options.keep_checkpoints,
        resume=options.resume,
        profile=options.profile,
        dump_tensors=options.dump_tensors,
        dump_from=options.dump_from,
    )


def subject_of(session: SceneRun) -> Subject:
    """What the run log and the checkpoints say of the run."""
    options, choice = session.options, session.choice
    config = dict(
        options.config(),
        peak_learning_rate=peak_learning_rate(session),
        resolution=choice.resolution,
        num_slots=choice.slots.count,
        num_iterations=choice.slots.iterations,
    )
    return Subject(
        session.model,
        options.task,
        f"{session.model}.{options.task}",
        choice.described(),
        session.dataset_record(),
        config,
        twin_of="" if session.model == MODEL else MODEL,
    )
