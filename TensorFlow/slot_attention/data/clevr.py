"""CLEVR as tensorflow-datasets prepares it (clevr 3.1.0), or as its authors publish it."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Mapping, NamedTuple, Optional, Tuple

import numpy as np

from common.core.errors import ZooError
from common.data.image_files import content_of_image, decode_image
from slot_attention.data.arrays import ordered
from slot_attention.data.geometry import Geometry, Size, resize_to_bytes
from slot_attention.data.records import (
    BrokenExampleError,
    read_features,
    read_records,
)
from slot_attention.data.scenes import (
    COLORS,
    MATERIALS,
    SHAPES,
    SIZES,
    Scene,
    SceneFacts,
    SceneSource,
    encode_targets,
)

PREPARED_NAME, PREPARED_VERSION = "clevr", "3.1.0"
ORIGINAL_NAME = "CLEVR_v1.0"
_BYTES_A_SCENE = 190_000  # about, in record files
TRAIN_EVAL_COUNT = 512  # the first of CLEVR's train, which the reference holds out
_ORIGINAL_SPLITS = {"train": "train", "validation": "val"}  # ours and the authors' names
_SHARD = re.compile(r"clevr-(\w+)\.tfrecord-(\d{5})-of-(\d{5})$")
_PROPERTIES = (("size", SIZES), ("material", MATERIALS), ("shape", SHAPES), ("color", COLORS))


class _Encoded(NamedTuple):
    """A scene whose image is still to be read: a file or bytes, its name for messages."""

    image: Any
    name: str
    target: np.ndarray
    objects: int


class ClevrFolder(NamedTuple):
    """A folder of CLEVR, in either form.

    files: whose change matters; decisive: those of the data's checksum; total: about how many
    scenes; image_size: of the first image; read: from a split's name to its scenes.
    """

    path: Path
    files: List[Path]
    decisive: List[Path]
    total: int
    image_size: Size
    read: Callable[[str], Iterator[_Encoded]]


def clevr_source(folder: ClevrFolder, facts: SceneFacts, max_objects: Optional[int]) -> SceneSource:
    """The scenes of CLEVR with at most so many objects."""

    def read(geometry: Geometry, workers: int) -> Iterator[Tuple[str, Scene]]:
        return ordered(functools.partial(_scene, geometry), _chosen(folder, max_objects), workers)

    splits = ("train", "train_eval", "validation")
    return SceneSource(facts, splits, folder.files, folder.path, folder.total, read)


def _scene(geometry: Geometry, job: Tuple[str, _Encoded]) -> Tuple[str, Scene]:
    split, encoded = job
    image = _image(encoded.image, encoded.name)
    if image.shape[:2] != tuple(geometry.source):
        raise ZooError(
            "{} is {}x{}, the others are {}x{}: all images of a dataset have one size".format(
                encoded.name, *image.shape[:2], *geometry.source
            )
        )
    return split, Scene(resize_to_bytes(image, geometry), None, encoded.target, encoded.objects)


def _chosen(folder: ClevrFolder, max_objects: Optional[int]) -> Iterator[Tuple[str, _Encoded]]:
    """The scenes that pass the filter, each with its split."""
    for split in _ORIGINAL_SPLITS:
        for number, encoded in enumerate(folder.read(split)):
            if max_objects is None or encoded.objects <= max_objects:
                held_out = split == "train" and number < TRAIN_EVAL_COUNT
                yield "train_eval" if held_out else split, encoded


def find_clevr(root: Path) -> ClevrFolder:
    """CLEVR in a folder or in one inside it.

    Raises:
        ZooError: there is neither a prepared folder nor CLEVR_v1.0, or a file is missing.
    """
    for path in (root, root / PREPARED_VERSION, root / PREPARED_NAME / PREPARED_VERSION):
        if path.is_dir() and any(_SHARD.search(item.name) for item in path.iterdir()):
            return _prepared(path)
    for path in (root, root / ORIGINAL_NAME):
        if (path / "images").is_dir() and (path / "scenes").is_dir():
            return _original(path)
    raise ZooError(
        f"no CLEVR in {root}: expected {PREPARED_NAME}/{PREPARED_VERSION}/clevr-train.tfrecord-… "
        f"(prepared by tensorflow-datasets) or {ORIGINAL_NAME}/images and scenes"
    )


def _image(image: Any, name: str) -> np.ndarray:
    """uint8 (height, width, 3) of a file or of its bytes; the name is for messages."""
    content = content_of_image(image) if isinstance(image, Path) else image
    return decode_image(content, name, channels=3)


def _size(image: Any, name: str) -> Size:
    height, width, _channels = _image(image, name).shape
    return height, width


def _prepared(folder: Path) -> ClevrFolder:
    shards: Dict[str, List[Path]] = {}
    for split in _ORIGINAL_SPLITS:
        found, total = {}, 0
        for path in folder.iterdir():
            match = _SHARD.search(path.name)
            if match and match.group(1) == split:
                found[int(match.group(2))], total = path, int(match.group(3))
        missing = [str(number) for number in range(total) if number not in found]
        if missing or not found:
            what = f"file(s) {', '.join(missing)}" if found else "the files"
            raise ZooError(f"{folder} lacks {what} of split {split}: prepare clevr again")
        shards[split] = [found[number] for number in sorted(found)]

    def read(split: str) -> Iterator[_Encoded]:
        for path in shards[split]:
            if path.stat().st_size:  # few scenes may leave a file empty
                for number, record in enumerate(read_records(path, compressed=False)):
                    yield _prepared_scene(record, f"{path}: record {number}")

    first = next(read("train"), None)
    if first is None:
        raise ZooError(f"{folder} has no scene of split train: prepare clevr again")
    files = [path for paths in shards.values() for path in paths]
    every = sorted(path for path in folder.iterdir() if _SHARD.search(path.name))
    total = sum(path.stat().st_size for path in files) // _BYTES_A_SCENE
    return ClevrFolder(folder, files, every, total, _size(first.image, first.name), read)


def _prepared_scene(record: memoryview, name: str) -> _Encoded:
    try:
        features = read_features(record)
        codes = {key: features[f"objects/{key}"].integers() for key, _names in _PROPERTIES}
        target = encode_targets(features["objects/3d_coords"].floats().reshape(-1, 3), **codes)
        return _Encoded(bytes(features["image"].strings()[0]), name, target, len(codes["size"]))
    except (BrokenExampleError, KeyError, IndexError, ValueError) as error:
        what = f"lacks {error.args[0]}" if isinstance(error, KeyError) else str(error)
        raise ZooError(
            f"{name} is not of clevr {PREPARED_VERSION} ({what}); prepare it again"
        ) from error


def _original(folder: Path) -> ClevrFolder:
    images = {
        split: sorted(
            path
            for path in _listed(folder / "images" / name)
            if path.suffix.lower() == ".png" and not path.name.startswith(".")
        )
        for split, name in _ORIGINAL_SPLITS.items()
    }
    scenes = sorted((folder / "scenes").glob("[!.]*.json"))

    def read(split: str) -> Iterator[_Encoded]:
        name = _ORIGINAL_SPLITS[split]
        described = _scenes(folder / "scenes" / f"CLEVR_{name}_scenes.json")
        paths = {path.name: path for path in images[split]}
        _check_pairs(folder / "images" / name, set(paths), set(described))
        for image, scene in sorted(described.items()):
            yield _original_scene(scene, paths[image])

    if not images["train"]:
        raise ZooError(f"{folder / 'images' / 'train'} has no images: unpack {ORIGINAL_NAME} again")
    first = images["train"][0]  # and not its description: the scenes file takes seconds to read
    files = [path for paths in images.values() for path in paths]
    return ClevrFolder(
        folder, [*files, *scenes], scenes, len(files), _size(first, str(first)), read
    )


def _listed(folder: Path) -> List[Path]:
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise ZooError(
            f"{folder} can't be read: {error.strerror}; unpack {ORIGINAL_NAME} whole"
        ) from error


def _check_pairs(folder: Path, images: Any, described: Any) -> None:
    """Every scene has its image and every image its scene, by name."""
    for names, what in (
        (described - images, "lacks images that the scenes file describes"),
        (images - described, "has images that the scenes file does not describe"),
    ):
        if names:
            shown = ", ".join(sorted(names)[:3]) + (", …" if len(names) > 3 else "")
            raise ZooError(f"{folder} {what} ({len(names)}: {shown}): unpack {ORIGINAL_NAME} again")


def _scenes(path: Path) -> Dict[str, Mapping[str, Any]]:
    try:
        scenes = json.loads(path.read_text("utf-8"))["scenes"]
        return {str(scene["image_filename"]): scene for scene in scenes}
    except OSError as error:
        raise ZooError(
            f"{path} can't be read: {error.strerror}; unpack {ORIGINAL_NAME} whole"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise ZooError(f"{path} is no CLEVR scenes file ({error}); download it again") from error


def _original_scene(scene: Mapping[str, Any], path: Path) -> _Encoded:
    try:
        objects = scene["objects"]
        codes = {
            key: np.array([names.index(item[key]) for item in objects], np.int64)
            for key, names in _PROPERTIES
        }
        coordinates = np.array([item["3d_coords"] for item in objects], np.float32)
        target = encode_targets(coordinates.reshape(-1, 3), **codes)
        return _Encoded(path, str(path), target, len(objects))
    except (KeyError, ValueError, TypeError) as error:
        raise ZooError(
            f"{path}: its scene can't be understood ({error}); download CLEVR again"
        ) from error
