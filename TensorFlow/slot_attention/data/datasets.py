"""The datasets of scenes by name, and the user's own images."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
from pathlib import Path
from typing import Dict, Iterable, Iterator, List, Optional, Tuple

import numpy as np

from common.core.errors import UsageError, ZooError
from common.data.image_files import images_below, read_image
from slot_attention.data.arrays import MANIFEST, open_arrays, ordered
from slot_attention.data.clevr import TRAIN_EVAL_COUNT, clevr_source, find_clevr
from slot_attention.data.geometry import Geometry, mask_places, resize_to_bytes
from slot_attention.data.multi_objects import RECORD_FILES, VISIBLE, division_text, record_source
from slot_attention.data.scenes import Scene, SceneFacts, SceneSource

CLEVR, IMAGE_FOLDER = "clevr", "image_folder"
SYNTHETIC = ("synthetic_sprites", "synthetic_scenes")
DATASET_NAMES = (CLEVR, *RECORD_FILES, *SYNTHETIC, IMAGE_FOLDER)
HELD_OUT = 320
_ALL = "all scenes"
_BLOCK = 1 << 20


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
        return _clevr(root, max_objects)
    if name in RECORD_FILES:
        return _record_file(name, root, max_objects)
    if name in SYNTHETIC:
        return _synthetic(name, root, max_objects)
    if name == IMAGE_FOLDER:
        return _image_folder(root)
    raise UsageError(f"dataset {name!r} is unknown: use one of {', '.join(DATASET_NAMES)}")


def _filter_text(max_objects: Optional[int], counted: str) -> str:
    if max_objects is None:
        return _ALL
    return f"scenes whose number of objects (background not counted: {counted}) <= {max_objects}"


def _clevr(root: Path, max_objects: Optional[int]) -> SceneSource:
    folder = find_clevr(root)
    chosen = _filter_text(max_objects, "objects in the scene description")
    facts = SceneFacts(
        CLEVR,
        folder.image_size,
        channels=3,
        entities=None,
        background_entities=1,
        most_objects=None,
        has_targets=True,
        predicate=f"{chosen}; train: all but the first {TRAIN_EVAL_COUNT} of train; train_eval: "
        "those; validation",
        manifest_sha256=quick_manifest_sha256(folder.decisive),
    )
    return clevr_source(folder, facts, max_objects)


def _record_file(name: str, root: Path, max_objects: Optional[int]) -> SceneSource:
    published = RECORD_FILES[name]
    folders = (root, root / published.folder, root / name)
    found = [folder / published.file for folder in folders if (folder / published.file).is_file()]
    if not found and not root.is_file():
        raise ZooError(
            f"no {published.file} in {root}: expected it there or in {published.folder}/; "
            "set --data_path to its folder"
        )
    path, layout = found[0] if found else root, published.layout
    division = division_text(published.train_records, HELD_OUT)
    most = layout.entities - layout.background_entities
    facts = SceneFacts(
        name,
        layout.size,
        layout.channels,
        layout.entities,
        layout.background_entities,
        min(most, max_objects or most),
        has_targets=bool(layout.letters),
        predicate=f"{_filter_text(max_objects, layout.counted)}; {division}",
        manifest_sha256=quick_manifest_sha256([path]),
        default_crop="clevr_reference" if name == "clevr_with_masks" else "none",
    )
    return record_source(path, published, HELD_OUT, max_objects, facts)


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
    chosen = _filter_text(most, VISIBLE)
    facts = dataclasses.replace(
        whole.facts,
        predicate=whole.facts.predicate.replace(_ALL, chosen, 1),
        most_objects=min(whole.most_objects, most or whole.most_objects),
    )

    def read(geometry: Geometry, workers: int) -> Iterator[Tuple[str, Scene]]:
        places = mask_places(geometry)
        for name, split in whole.splits.items():
            for number in np.flatnonzero(split.objects <= (most or split.objects)):
                target = None if split.targets is None else split.targets[number]
                yield (
                    name,
                    Scene(
                        resize_to_bytes(split.images[number], geometry),
                        split.labels[number][places],
                        target,
                        int(split.objects[number]),
                    ),
                )

    ready = None if most is not None else dataclasses.replace(whole, facts=facts)
    total = sum(whole.counts.values())
    return SceneSource(facts, list(whole.splits), [folder / MANIFEST], folder, total, read, ready)


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


def image_source(folder: Path, splits: Dict[str, List[Path]], predicate: str) -> SceneSource:
    """Images without labels, so that they can only be reconstructed; of each the centre is seen."""
    paths = [path for part in splits.values() for path in part]
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

    def read(geometry: Geometry, workers: int) -> Iterator[Tuple[str, Scene]]:
        if geometry.crop != "centre":
            raise UsageError(f"{IMAGE_FOLDER} shows the centre of each image: leave --crop out")

        names = (split for split, part in splits.items() for _ in part)
        decode = functools.partial(read_image, size=geometry.resolution, channels=3)
        for split, image in zip(names, ordered(decode, paths, workers)):
            yield split, Scene(image)

    return SceneSource(facts, list(splits), paths, folder, len(paths), read)


def quick_manifest_sha256(paths: Iterable[Path]) -> str:
    """A checksum over each file's name, size, first MiB and last MiB, sorted by name.

    It tells versions and variants of a dataset apart; a byte changed in the middle of a file it
    doesn't notice.
    """
    lines = sorted(
        f"{_ends_sha256(path)}  {os.path.getsize(str(path))}  {path.name}\n" for path in paths
    )
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def _ends_sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(str(path), "rb") as stream:
        digest.update(stream.read(_BLOCK))
        size = os.path.getsize(str(path))
        if size > _BLOCK:
            stream.seek(max(_BLOCK, size - _BLOCK))
            digest.update(stream.read(_BLOCK))
    return digest.hexdigest()
