"""Small dataset files in the real formats: record files by TensorFlow, CLEVR as a folder."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np

from slot_attention.data.multi_objects import RecordFile
from slot_attention.data.scenes import PROPERTIES

_BYTES = [bytes([value]) for value in range(256)]


def example(features: Dict[str, Any]) -> bytes:
    """A serialized tf.train.Example: bytes as one string, uint8 arrays as one-byte strings."""
    from common.training.tensorflow.runtime import tf

    def feature(value: Any) -> Any:
        if isinstance(value, bytes):
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        flat = value.reshape(-1).tolist()
        if value.dtype == np.uint8:
            strings = [_BYTES[number] for number in flat]
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=strings))
        if value.dtype == np.int64:
            return tf.train.Feature(int64_list=tf.train.Int64List(value=flat))
        return tf.train.Feature(float_list=tf.train.FloatList(value=flat))

    encoded = {name: feature(value) for name, value in features.items()}
    return tf.train.Example(features=tf.train.Features(feature=encoded)).SerializeToString()


def write_records(path: Path, records: Sequence[bytes], compressed: bool = True) -> Path:
    """Writes a TFRecord file."""
    from common.training.tensorflow.runtime import tf

    path.parent.mkdir(parents=True, exist_ok=True)
    options = tf.io.TFRecordOptions(compression_type="GZIP" if compressed else "")
    with tf.io.TFRecordWriter(str(path), options) as writer:
        for record in records:
            writer.write(record)
    return path


def draw_image(layout: RecordFile, number: int) -> np.ndarray:
    """A scene's image, uint8 (height, width, channels): noise."""
    shape = tuple(layout.size) + (layout.channels,)
    return np.random.RandomState(number).randint(0, 256, shape).astype(np.uint8)


def object_count(layout: RecordFile, number: int) -> int:
    """How many objects scene `number` has: 1, 2, …, as many as the layout allows, 1, …."""
    return 1 + number % max(layout.entities - layout.background, 1)


def draw_labels(layout: RecordFile, number: int) -> np.ndarray:
    """Labels of a scene, uint8 (height, width): every object a column of pixels, not the edge."""
    labels = np.zeros(layout.size, np.uint8)
    width = layout.size[1] // (layout.entities + 1)
    for entity in range(1, layout.background):
        labels[entity:] = entity
    for place in range(object_count(layout, number)):
        first = (place + 1) * width
        labels[2:-2, first : first + width] = layout.background + place
    return labels


def record_features(layout: RecordFile, number: int) -> Dict[str, Any]:
    """The features of scene `number`."""
    labels = draw_labels(layout, number)
    masks = np.stack([labels == entity for entity in range(layout.entities)]).astype(np.uint8) * 255
    if layout.masks_last:
        masks = masks.transpose(1, 2, 0)
    features: Dict[str, Any] = {"image": draw_image(layout, number), "mask": masks}
    objects = object_count(layout, number)
    present = np.arange(layout.entities) < layout.background + objects
    values = np.random.RandomState(number).uniform(-1, 1, (4, layout.entities)).astype(np.float32)
    features.update(zip(("x", "y", "z", "color"), values))
    if layout.has_visibility:
        features["visibility"] = present.astype(np.float32)
    for place, name in enumerate(PROPERTIES if layout.has_targets else ()):
        codes = 1 + (np.arange(layout.entities) + place) % 2
        codes[~present] = codes[0] = 0
        features[name] = codes.astype(np.uint8)
    return features


def scene_records(layout: RecordFile, count: int) -> List[bytes]:
    """The records of the first scenes."""
    return [example(record_features(layout, number)) for number in range(count)]


def png(image: np.ndarray, kind: str = "PNG") -> bytes:
    """An image as a file."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(image).save(stream, kind)
    return stream.getvalue()


def clevr_image(number: int, size: Tuple[int, int] = (24, 36)) -> np.ndarray:
    """The image of CLEVR scene `number`, uint8 (height, width, 3)."""
    return np.random.RandomState(number).randint(0, 256, size + (3,)).astype(np.uint8)


def clevr_objects(number: int) -> List[Dict[str, Any]]:
    """The objects of CLEVR scene `number`: one to three."""
    return [
        {
            "size": PROPERTIES["size"][(number + place) % 2],
            "material": PROPERTIES["material"][number % 2],
            "shape": PROPERTIES["shape"][(number + place) % 3],
            "color": PROPERTIES["color"][(number + place) % 8],
            "3d_coords": [place - 1.5, 0.25 * place, 0.35],
        }
        for place in range(1 + number % 3)
    ]


def write_clevr_original(folder: Path, train: int, validation: int) -> Path:
    """Writes CLEVR_v1.0 below a folder as its authors publish it; returns the folder."""
    for split, count in (("train", train), ("val", validation)):
        images = folder / "CLEVR_v1.0" / "images" / split
        images.mkdir(parents=True)
        scenes = []
        for number in range(count):
            name = f"CLEVR_{split}_{number:06d}.png"
            (images / name).write_bytes(png(clevr_image(number)))
            scenes.append({"image_filename": name, "objects": clevr_objects(number)})
        path = folder / "CLEVR_v1.0" / "scenes" / f"CLEVR_{split}_scenes.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"scenes": scenes}))
    return folder


def write_clevr_prepared(folder: Path, train: int, validation: int) -> Path:
    """Writes record files as tensorflow-datasets prepares clevr 3.1.0; returns the folder."""
    for split, count in (("train", train), ("validation", validation)):
        for shard, numbers in enumerate(np.array_split(np.arange(count), 2)):
            name = f"clevr-{split}.tfrecord-{shard:05d}-of-00002"
            records = [example(clevr_features(int(number))) for number in numbers]
            write_records(folder / "clevr" / "3.1.0" / name, records, compressed=False)
    return folder


def clevr_features(number: int) -> Dict[str, Any]:
    """The features of CLEVR scene `number`."""
    objects = clevr_objects(number)
    features: Dict[str, Any] = {
        "objects/" + key: np.array([values.index(item[key]) for item in objects])
        for key, values in PROPERTIES.items()
    }
    coordinates = np.array([item["3d_coords"] for item in objects], np.float32)
    return {
        **features,
        "objects/3d_coords": coordinates,
        "file_name": b"CLEVR.png",
        "image": png(clevr_image(number)),
    }
