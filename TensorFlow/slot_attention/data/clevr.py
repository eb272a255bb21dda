"""CLEVR as tensorflow-datasets prepares it (clevr 3.1.0), or as its authors publish it.

The prepared record files are read directly: no call to the network, no TensorFlow, and every
image by its number. tensorflow-datasets itself takes them in the same order.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Tuple

import numpy as np

from common.core.errors import ZooError
from slot_attention.data.encoded_images import EncodedImages
from slot_attention.data.example import BrokenExampleError, read_features
from slot_attention.data.targets import (
    COLORS,
    MATERIALS,
    SHAPES,
    SIZES,
    TARGET_COUNT,
    TARGET_WIDTH,
    encode_targets,
)
from slot_attention.data.tfrecord import index_records

PREPARED_NAME = "clevr"
PREPARED_VERSION = "3.1.0"
ORIGINAL_NAME = "CLEVR_v1.0"
# The splits as tensorflow-datasets names them and as the authors name them.
SPLIT_NAMES = {"train": "train", "validation": "val"}
_SHARD = re.compile(r"clevr-(\w+)\.tfrecord-(\d{5})-of-(\d{5})$")
_PROPERTIES = (("size", SIZES), ("material", MATERIALS), ("shape", SHAPES), ("color", COLORS))


@dataclass(frozen=True)
class ClevrFolder:
    """Where CLEVR lies.

    Attributes:
        path: the folder of the record files, or the one with images/ and scenes/.
        prepared: whether it is tensorflow-datasets' folder.
    """

    path: Path
    prepared: bool

    def decisive_files(self) -> List[Path]:
        """Returns the files that decide the data, for its checksum."""
        if self.prepared:
            return sorted(path for path in self.path.iterdir() if _SHARD.search(path.name))
        return sorted((self.path / "scenes").glob("*.json"))


def find_clevr(data_path: Path) -> ClevrFolder:
    """Returns the folder that holds CLEVR: data_path itself or one inside it.

    Raises:
        ZooError: there is neither a prepared folder nor CLEVR_v1.0.
    """
    root = Path(data_path)
    for path in (root, root / PREPARED_VERSION, root / PREPARED_NAME / PREPARED_VERSION):
        if path.is_dir() and any(_SHARD.search(item.name) for item in path.iterdir()):
            return ClevrFolder(path, True)
    for path in (root, root / ORIGINAL_NAME):
        if (path / "images").is_dir() and (path / "scenes").is_dir():
            return ClevrFolder(path, False)
    raise ZooError(
        f"no CLEVR in {root}: expected "
        f"{PREPARED_NAME}/{PREPARED_VERSION}/clevr-train.tfrecord-… (prepared by "
        "tensorflow-datasets) "
        f"or {ORIGINAL_NAME}/images and scenes"
    )


def index_split(folder: ClevrFolder, split: str) -> EncodedImages:
    """Returns all images of a split ("train" or "validation") in the order of the files.

    Raises:
        ZooError: a file is missing or damaged, or lacks a feature.
    """
    if folder.prepared:
        return _index_prepared(folder.path, split)
    return _index_original(folder.path, split)


def _index_prepared(folder: Path, split: str) -> EncodedImages:
    shards = _shards(folder, split)
    parts = [_index_shard(path, number) for number, path in enumerate(shards)]
    columns = [np.concatenate([part[place] for part in parts]) for place in range(5)]
    return EncodedImages(shards, *columns)


def _shards(folder: Path, split: str) -> List[Path]:
    found = {}
    total = 0
    for path in folder.iterdir():
        match = _SHARD.search(path.name)
        if match and match.group(1) == split:
            found[int(match.group(2))] = path
            total = int(match.group(3))
    missing = [str(number) for number in range(total) if number not in found]
    if missing or not found:
        raise ZooError(
            "{} lacks {} of split {}: prepare clevr again".format(
                folder, "file(s) " + ", ".join(missing) if found else "the files", split
            )
        )
    return [found[number] for number in range(total)]


def _index_shard(path: Path, file_number: int) -> Tuple[np.ndarray, ...]:
    """Files, offsets, lengths, object counts and targets of one record file's images."""
    offsets, lengths = index_records(path)
    targets = np.zeros((len(offsets), TARGET_COUNT, TARGET_WIDTH), np.float32)
    places = np.zeros((3, len(offsets)), np.int64)
    mapped = memoryview(np.memmap(str(path), np.uint8, "r"))
    start = _address(mapped)
    for number, (offset, length) in enumerate(zip(offsets.tolist(), lengths.tolist())):
        record = mapped[offset : offset + length]
        image, count = _read_prepared(record, targets[number], path, number)
        places[:, number] = _address(image) - start, len(image), count
    files = np.full(len(offsets), file_number, np.int64)
    return files, places[0], places[1], places[2], targets


