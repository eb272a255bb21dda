"""Small runs of the entry points for tests: tiny synthetic data, tiny networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any, List

from common.core.terminal import Terminal
from slot_attention.synthetic.prepare import Request, write_dataset
from slot_attention.synthetic.scenes import SceneSettings
from slot_attention.synthetic.sprites import SpriteSettings

COUNTS = {"train": 24, "validation": 6, "test": 6}
COMMON = ["--device=cpu", "--batch_size=4", "--evaluation_batch_size=4", "--evaluation_count=6"]
COMMON += ["--warmup_steps=2", "--cache=none"]
OF_TASK = {
    "object_discovery": ["--dataset=synthetic_sprites"],
    "set_prediction": ["--dataset=synthetic_scenes"],
}
TRAINING = ["--num_slots=3", "--log_every=2", "--evaluate_every=0", "--pictures_every=0"]
TRAINING += ["--diagnostics_every=2"]


def make_sprites(folder: Path) -> Path:
    """A folder with a few sprite scenes of 16 x 16."""
    return _make(folder, "synthetic_sprites", SpriteSettings(image_size=(16, 16), objects=(1, 2)))


def make_scenes(folder: Path) -> Path:
    """A folder with a few 3-D scenes of 32 x 32."""
    return _make(folder, "synthetic_scenes", SceneSettings(image_size=(32, 32), objects=(1, 2)))


def _make(folder: Path, name: str, settings: Any) -> Path:
    write_dataset(folder, Request(name=name, settings=settings, counts=COUNTS), Terminal())
    return folder


def evaluation_flags(task: str, data_path: Path, model_dir: Path, *more: str) -> List[str]:
    """The command line of a small evaluation."""
    places = [f"--data_path={data_path}", f"--model_dir={model_dir}"]
    return OF_TASK[task] + COMMON + places + list(more)


def flags(task: str, data_path: Path, model_dir: Path, steps: int, *more: str) -> List[str]:
    """The command line of a small training."""
    own = TRAINING + [f"--num_train_steps={steps}"]
    own += ["--resolution=32"] if task == "set_prediction" else []
    return evaluation_flags(task, data_path, model_dir, *own, *more)
