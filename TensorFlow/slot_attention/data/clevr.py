"""CLEVR as tensorflow-datasets prepares it (clevr 3.1.0), or as its authors publish it."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence

import numpy as np

from common.core.errors import ZooError
from common.core.text import listed
from common.data.image_files import content_of_image, decode_image
from slot_attention.data.geometry import Geometry, resize_to_bytes
from slot_attention.data.reading import filter_text, ordered, quick_manifest_sha256
from slot_attention.data.records import read_features, read_records
from slot_attention.data.scenes import (
    PROPERTIES,
    Scene,
    SceneFacts,
    Scenes,
    SceneSource,
    encode_targets,
)

CLEVR, PREPARED_VERSION, ORIGINAL_NAME = "clevr", "3.1.0", "CLEVR_v1.0"
TRAIN_EVAL_COUNT = 512  # the first of CLEVR's train, which the reference holds out
_BYTES_A_SCENE = 190_000  # about, in record files
_ORIGINAL_SPLITS = {"train": "train", "validation": "val"}  # ours and the authors' names
_SHARD = re.compile(r"clevr-(\w+)\.tfrecord-(\d{5})-of-(\d{5})$")


class _Encoded(NamedTuple):
    """A scene whose image is still to be read: a file or bytes, its name for messages."""

    image: Any
    name: str
    target: np.ndarray
    objects: int
    split: str = ""


class _Folder(NamedTuple):
    """A folder of CLEVR, in either form.

    files: whose change matters; decisive: those of the data's checksum; counts: about how many
    scenes each of the authors' splits has; first, name: the first image of train; read: from such
    a split's name to its scenes.
    """

    path: Path
    files: List[Path]
    decisive: List[Path]
    counts: Dict[str, int]
    first: Any
    name: str
    read: Callable[[str], Iterator[_Encoded]]


def clevr_source(root: Path, max_objects: Optional[int]) -> SceneSource:
    """The scenes of CLEVR, in a folder or in one inside it, with at most so many objects.

    Raises:
        ZooError: there is neither a prepared folder nor CLEVR_v1.0, or a file is missing.
    """
    folder = _found(root)
    height, width, _ = _image(folder.first, folder.name).shape
    chosen = filter_text(max_objects, "objects in the scene description")
    facts = SceneFacts(
        CLEVR,
        (height, width),
        channels=3,
        entities=None,
        background_entities=1,
        most_objects=None,
        has_targets=True,
        predicate=f"{chosen}; train: all but the first {TRAIN_EVAL_COUNT} of train; train_eval: "
        "those; validation",
        manifest_sha256=quick_manifest_sha256(folder.decisive),
    )

    def read(geometry: Geometry, workers: int, splits: Sequence[str]) -> Scenes:
        jobs = (
            encoded
            for encoded in _divided(folder, splits)
            if max_objects is None or encoded.objects <= max_objects
        )
        return ordered(functools.partial(_scene, geometry), jobs, workers)

    whole = folder.counts["train"]
    counts = {
        "train": max(0, whole - TRAIN_EVAL_COUNT),
        "train_eval": min(whole, TRAIN_EVAL_COUNT),
        "validation": folder.counts["validation"],
    }
    return SceneSource(facts, counts, folder.files, folder.path, read)


def _divided(folder: _Folder, splits: Sequence[str]) -> Iterator[_Encoded]:
    """The scenes of our splits, in the order of the files; those held out are train's first."""
    if {"train", "train_eval"} & set(splits):
        for number, encoded in enumerate(folder.read("train")):
            split = "train_eval" if number < TRAIN_EVAL_COUNT else "train"
            if split in splits:
                yield encoded._replace(split=split)
    if "validation" in splits:
        for encoded in folder.read("validation"):
            yield encoded._replace(split="validation")


def _scene(geometry: Geometry, encoded: _Encoded) -> Any:
    """A scene with its split."""
    image = _image(encoded.image, encoded.name)
    if image.shape[:2] != tuple(geometry.source):
        raise ZooError(
            "{} is {}x{}, the others are {}x{}: all images of a dataset have one size".format(
                encoded.name, *image.shape[:2], *geometry.source
            )
        )
    pixels = resize_to_bytes(image, geometry)
    return encoded.split, Scene(pixels, None, encoded.target, encoded.objects)


def _image(image: Any, name: str) -> np.ndarray:
    """uint8 (height, width, 3) of a file or of its bytes; the name is for messages."""
    content = content_of_image(image) if isinstance(image, Path) else image
    return decode_image(content, name, channels=3)


