"""Small dataset files in the real formats, written without TensorFlow."""

from __future__ import annotations

import gzip
import io
import json
import struct
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np

from slot_attention.data.layouts import Layout
from slot_attention.data.targets import COLORS, MATERIALS, SHAPES, SIZES
from slot_attention.data.tfrecord import masked_crc32c


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(encoded + bytearray([value]))


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def single_bytes(values: np.ndarray) -> bytes:
    """A feature that lists every byte as a string of its own."""
    flat = np.ascontiguousarray(values, np.uint8).reshape(-1)
    triplets = np.empty((flat.size, 3), np.uint8)
    triplets[:, 0], triplets[:, 1], triplets[:, 2] = 0x0A, 1, flat
    return _field(1, triplets.tobytes())


def one_string(value: bytes) -> bytes:
    """A feature of one string."""
    return _field(1, _field(1, value))


def floats(values: np.ndarray) -> bytes:
    """A feature of float32 values."""
    return _field(2, _field(1, np.ascontiguousarray(values, "<f4").tobytes()))


def integers(values: Sequence[int]) -> bytes:
    """A feature of int64 values."""
    return _field(3, _field(1, b"".join(_varint(int(value)) for value in values)))


def example(features: Dict[str, bytes]) -> bytes:
    """A serialized tf.train.Example."""
    entries = [
        _field(1, _field(1, name.encode()) + _field(2, feature))
        for name, feature in features.items()
    ]
    return _field(1, b"".join(entries))


def framed(record: bytes) -> bytes:
    """A record as it lies in a file, but for the data's checksum: our reader leaves it untested,
    and in Python it takes long.
    """
    length = struct.pack("<Q", len(record))
    return length + struct.pack("<I", masked_crc32c(length)) + record + bytes(4)


def write_gzip_records(path: Path, records: Sequence[bytes]) -> Path:
    """Writes a GZIP TFRecord file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(str(path), "wb", compresslevel=1) as stream:
        stream.write(b"".join(framed(record) for record in records))
    return path


def draw_image(layout: Layout, number: int) -> np.ndarray:
    """A scene's image, uint8 (height, width, channels): noise."""
    shape = tuple(layout.size) + (layout.channels,)
    return np.random.RandomState(number).randint(0, 256, shape).astype(np.uint8)


def draw_labels(layout: Layout, objects: int) -> np.ndarray:
    """Labels of a scene, uint8 (height, width): every object a column of pixels, not the edge."""
    labels = np.zeros(layout.size, np.uint8)
    width = layout.size[1] // (layout.entities + 1)
    for entity in range(1, layout.background_entities):
        labels[entity:] = entity
    for place in range(objects):
        first = (place + 1) * width
        labels[2:-2, first : first + width] = layout.background_entities + place
    return labels


def object_count(layout: Layout, number: int) -> int:
    """How many objects scene `number` has: 1, 2, …, as many as the layout allows, 1, …."""
    return 1 + number % max(layout.entities - layout.background_entities, 1)


def record_features(
    layout: Layout,
    number: int,
    labels: Optional[np.ndarray] = None,
) -> Dict[str, bytes]:
    """The features of scene `number`, with the masks of these labels."""
    objects = object_count(layout, number)
    labels = draw_labels(layout, objects) if labels is None else labels
    masks = np.stack([labels == entity for entity in range(layout.entities)]).astype(np.uint8) * 255
    if layout.masks_last:
        masks = masks.transpose(1, 2, 0)
    features = {"image": single_bytes(draw_image(layout, number)), "mask": single_bytes(masks)}
    present = np.arange(layout.entities) < layout.background_entities + objects
    for name, width in layout.floats:
        values = np.random.RandomState(number).uniform(-1, 1, (layout.entities, width))
        features[name] = floats(present if name == "visibility" else values)
    for place, name in enumerate(layout.letters):
        codes = 1 + (np.arange(layout.entities) + place) % 2
        codes[~present] = 0
        codes[0] = 0
        features[name] = single_bytes(codes)
    return features


def scene_record(layout: Layout, number: int) -> bytes:
    """The record of scene `number`."""
    return example(record_features(layout, number))


def scene_records(layout: Layout, count: int) -> List[bytes]:
    """The records of the first scenes."""
    return [scene_record(layout, number) for number in range(count)]


def png(image: np.ndarray) -> bytes:
    """An image as a PNG file."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    return stream.getvalue()


def clevr_image(number: int, size: Tuple[int, int] = (24, 36)) -> np.ndarray:
    """The image of CLEVR scene `number`, uint8 (height, width, 3)."""
    return np.random.RandomState(number).randint(0, 256, size + (3,)).astype(np.uint8)


def clevr_objects(number: int) -> List[Dict[str, object]]:
    """The objects of CLEVR scene `number`: one to three."""
    return [
        {
            "size": SIZES[(number + place) % 2],
            "material": MATERIALS[number % 2],
            "shape": SHAPES[(number + place) % 3],
            "color": COLORS[(number + place) % 8],
            "3d_coords": [place - 1.5, 0.25 * place, 0.35],
            "pixel_coords": [10, 10, 9.5],
            "rotation": 30.0,
        }
        for place in range(1 + number % 3)
    ]


def write_clevr_original(folder: Path, train: int, validation: int) -> Path:
    """Writes a folder like CLEVR_v1.0 as its authors publish it; scenes 0 to train - 1."""
    for split, count in (("train", train), ("val", validation), ("test", 1)):
        images = folder / "images" / split
        images.mkdir(parents=True)
        scenes = []
        for number in range(count):
            name = f"CLEVR_{split}_{number:06d}.png"
            (images / name).write_bytes(png(clevr_image(number)))
            scenes.append({"image_filename": name, "objects": clevr_objects(number)})
        _write_json(folder / "scenes" / f"CLEVR_{split}_scenes.json", {"scenes": scenes})
        _write_json(
            folder / "questions" / f"CLEVR_{split}_questions.json",
            {
                "questions": [
                    {
                        "image_filename": scene["image_filename"],
                        "question": "How many?",
                        "answer": "1",
                    }
                    for scene in scenes
                ]
            },
        )
    return folder


def _write_json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def write_clevr_prepared(folder: Path, train: int, validation: int, shards: int = 2) -> Path:
    """Writes record files as tensorflow-datasets prepares clevr 3.1.0, uncompressed."""
    prepared = folder / "clevr" / "3.1.0"
    prepared.mkdir(parents=True)
    for split, count in (("train", train), ("validation", validation)):
        for shard, numbers in enumerate(np.array_split(np.arange(count), shards)):
            path = prepared / f"clevr-{split}.tfrecord-{shard:05d}-of-{shards:05d}"
            path.write_bytes(b"".join(framed(clevr_record(int(number))) for number in numbers))
    return folder


def clevr_record(number: int) -> bytes:
    """The record of CLEVR scene `number`."""
    return example(clevr_features(number))


def clevr_features(number: int) -> Dict[str, bytes]:
    """The features of CLEVR scene `number`, in alphabetical order as the map may be written."""
    objects = clevr_objects(number)
    names = {"size": SIZES, "material": MATERIALS, "shape": SHAPES, "color": COLORS}
    features = {
        "objects/" + key: integers([values.index(item[key]) for item in objects])
        for key, values in names.items()
    }
    features["objects/3d_coords"] = floats(np.array([item["3d_coords"] for item in objects]))
    features["file_name"] = one_string(b"CLEVR.png")
    features["image"] = one_string(png(clevr_image(number)))
    return dict(sorted(features.items()))
