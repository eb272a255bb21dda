"""The datasets of scenes by name: those of files, the synthetic ones, the user's own images."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np

from common.core.errors import UsageError, ZooError
from common.data.image_files import images_below, read_image
from slot_attention.data.arrays import MANIFEST, open_arrays
from slot_attention.data.clevr import CLEVR, clevr_source
from slot_attention.data.geometry import Geometry, mask_places, resize_to_bytes
from slot_attention.data.multi_objects import HELD_OUT, RECORD_FILES, VISIBLE, record_source
from slot_attention.data.reading import ALL, filter_text, ordered, quick_manifest_sha256
from slot_attention.data.scenes import Scene, SceneFacts, Scenes, SceneSource

IMAGE_FOLDER = "image_folder"
SYNTHETIC = ("synthetic_sprites", "synthetic_scenes")
DATASET_NAMES = (CLEVR, *RECORD_FILES, *SYNTHETIC, IMAGE_FOLDER)


def find_scenes(name: str, data_path: str, max_objects: Optional[int] = None) -> SceneSource:
    """Finds a dataset's files and looks at the first of them.

    Args:
        name: one of DATASET_NAMES.
        data_path: the folder of the dataset's files, or the one above it.
        max_objects: only scenes with at most so many, the background not counted.

    Raises:
        UsageError: an unknown name.
        ZooError: data that is missing, damaged or of another kind.
    """
    root = Path(data_path)
    if name == CLEVR:
        return clevr_source(root, max_objects)
    if name in RECORD_FILES:
        return record_source(name, root, max_objects)
    if name in SYNTHETIC:
        return _synthetic(name, root, max_objects)
    if name == IMAGE_FOLDER:
        return _image_folder(root)
    raise UsageError(f"dataset {name!r} is unknown: use one of {', '.join(DATASET_NAMES)}")


def _synthetic(name: str, root: Path, most: Optional[int]) -> SceneSource:
    """Scenes that are arrays already."""
    folders = [path for path in (root, root / name) if (path / MANIFEST).is_file()]
    if not folders:
        raise ZooError(
            f"no {name}/{MANIFEST} in {root}: prepare it with `zoo data prepare {name}` or "
            "set --data_path"
        )
    folder = folders[0]
    whole = open_arrays(folder)
    if whole.facts.name != name:
        raise ZooError(f"{folder} holds {whole.facts.name}: give --dataset {whole.facts.name}")
    facts = dataclasses.replace(
        whole.facts,
        predicate=whole.facts.predicate.replace(ALL, filter_text(most, VISIBLE), 1),
        most_objects=min(whole.most_objects, most or whole.most_objects),
    )

    def read(geometry: Geometry, workers: int, splits: Sequence[str]) -> Scenes:
        places = mask_places(geometry)
        for name in splits:
            images, labels, targets, objects = whole.split(name)
            for number in np.flatnonzero(objects <= (most or objects)):
                image = resize_to_bytes(images[number], geometry)
                target = None if targets is None else targets[number]
                yield name, Scene(image, labels[number][places], target, int(objects[number]))

    ready = None if most is not None else dataclasses.replace(whole, facts=facts)
    return SceneSource(facts, whole.counts, [folder / MANIFEST], folder, read, ready)


def _image_folder(root: Path) -> SceneSource:
    """The user's own images: those of train/ and test/, or all, some of them held out."""
    test = own_images(root / "test") if (root / "test").is_dir() else []
    train = own_images(root / "train" if test and (root / "train").is_dir() else root)
    train = [path for path in train if path not in set(test)]
    if len(train) < 3:
        raise ZooError(
            f"{root} has {len(train)} images to train on: at least 3 are needed; set --data_path "
            "to a folder of images"
        )
    held_out = min(HELD_OUT, max(1, len(train) // 10))
    mixed = np.random.RandomState(0).permutation(len(train))
    ends = [0, held_out, held_out if test else 2 * held_out, len(train)]
    parts = [
        [train[number] for number in sorted(mixed[first:end])] for first, end in zip(ends, ends[1:])
    ]
    splits = {"train": parts[2], "validation": parts[0], "test": test or parts[1]}
    told = "test: the folder test" if test else f"test: {held_out} of them"
    return image_source(root, splits, f"{told}; validation: {held_out}, by a fixed permutation")


def own_images(folder: Path) -> List[Path]:
    """The image files below a folder; what is left out is told."""
    try:
        found = images_below(folder)
    except OSError as error:
        raise ZooError(f"{folder} can't be read: {error.strerror}; check its path") from error
    for notice in found.notices():
        print(notice, flush=True)
    return list(found.files)


def image_source(folder: Path, parts: Dict[str, List[Path]], predicate: str) -> SceneSource:
    """Images without labels, so that they can only be reconstructed; of each the centre is seen.

    Args:
        parts: by split.
    """
    paths = [path for part in parts.values() for path in part]
    height, width, _ = read_image(paths[0], channels=3).shape
    facts = SceneFacts(
        IMAGE_FOLDER,
        (height, width),
        channels=3,
        entities=None,
        background_entities=1,
        most_objects=0,
        has_targets=False,
        predicate=f"all images; {predicate}",
        manifest_sha256=quick_manifest_sha256(paths),
        default_crop="centre",
    )

    def read(geometry: Geometry, workers: int, splits: Sequence[str]) -> Scenes:
        if geometry.crop != "centre":
            raise UsageError(f"{IMAGE_FOLDER} shows the centre of each image: leave --crop out")
        jobs = [(split, path) for split in splits for path in parts[split]]
        return ordered(functools.partial(_own_scene, geometry), jobs, workers)

    counts = {split: len(part) for split, part in parts.items()}
    return SceneSource(facts, counts, paths, folder, read)


def _own_scene(geometry: Geometry, job: Tuple[str, Path]) -> Tuple[str, Scene]:
    split, path = job
    return split, Scene(read_image(path, geometry.resolution, 3))
