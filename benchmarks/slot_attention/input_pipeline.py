"""How many images a second the input pipeline gives, beside a plain chain in the reference's way.

The data are CLEVR-like 320x480 PNG images in record files as tensorflow-datasets writes them. The
plain chain reads, parses, decodes, filters, crops and resizes one image after the other; ours is
measured over its first epoch (preparing the arrays and reading them) and later ones.

    python -m benchmarks.slot_attention.input_pipeline --folder FOLDER --crop clevr_reference
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import time
from pathlib import Path
from typing import Any, Callable

import numpy as np

from benchmarks.harness import Spread
from slot_attention.data.arrays import CACHE_NAME, prepare
from slot_attention.data.batches import TrainingOrder
from slot_attention.data.clevr import TRAIN_EVAL_COUNT
from slot_attention.data.datasets import find_scenes
from slot_attention.data.scenes import PROPERTIES
from slot_attention.synthetic.scenes import SceneSettings, draw_scene

if __name__ != "__mp_main__":  # the processes that prepare import this module too
    from common.training.tensorflow.runtime import tf
    from slot_attention.data.pipeline import scene_batches

SIZE = (320, 480)
DISTINCT_SCENES = 16
BATCH_SIZE = 64
RESOLUTION = (128, 128)


def write_data(folder: Path, count: int) -> None:
    """Writes count training images, those that the splits hold out, and one for validation."""
    prepared = folder / "clevr" / "3.1.0"
    prepared.mkdir(parents=True)
    records = [_record(index) for index in range(DISTINCT_SCENES)]
    for split, number in (("train", TRAIN_EVAL_COUNT + count), ("validation", 1)):
        path = prepared / f"clevr-{split}.tfrecord-00000-of-00001"
        with tf.io.TFRecordWriter(str(path)) as writer:
            for index in range(number):
                writer.write(records[index % len(records)])


def _record(index: int) -> bytes:
    """One scene with sensor noise, so that the PNG is about as large as CLEVR's (180 kB)."""
    from PIL import Image

    image = draw_scene(0, "train", index, SceneSettings(image_size=SIZE)).image
    noise = np.random.RandomState(index).normal(0, 1.2, image.shape)
    png = io.BytesIO()
    Image.fromarray(np.clip(image + noise, 0, 255).astype(np.uint8)).save(png, "PNG")
    codes = tf.train.Feature(int64_list=tf.train.Int64List(value=[0, 1, 1]))
    features = {f"objects/{name}": codes for name in PROPERTIES}
    places = tf.train.FloatList(value=[0.5] * 9)
    features["objects/3d_coords"] = tf.train.Feature(float_list=places)
    encoded = tf.train.BytesList(value=[png.getvalue()])
    features["image"] = tf.train.Feature(bytes_list=encoded)
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def plain_chain(folder: Path, crop: str) -> Any:
    """The reference's order of work, serial: parse, decode, filter, preprocess, batch."""
    path = folder / "clevr" / "3.1.0" / "clevr-train.tfrecord-00000-of-00001"
    kinds = {
        "image": tf.io.FixedLenFeature([], tf.string),
        "objects/size": tf.io.VarLenFeature(tf.int64),
    }

    def parse(record: Any) -> Any:
        parsed = tf.io.parse_single_example(record, kinds)
        objects = tf.shape(tf.sparse.to_dense(parsed["objects/size"]))[0]
        return tf.image.decode_png(parsed["image"], channels=3), objects

    def preprocess(image: Any, objects: Any) -> Any:
        image = ((tf.cast(image, tf.float32) / 255.0) - 0.5) * 2.0
        if crop == "clevr_reference":
            image = image[29:221, 64:256, :]
        image = tf.image.resize_bilinear(
            image[tf.newaxis], RESOLUTION, align_corners=False, half_pixel_centers=True
        )[0]
        return tf.clip_by_value(image, -1.0, 1.0)

    scenes = tf.data.TFRecordDataset([str(path)]).repeat().map(parse)
    few = scenes.filter(lambda image, objects: objects <= 6)
    return few.map(preprocess).batch(BATCH_SIZE, drop_remainder=True)


def our_pipeline(folder: Path, crop: str) -> Any:
    """Training batches, after the scenes were prepared where they are not."""
    cores = len(os.sched_getaffinity(0))
    source = find_scenes("clevr", str(folder), max_objects=6)
    dataset = prepare(source, source.facts.geometry(RESOLUTION, crop), True, None, cores)
    order = TrainingOrder(dataset.counts["train"], BATCH_SIZE, 0)
    batches = scene_batches(dataset, "train", order, workers=cores)
    return batches.map(lambda batch: batch["image"])


def rate(make: Callable[[], Any], steps: int, warm_up: int = 0) -> float:
    """Images a second of some steps, from before the data is opened unless it warms up."""
    began = time.perf_counter()
    with tf.Graph().as_default(), tf.Session() as session:
        iterator = tf.data.make_initializable_iterator(make())
        images = iterator.get_next().op
        session.run(iterator.initializer)
        for number in range(warm_up + steps):
            if warm_up and number == warm_up:
                began = time.perf_counter()
            session.run(images)
        return steps * BATCH_SIZE / (time.perf_counter() - began)


def main() -> None:
    """Writes the data where they lack, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="for data and arrays")
    parser.add_argument("--count", type=int, default=1024, help="training images")
    parser.add_argument("--crop", default="clevr_reference", help="or none")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    folder, crop, epoch = arguments.folder, arguments.crop, arguments.count // BATCH_SIZE
    if not (folder / "clevr").exists():
        write_data(folder, arguments.count)
    plain, first, later = [], [], []
    for _ in range(arguments.repeats):
        plain.append(rate(lambda: plain_chain(folder, crop), epoch // 2, 3))
        shutil.rmtree(str(folder / "clevr" / "3.1.0" / CACHE_NAME), ignore_errors=True)
        first.append(rate(lambda: our_pipeline(folder, crop), epoch))
        later.append(rate(lambda: our_pipeline(folder, crop), 4 * epoch, epoch))
    print(f"TensorFlow {tf.__version__}, crop {crop}, batch {BATCH_SIZE}")
    base = Spread(plain).median
    for name, rates in (("plain chain", plain), ("first epoch", first), ("later epochs", later)):
        told = Spread(rates)
        print(f"{name:<14} {told.text(0)} images/s, {told.median / base:.1f} times")


if __name__ == "__main__":
    main()
