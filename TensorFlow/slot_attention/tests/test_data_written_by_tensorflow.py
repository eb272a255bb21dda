"""Our reader of record files agrees with TensorFlow's writer and parser."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict

import data_files as files
import numpy as np
import pytest

from common.training.tensorflow.runtime import tf
from slot_attention.data.datasets import OpenOptions, open_dataset
from slot_attention.data.example import read_features
from slot_attention.data.layouts import MULTI_DSPRITES, TETROMINOES, Layout
from slot_attention.data.stores import open_store
from slot_attention.data.tfrecord import index_records, read_gzip_records

pytestmark = pytest.mark.tensorflow


def feature(values: Any) -> Any:
    values = np.asarray(values)
    if values.dtype == np.uint8:
        single = [bytes([value]) for value in values.reshape(-1)]
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=single))
    return tf.train.Feature(float_list=tf.train.FloatList(value=values.reshape(-1)))


def written_record(layout: Layout, number: int) -> bytes:
    """Scene `number` in the authors' way: every byte a string of a bytes list."""
    labels = files.draw_labels(layout, files.object_count(layout, number))
    masks = np.stack([labels == entity for entity in range(layout.entities)], axis=0)
    masks = masks.transpose(1, 2, 0) if layout.masks_last else masks
    values: Dict[str, Any] = {
        name: np.full((layout.entities, width), 0.5, np.float32) for name, width in layout.floats
    }
    values["image"] = files.draw_image(layout, number)
    values["mask"] = masks.astype(np.uint8) * 255
    encoded = {name: feature(value) for name, value in values.items()}
    return tf.train.Example(features=tf.train.Features(feature=encoded)).SerializeToString()


@pytest.mark.parametrize(
    "name, layout",
    [
        ("tetrominoes", TETROMINOES),
        ("multi_dsprites_colored_on_colored", MULTI_DSPRITES["colored_on_colored"]),
    ],
)
def test_scenes_written_by_tensorflow_are_read(name: str, layout: Layout, tmp_path: Path) -> None:
    file_name = {"tetrominoes": "tetrominoes_train"}.get(name, name) + ".tfrecords"
    compressed = tf.io.TFRecordOptions(compression_type="GZIP")
    with tf.io.TFRecordWriter(str(tmp_path / file_name), compressed) as writer:
        for number in range(4):
            writer.write(written_record(layout, number))
    dataset = open_dataset(name, str(tmp_path), OpenOptions(train_records=2, held_out=1))
    rows = open_store(dataset, "train", dataset.geometry(), "none", False).rows(np.arange(2))
    for number in range(2):
        labels = files.draw_labels(layout, files.object_count(layout, number))
        np.testing.assert_array_equal(rows.images[number], files.draw_image(layout, number))
        np.testing.assert_array_equal(rows.labels[number], labels)


def test_tensorflow_parses_what_our_tests_write(tmp_path: Path) -> None:
    record = files.scene_record(TETROMINOES, 1)
    with tf.Graph().as_default(), tf.Session() as session:
        parsed = session.run(
            tf.io.parse_single_example(
                tf.constant(record),
                {
                    "image": tf.io.FixedLenFeature((35, 35, 3), tf.string),
                    "visibility": tf.io.FixedLenFeature((4,), tf.float32),
                },
            )
        )
    image = np.frombuffer(b"".join(parsed["image"].reshape(-1)), np.uint8).reshape(35, 35, 3)
    np.testing.assert_array_equal(image, files.draw_image(TETROMINOES, 1))
    assert parsed["visibility"].tolist() == [1, 1, 1, 0]


def test_features_of_every_type_are_read() -> None:
    encoded = tf.train.Example(
        features=tf.train.Features(
            feature={
                "numbers": tf.train.Feature(int64_list=tf.train.Int64List(value=[0, 300, -5])),
                "floats": tf.train.Feature(float_list=tf.train.FloatList(value=[0.5, -2])),
                "texts": tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"one", b""])),
                "empty": tf.train.Feature(int64_list=tf.train.Int64List(value=[])),
            }
        )
    ).SerializeToString()
    features = read_features(encoded)
    assert features["numbers"].integers().tolist() == [0, 300, -5]
    assert features["floats"].floats().tolist() == [0.5, -2]
    assert [bytes(text) for text in features["texts"].strings()] == [b"one", b""]
    assert features["empty"].integers().tolist() == []


def test_positions_of_records_written_by_tensorflow_are_found(tmp_path: Path) -> None:
    path = tmp_path / "plain.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in (b"first", b"", b"third one"):
            writer.write(record)
    offsets, lengths = index_records(path)
    content = path.read_bytes()
    assert [content[offset : offset + length] for offset, length in zip(offsets, lengths)] == [
        b"first",
        b"",
        b"third one",
    ]


def test_our_stream_of_records_equals_tensorflows(tmp_path: Path) -> None:
    path = tmp_path / "records"
    compressed = tf.io.TFRecordOptions(compression_type="GZIP")
    written = [bytes([number]) * number * 1000 for number in range(5)]
    with tf.io.TFRecordWriter(str(path), compressed) as writer:
        for record in written:
            writer.write(record)
    assert list(read_gzip_records(path)) == written