def _address(view: memoryview) -> int:
    return int(np.frombuffer(view, np.uint8).__array_interface__["data"][0])


def _read_prepared(
    record: memoryview, target: np.ndarray, path: Path, number: int
) -> Tuple[memoryview, int]:
    try:
        features = read_features(record)
        codes = {name: features["objects/" + name].integers() for name, _names in _PROPERTIES}
        target[:] = encode_targets(features["objects/3d_coords"].floats().reshape(-1, 3), **codes)
        return features["image"].strings()[0], len(codes["size"])
    except (BrokenExampleError, KeyError, IndexError, ValueError) as error:
        what = "lacks " + error.args[0] if isinstance(error, KeyError) else str(error)
        raise ZooError(
            f"{path}: record {number} is not of clevr {PREPARED_VERSION} ({what}); prepare it again"
        ) from error


def _index_original(folder: Path, split: str) -> EncodedImages:
    name = SPLIT_NAMES[split]
    scenes = _scenes(folder / "scenes" / f"CLEVR_{name}_scenes.json")
    images = folder / "images" / name
    if not images.is_dir():
        raise ZooError(f"{images} is missing: unpack {ORIGINAL_NAME} whole")
    paths = sorted(images.glob("*.png"))
    if len(paths) != len(scenes):
        raise ZooError(
            f"{images} has {len(paths)} images, its scenes file describes {len(scenes)}: "
            f"unpack {ORIGINAL_NAME} again"
        )
    count = len(paths)
    targets = [_scene_target(scene, folder, split) for scene in scenes]
    stacked = np.array(targets, np.float32).reshape(-1, TARGET_COUNT, TARGET_WIDTH)
    return EncodedImages(
        paths,
        np.arange(count),
        np.zeros(count, np.int64),
        np.full(count, -1, np.int64),
        np.array([len(scene["objects"]) for scene in scenes], np.int64),
        stacked,
    )


def _scenes(path: Path) -> List[Mapping[str, Any]]:
    try:
        scenes = json.loads(path.read_text("utf-8"))["scenes"]
        return sorted(scenes, key=lambda scene: str(scene["image_filename"]))
    except OSError as error:
        raise ZooError(
            f"{path} can't be read: {error.strerror}; unpack {ORIGINAL_NAME} whole"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise ZooError(f"{path} is no CLEVR scenes file ({error}); download it again") from error


def _scene_target(scene: Mapping[str, Any], folder: Path, split: str) -> np.ndarray:
    try:
        objects = scene["objects"]
        codes: Dict[str, np.ndarray] = {
            name: np.array([names.index(item[name]) for item in objects], np.int64)
            for name, names in _PROPERTIES
        }
        coordinates = np.array([item["3d_coords"] for item in objects], np.float32)
        return encode_targets(coordinates.reshape(-1, 3), **codes)
    except (KeyError, ValueError, TypeError) as error:
        raise ZooError(
            "{}: scene {} of {} can't be understood ({}); download it again".format(
                folder, scene.get("image_filename"), split, error
            )
        ) from error
