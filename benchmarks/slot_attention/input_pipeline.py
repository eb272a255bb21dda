"""How many images a second the input pipeline gives, beside a plain chain in the reference's way.

The data are CLEVR-like 320x480 PNG images in record files as tensorflow-datasets writes them. The
plain chain reads, parses, decodes, filters, crops and resizes one image after the other; ours is
measured over its first epoch (decoding, filling the cache) and its second (from the cache).

    python -m benchmarks.slot_attention.input_pipeline --folder FOLDER --crop clevr_reference
"""

from __future__ import annotations

import argparse
import io
import shutil
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, List, NamedTuple, Tuple

import numpy as np

from common.training.tensorflow.runtime import tf
from slot_attention.data.datasets import TRAIN_EVAL_COUNT, OpenOptions, open_dataset
from slot_attention.data.pipeline import training_batches
from slot_attention.synthetic.scene_layout import SceneSettings
from slot_attention.synthetic.scenes import draw_scene

SIZE = (320, 480)
DISTINCT_SCENES = 16
BATCH_SIZE = 64
RESOLUTION = (128, 128)


class Span(NamedTuple):
    """One measured span of steps.

    Attributes:
        rate: images per second.
        cpu: milliseconds of all cores per image; tells more than the rate on a busy machine.
    """

    rate: float
    cpu: float


@dataclass(frozen=True)
class Figure:
    """A pipeline's measured spans."""

    name: str
    spans: Tuple[Span, ...]

    @property
    def text(self) -> str:
        """Median, lowest and highest rate, and the median cost."""
        rates = [span.rate for span in self.spans]
        return (
            f"{self.name:<30} {self.median:6.0f} images/s ({min(rates):.0f} to "
            f"{max(rates):.0f}, {len(rates)} runs), "
            f"{statistics.median(span.cpu for span in self.spans):.2f} ms CPU/image"
        )

    @property
    def median(self) -> float:
        """The median rate."""
        return statistics.median(span.rate for span in self.spans)


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
    image = draw_scene(0, "train", index, SceneSettings(image_size=SIZE)).image
    noise = np.random.RandomState(index).normal(0, 1.2, image.shape)
    png = _png(np.clip(image + noise, 0, 255).astype(np.uint8))
    codes = {
        "objects/" + name: _integers([0, 1, 1]) for name in ("size", "material", "shape", "color")
    }
    features = {
        "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[png])),
        "objects/3d_coords": tf.train.Feature(float_list=tf.train.FloatList(value=[0.5] * 9)),
        **codes,
    }
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def _integers(values: List[int]) -> Any:
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


def _png(image: np.ndarray) -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    return stream.getvalue()


def plain_chain(folder: Path, crop: str) -> Any:
    """The reference's order of work, serial: parse, decode, filter, preprocess, batch."""
    path = folder / "clevr" / "3.1.0" / "clevr-train.tfrecord-00000-of-00001"
    records = tf.data.TFRecordDataset([str(path)]).repeat()
    scenes = records.map(_parse).filter(lambda scene: tf.shape(scene["size"])[0] <= 6)
    return scenes.map(lambda scene: _preprocess(scene["image"], crop)).batch(
        BATCH_SIZE, drop_remainder=True
    )


def _parse(record: Any) -> Any:
    parsed = tf.io.parse_single_example(
        record,
        {
            "image": tf.io.FixedLenFeature([], tf.string),
            "objects/size": tf.io.VarLenFeature(tf.int64),
        },
    )
    return {
        "image": tf.image.decode_png(parsed["image"], channels=3),
        "size": tf.sparse.to_dense(parsed["objects/size"]),
    }


def _preprocess(image: Any, crop: str) -> Any:
    image = ((tf.cast(image, tf.float32) / 255.0) - 0.5) * 2.0
    if crop == "clevr_reference":
        image = image[29:221, 64:256, :]
    image = tf.image.resize_bilinear(
        image[tf.newaxis], RESOLUTION, align_corners=False, half_pixel_centers=True
    )[0]
    return tf.clip_by_value(image, -1.0, 1.0)


def our_pipeline(folder: Path, crop: str, storage: str) -> Any:
    """Training batches with the cache on disk."""
    dataset = open_dataset(
        "clevr", str(folder), OpenOptions(max_objects=6, cache_path=str(folder / "cache"))
    )
    geometry = dataset.geometry(RESOLUTION, crop, storage=storage)
    batches = training_batches(dataset, geometry, BATCH_SIZE, 0)
    return batches.map(lambda batch: batch["image"])


def run(make: Callable[[], Any], steps: int, warm_up: int = 3) -> Span:
    """Measures some steps after the warm-up of one run."""
    with tf.Graph().as_default(), tf.Session() as session:
        iterator = tf.data.make_initializable_iterator(make())
        images = iterator.get_next()
        session.run(iterator.initializer)
        for _ in range(warm_up):
            session.run(images.op)
        return _measured(session, images.op, steps)


def _measured(session: Any, operation: Any, steps: int) -> Span:
    begin, begin_cpu = time.perf_counter(), time.process_time()
    for _ in range(steps):
        session.run(operation)
    images = steps * BATCH_SIZE
    seconds, cpu = time.perf_counter() - begin, time.process_time() - begin_cpu
    return Span(images / seconds, 1000 * cpu / images)


def measure(folder: Path, count: int, crop: str, storage: str, repeats: int) -> List[Figure]:
    """Measures the plain chain and our first and later epochs, each `repeats` times."""
    epoch = count // BATCH_SIZE
    plain: List[Span] = []
    first: List[Span] = []
    later: List[Span] = []
    for _ in range(repeats):
        plain.append(run(lambda: plain_chain(folder, crop), epoch // 2))
        shutil.rmtree(str(folder / "cache"), ignore_errors=True)
        # The last batches of the epoch are left out: the second epoch's are prefetched by then.
        first.append(run(lambda: our_pipeline(folder, crop, storage), epoch - 6))
        later.append(run(lambda: our_pipeline(folder, crop, storage), 4 * epoch, 2 * epoch))
    return [
        Figure("plain chain (reference's way)", tuple(plain)),
        Figure("first epoch", tuple(first)),
        Figure("later epochs, from the cache", tuple(later)),
    ]


def main() -> None:
    """Writes the data where they lack, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="for data and cache")
    parser.add_argument("--count", type=int, default=1024, help="training images")
    parser.add_argument("--crop", default="clevr_reference", help="or none")
    parser.add_argument("--storage", default="exact", help="or rounded")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    if not (arguments.folder / "clevr").exists():
        write_data(arguments.folder, arguments.count)
    figures = measure(
        arguments.folder, arguments.count, arguments.crop, arguments.storage, arguments.repeats
    )
    print(
        f"TensorFlow {tf.__version__}, crop {arguments.crop}, storage "
        f"{arguments.storage}, batch {BATCH_SIZE}"
    )
    for figure in figures:
        print(figure.text + f"  x{figure.median / figures[0].median:.2f}")


if __name__ == "__main__":
    main()