def _found(root: Path) -> _Folder:
    for path in (root, root / PREPARED_VERSION, root / CLEVR / PREPARED_VERSION):
        if path.is_dir() and any(_SHARD.search(item.name) for item in path.iterdir()):
            return _prepared(path)
    for path in (root, root / ORIGINAL_NAME):
        if (path / "images").is_dir() and (path / "scenes").is_dir():
            return _original(path)
    raise ZooError(
        f"no CLEVR in {root}: expected {CLEVR}/{PREPARED_VERSION}/clevr-train.tfrecord-… "
        f"(prepared by tensorflow-datasets) or {ORIGINAL_NAME}/images and scenes"
    )


def _prepared(folder: Path) -> _Folder:
    every = sorted(path for path in folder.iterdir() if _SHARD.search(path.name))
    shards: Dict[str, List[Path]] = {split: [] for split in _ORIGINAL_SPLITS}
    for split, paths in shards.items():
        paths += [path for path in every if path.name.startswith(f"clevr-{split}.")]
        numbers = [path.name.split("-")[2] for path in paths]
        total = int(paths[0].name[-5:]) if paths else 1
        missing = [str(number) for number in range(total) if f"{number:05d}" not in numbers]
        if missing:
            raise ZooError(
                f"{folder} lacks file(s) {', '.join(missing)} of split {split}: prepare clevr again"
            )

    def read(split: str) -> Iterator[_Encoded]:
        for path in shards[split]:
            if path.stat().st_size:  # few scenes may leave a file empty
                for number, record in enumerate(read_records(path, compressed=False)):
                    yield _prepared_scene(record, f"{path}: record {number}")

    files = [path for paths in shards.values() for path in paths]
    sizes = {split: sum(path.stat().st_size for path in paths) for split, paths in shards.items()}
    counts = {split: size // _BYTES_A_SCENE for split, size in sizes.items()}
    first = next(read("train"), None)
    if first is None:
        raise ZooError(f"{folder} has no scene of split train: prepare clevr again")
    return _Folder(folder, files, every, counts, first.image, first.name, read)


def _prepared_scene(record: memoryview, name: str) -> _Encoded:
    try:
        features = read_features(record)
        codes = {key: features[f"objects/{key}"] for key in PROPERTIES}
        target = encode_targets(features["objects/3d_coords"], codes)
        return _Encoded(bytes(features["image"][0]), name, target, len(codes["size"]))
    except (KeyError, IndexError, ValueError, TypeError) as error:
        what = f"lacks {error.args[0]}" if isinstance(error, KeyError) else str(error)
        raise ZooError(
            f"{name} is not of clevr {PREPARED_VERSION} ({what}); prepare it again"
        ) from error


def _original(folder: Path) -> _Folder:
    images = {split: _pngs(folder / "images" / name) for split, name in _ORIGINAL_SPLITS.items()}
    scenes = sorted((folder / "scenes").glob("[!.]*.json"))

    def read(split: str) -> Iterator[_Encoded]:
        name, paths = _ORIGINAL_SPLITS[split], {path.name: path for path in images[split]}
        described = _described(folder / "scenes" / f"CLEVR_{name}_scenes.json")
        lacking, beyond = set(described) - set(paths), set(paths) - set(described)
        if lacking or beyond:
            raise ZooError(
                f"{folder / 'images' / name} lacks images that the scenes file describes "
                f"({listed(sorted(lacking))}) or has others ({listed(sorted(beyond))}): unpack "
                f"{ORIGINAL_NAME} again"
            )
        for image, scene in sorted(described.items()):
            yield _original_scene(scene, paths[image])

    files = [path for paths in images.values() for path in paths]
    counts = {split: len(paths) for split, paths in images.items()}
    first = images["train"][0]  # and not its description: the scenes file takes seconds to read
    return _Folder(folder, [*files, *scenes], scenes, counts, first, str(first), read)


def _pngs(folder: Path) -> List[Path]:
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    found = [path for path in paths if path.suffix.lower() == ".png" and path.name[0] != "."]
    if not found:
        raise ZooError(f"{folder} has no images: unpack {ORIGINAL_NAME} again")
    return found


def _described(path: Path) -> Dict[str, Mapping[str, Any]]:
    """The scenes of a file by their images' names."""
    try:
        scenes = json.loads(path.read_text("utf-8"))["scenes"]
        return {str(scene["image_filename"]): scene for scene in scenes}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ZooError(
            f"{path} can't be read, or is no CLEVR scenes file ({error}); unpack {ORIGINAL_NAME} "
            "again"
        ) from error


def _original_scene(scene: Mapping[str, Any], path: Path) -> _Encoded:
    try:
        objects = scene["objects"]
        codes = {
            key: np.array([names.index(item[key]) for item in objects], np.int64)
            for key, names in PROPERTIES.items()
        }
        coordinates = np.array([item["3d_coords"] for item in objects], np.float32)
        return _Encoded(path, str(path), encode_targets(coordinates, codes), len(objects))
    except (KeyError, ValueError, TypeError) as error:
        raise ZooError(
            f"{path}: its scene can't be understood ({error}); download CLEVR again"
        ) from error
