"""Opens what a run needs: ranks, device, precision, data."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any, Dict, Mapping, Optional

from common.ascend.session import NpuOptions
from common.cards.model_card import read_card
from common.core.errors import UsageError
from common.machine.ranks import Place
from common.training.tensorflow import runtime as tf_runtime
from common.training.tensorflow.session import Session as RunSession
from common.training.tensorflow.session import open_chosen
from slot_attention.data.arrays import prepare
from slot_attention.data.datasets import find_scenes
from slot_attention.data.geometry import Geometry
from slot_attention.data.scenes import SceneDataset, SceneFacts, SceneSource
from slot_attention.network.choice import NetworkChoice, chosen_network
from slot_attention.options import OBJECT_DISCOVERY, SET_PREDICTION, Options
from slot_attention.synthetic.prepare import make_on_demand

CARD = Path(__file__).resolve().parent / "model.yaml"
MODEL = "slot_attention"
CLEVR_DATASETS = ("clevr", "clevr_with_masks")
CLEVR_OBJECTS = 6  # what the paper calls CLEVR6
VALIDATION_OF = {"clevr": "train_eval"}
TEST_OF = {"clevr": "validation"}


@dataclasses.dataclass(frozen=True)
class Session(RunSession):
    """One rank's side of a run: its device, its network's sizes and its data."""

    choice: NetworkChoice
    dataset: SceneDataset

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


def open_session(
    options: Options,
    known: Optional[Mapping[str, Any]] = None,
    source: Optional[SceneSource] = None,
) -> Session:
    """Opens and prepares the data, then opens the device.

    Args:
        known: what a checkpoint says of its network.
        source: the data, where the flags don't say it.

    Raises:
        ZooError: a dataset, a device or a precision mode that can't be had.
    """
    chosen = tf_runtime.choose_run_device(options, read_card(CARD).task(options.task).precision)
    if source is None:
        data = _data_path(options, chosen.place)
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
    # The matching of set prediction runs on the host, inside the step's graph.
    asked = NpuOptions(mix_compile_mode=options.task == SET_PREDICTION)
    device = open_chosen(chosen, options, options.model_dir, asked, options.profile)
    return Session(options, device, chosen.precision, choice, dataset)


def _workers(options: Options) -> int:
    return options.workers or len(os.sched_getaffinity(0))


def _geometry(options: Options, facts: SceneFacts, resolution: int) -> Geometry:
    """How source images become what the network sees."""
    crop = options.crop
    if crop is None and facts.name == "clevr" and options.task == OBJECT_DISCOVERY:
        crop = "clevr_reference"
    if crop is None and options.task != OBJECT_DISCOVERY:
        crop = "none"
    return facts.geometry((resolution, resolution), crop, options.resize)


def _data_path(options: Options, place: Place) -> str:
    if options.data_path:
        return options.data_path
    if place.world_size > 1:
        raise UsageError(
            f"--data_path is missing: {options.dataset} is made on demand for one rank only; run "
            f"`zoo data prepare {options.dataset} --data_path DIR` first"
        )
    return str(make_on_demand(options.dataset, Path(options.model_dir) / "data"))


def max_objects(options: Options) -> Optional[int]:
    """The filter on the number of objects, the background not counted; None for none."""
    if (
        options.max_objects is None
        and options.task == OBJECT_DISCOVERY
        and options.dataset in CLEVR_DATASETS
    ):
        return CLEVR_OBJECTS
    return options.max_objects
