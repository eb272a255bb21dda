"""Opens what a run needs: ranks, device, precision, data."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Dict, Optional

from common.ascend.flags import npu_options
from common.ascend.session import NpuOptions
from common.cards.model_card import read_card
from common.core.errors import UsageError
from common.machine.precision import Precision
from common.machine.ranks import Place
from common.training.tensorflow import runtime as tf_runtime
from common.training.tensorflow.run_device import choose_run_device
from slot_attention.data.datasets import OpenOptions, open_dataset
from slot_attention.data.geometry import Geometry
from slot_attention.data.pipeline import BatchOptions, Share
from slot_attention.data.scene_dataset import SceneDataset
from slot_attention.options import OBJECT_DISCOVERY, SET_PREDICTION, Options
from slot_attention.synthetic.on_demand import make_on_demand

CARD = Path(__file__).resolve().parent / "model.yaml"
MODEL = "slot_attention"
CLEVR_DATASETS = ("clevr", "clevr_with_masks")
CLEVR_OBJECTS = 6  # what the paper calls CLEVR6
VALIDATION_OF = {"clevr": "train_eval"}
TEST_OF = {"clevr": "validation"}


@dataclasses.dataclass(frozen=True)
class Session:
    """One rank's side of a run: its device and its data."""

    options: Options
    device: Any
    precision: Precision
    dataset: SceneDataset

    @property
    def place(self) -> Place:
        """Which rank this is."""
        return self.device.place

    @property
    def share(self) -> Share:
        """This rank's part of every global batch."""
        return Share(self.place.rank, self.place.world_size)

    @property
    def validation_split(self) -> str:
        """The split by which checkpoints are chosen."""
        return VALIDATION_OF.get(self.dataset.name, "validation")

    @property
    def test_split(self) -> str:
        """The split of the final figures."""
        return TEST_OF.get(self.dataset.name, "test")

    def geometry(self, resolution: int) -> Geometry:
        """How source images become what the network sees."""
        options = self.options
        crop = options.crop
        if crop is None and self.dataset.name == "clevr" and options.task == OBJECT_DISCOVERY:
            crop = "clevr_reference"
        if crop is None and options.task != OBJECT_DISCOVERY:
            crop = "none"
        return self.dataset.geometry((resolution, resolution), crop, options.resize)

    def batch_options(self, *fields: str) -> BatchOptions:
        """What batches are to hold, with the user's choices of cache and workers."""
        return BatchOptions(fields, self.options.cache, self.options.workers)

    def dataset_record(self, geometry: Geometry) -> Dict[str, Any]:
        """The dataset as the run record has it."""
        return {
            "name": self.dataset.name,
            "predicate": f"{self.dataset.predicate}; {geometry.text}",
            "counts": self.dataset.counts,
            "manifest_sha256": self.dataset.manifest_sha256,
        }


def open_session(options: Options) -> Session:
    """Opens data, then the device.

    Raises:
        ZooError: a dataset, a device or a precision mode that can't be had.
    """
    kind, place, precision = choose_run_device(
        options, read_card(CARD).task(options.task).precision
    )
    dataset = open_dataset(
        options.dataset,
        _data_path(options, place),
        OpenOptions(max_objects=max_objects(options), cache_path=options.cache_path),
    )
    # The matching of set prediction runs on the host, inside the step's graph.
    asked = NpuOptions(mix_compile_mode=options.task == SET_PREDICTION)
    device = tf_runtime.open_device(
        kind,
        place,
        precision,
        npu_options(
            options, precision, Path(options.model_dir or "."), place, asked, options.profile
        ),
    )
    return Session(options, device, precision, dataset)


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
