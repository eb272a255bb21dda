"""Record files: bytes that protobuf, TFRecord and gzip agree on."""

from __future__ import annotations

import gzip
import io
import struct

import numpy as np
import pytest

from slot_attention.synthetic.checksums import CRC32C, crc32c_of_rows, join_checks
from slot_attention.synthetic.example_encoding import encode_examples, frame_records
from slot_attention.synthetic.gzip_pieces import GzipStream, compress_piece
from slot_attention.synthetic.records import (
    CODES,
    KINDS,
    SCENES,
    SPRITES,
    jobs_of,
    scene_features,
    sprite_features,
)
from slot_attention.synthetic.scene_layout import SceneSettings
from slot_attention.synthetic.scenes import draw_scene
from slot_attention.synthetic.sprites import SpriteSettings, draw_sprite_scene


def crc32c_bit_by_bit(data):
    state = 0xFFFFFFFF
    for byte in data:
        state ^= byte
        for _ in range(8):
            state = (state >> 1) ^ (CRC32C if state & 1 else 0)
    return state ^ 0xFFFFFFFF


def rows_of(data):
    return np.frombuffer(data, np.uint8)[None]


def test_the_published_check_value():
    assert int(crc32c_of_rows(rows_of(b"123456789"))[0]) == 0xE3069283


@pytest.mark.parametrize("length", [1, 2, 8, 255, 256, 257, 4099])
def test_checks_of_any_length(length):
    rows = np.random.RandomState(length).randint(0, 256, (3, length)).astype(np.uint8)
    assert crc32c_of_rows(rows).tolist() == [crc32c_bit_by_bit(row.tobytes()) for row in rows]


def test_checks_of_pieces_join():
    first, second = b"what a record ", b"is made of"
    checks = [crc32c_bit_by_bit(part) for part in (first, second)]
    assert join_checks(CRC32C, checks[0], checks[1], len(second)) == crc32c_bit_by_bit(
        first + second
    )


def test_pieces_are_one_gzip_member():
    stream = io.BytesIO()
    whole = GzipStream(stream)
    for part in (b"first " * 500, b"", b"second"):
        whole.add(compress_piece(part))
    whole.finish()
    assert gzip.decompress(stream.getvalue()) == b"first " * 500 + b"second"
    assert stream.getvalue().count(b"\x1f\x8b\x08") == 1


def test_a_frame_is_length_check_message_check():
    message = np.arange(300).astype(np.uint8)[None]
    frame = frame_records(message)
    assert struct.unpack("<Q", frame[:8]) == (300,)
    assert frame[12:312] == message.tobytes() and len(frame) == 316


def test_other_types_are_refused():
    with pytest.raises(TypeError, match="int64"):
        encode_examples({"x": np.zeros((2, 3), np.int64)})


def test_sprites_are_laid_out_as_multi_dsprites():
    settings = SpriteSettings(image_size=(32, 40), objects=(2, 4), scale=(0.2, 0.3))
    scenes = [draw_sprite_scene(0, "train", index, settings) for index in range(3)]
    features = sprite_features(scenes)
    assert {name: array.shape[1:] for name, array in features.items()} == {
        "image": (32, 40, 3),
        "mask": (32, 40, 5, 1),
        "x": (5,),
        "y": (5,),
        "shape": (5,),
        "visibility": (5,),
        "orientation": (5,),
        "scale": (5,),
        "color": (5, 3),
    }
    assert (features["mask"][1, :, :, 2, 0] == scenes[1].masks[2] * np.uint8(255)).all()


def test_scenes_are_laid_out_as_clevr_with_masks():
    scenes = [
        draw_scene(0, "train", index, SceneSettings(image_size=(48, 64))) for index in range(3)
    ]
    features = scene_features(scenes)
    shapes = {name: array.shape[1:] for name, array in features.items()}
    assert shapes.pop("image") == (48, 64, 3) and shapes.pop("mask") == (7, 48, 64, 1)
    assert shapes.pop("pixel_coords") == (7, 3)
    assert shapes == dict.fromkeys(
        ("x", "y", "z", "rotation", "visibility", "size", "material", "shape", "color"), (7,)
    )
    bytes_too = {name for name, array in features.items() if array.dtype == np.uint8}
    assert bytes_too == {"image", "mask", "size", "material", "shape", "color"}


def test_a_scenes_properties_are_codes_from_one():
    scene = draw_scene(0, "train", 1, SceneSettings(image_size=(48, 64)))
    features = scene_features([scene])
    count = len(scene.objects)
    assert features["color"][0].tolist() == (
        [0] + [CODES["color"][thing.color] for thing in scene.objects] + [0] * (6 - count)
    )
    assert features["visibility"][0].tolist() == [1.0] * (count + 1) + [0.0] * (6 - count)
    assert features["z"][0, 1] == np.float32(scene.objects[0].z)


@pytest.mark.parametrize("name", [SPRITES, SCENES])
def test_jobs_cover_a_split_once(name):
    jobs = jobs_of(name, KINDS[name].settings(), 0, "train", 1001)
    covered = [index for job in jobs for index in range(job.start, job.start + job.count)]
    assert covered == list(range(1001)) and len(jobs) > 1
