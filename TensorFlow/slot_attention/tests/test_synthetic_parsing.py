"""TensorFlow's own readers on record files that were written without it."""

from __future__ import annotations

import io

import numpy as np
import pytest
from synthetic_writing import quiet_terminal

from common.training.tensorflow.runtime import tf
from slot_attention.synthetic.example_encoding import encode_examples
from slot_attention.synthetic.records import SCENES, SPRITES
from slot_attention.synthetic.scene_layout import SceneSettings
from slot_attention.synthetic.scenes import draw_scene
from slot_attention.synthetic.sprites import SpriteSettings, draw_sprite_scene
from slot_attention.synthetic.writer import Request, write_records

pytestmark = pytest.mark.tensorflow


def test_protobuf_reads_the_same_values():
    draws = np.random.RandomState(0)
    features = {
        "image": draws.randint(0, 256, (2, 9, 7, 3)).astype(np.uint8),
        "x": draws.random_sample((2, 5)).astype(np.float32),
    }
    for number, message in enumerate(encode_examples(features)):
        found = tf.train.Example.FromString(message.tobytes()).features.feature
        assert set(found) == {"image", "x"}
        assert b"".join(found["image"].bytes_list.value) == features["image"][number].tobytes()
        assert {len(value) for value in found["image"].bytes_list.value} == {1}
        assert np.array_equal(
            np.array(found["x"].float_list.value, np.float32), features["x"][number]
        )


def parsed_records(path, shapes):
    """All records of a file, read as multi_object_datasets reads its own."""
    columns = {name: tf.io.FixedLenFeature(shape, kind) for name, (shape, kind) in shapes.items()}
    with tf.Graph().as_default(), tf.Session() as session:
        records = tf.data.TFRecordDataset(str(path), compression_type="GZIP")
        batch = records.map(lambda record: tf.io.parse_single_example(record, columns)).map(
            lambda record: {name: _decoded(value) for name, value in record.items()}
        )
        following = tf.data.make_one_shot_iterator(batch).get_next()
        found = []
        while True:
            try:
                found.append(session.run(following))
            except tf.errors.OutOfRangeError:
                return found


def _decoded(value):
    return tf.squeeze(tf.io.decode_raw(value, tf.uint8), -1) if value.dtype == tf.string else value


def write(tmp_path, name, settings, count):
    request = Request(name, settings, {"train": count}, seed=5)
    folder = write_records(tmp_path, request, quiet_terminal(io.StringIO()))
    return folder / "train.tfrecords"


def test_a_file_of_sprites(tmp_path):
    settings = SpriteSettings(image_size=(32, 32), objects=(1, 2))
    path = write(tmp_path, SPRITES, settings, 300)
    found = parsed_records(
        path,
        {
            "image": ([32, 32, 3], tf.string),
            "mask": ([32, 32, 3, 1], tf.string),
            "shape": ([3], tf.float32),
            "color": ([3, 3], tf.float32),
        },
    )
    assert len(found) == 300
    expected = draw_sprite_scene(5, "train", 299, settings)
    assert np.array_equal(found[299]["image"], expected.image)
    assert np.array_equal(found[299]["mask"][..., 1, 0] == 255, expected.masks[1])
    assert np.array_equal(found[299]["color"], expected.color)


def test_a_file_of_scenes(tmp_path):
    settings = SceneSettings(image_size=(48, 64))
    path = write(tmp_path, SCENES, settings, 4)
    found = parsed_records(
        path,
        {
            "image": ([48, 64, 3], tf.string),
            "mask": ([7, 48, 64, 1], tf.string),
            "size": ([7], tf.string),
            "pixel_coords": ([7, 3], tf.float32),
        },
    )
    assert len(found) == 4
    expected = draw_scene(5, "train", 3, settings)
    assert np.array_equal(found[3]["image"], expected.image)
    assert np.array_equal(found[3]["mask"][..., 0] == 255, expected.masks)
    assert found[3]["size"][0] == 0 and found[3]["size"][1] in (1, 2)
    assert np.array_equal(found[3]["pixel_coords"][1], np.float32(expected.pixel_coords[0]))
