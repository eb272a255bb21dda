"""Synthetic scenes: the same for a seed everywhere, masks that fit the picture, settings."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math

import numpy as np
import pytest

from common.core.errors import UsageError, ZooError
from slot_attention.synthetic.scenes import SceneSettings, arrange, draw_scene
from slot_attention.synthetic.sprites import SpriteSettings, draw_sprite_scene
from slot_attention.synthetic.tracing import (
    CAMERA_PLACE,
    RADII,
    ground_axes,
    look_from,
)

SMALL = SceneSettings(image_size=(48, 64))
SPRITES = SpriteSettings()


def drawn(settings, count=30):
    draw = draw_scene if isinstance(settings, SceneSettings) else draw_sprite_scene
    return [draw(0, "train", index, settings) for index in range(count)]


@pytest.mark.parametrize(
    "settings, count, digest",
    [
        (SceneSettings(image_size=(60, 80)), 6, "6ecd4a0f40db7b42"),
        (
            SpriteSettings(image_size=(35, 40), background="color", colors="random"),
            20,
            "1294ed17cb86aa30",
        ),
    ],
)
def test_a_seed_gives_the_same_scenes_on_every_stack(settings, count, digest):
    scenes, found = drawn(settings, count), hashlib.sha256()
    entities = np.arange(settings.entities, dtype=np.uint8)[:, None, None]
    for part in [one.image for one in scenes] + [one.labels == entities for one in scenes]:
        found.update(np.ascontiguousarray(part).tobytes())
    assert found.hexdigest()[:16] == digest


@pytest.mark.parametrize(
    "settings", [SMALL, SpriteSettings(objects=(1, 4), scale=(0.2, 0.3))], ids=["scenes", "sprites"]
)
def test_labels_number_the_objects_whose_number_takes_every_value(settings):
    scenes, (low, high) = drawn(settings, 60), settings.objects
    assert {scene.objects for scene in scenes} == set(range(low, high + 1))
    for scene in scenes:
        assert np.unique(scene.labels).tolist() == list(range(scene.objects + 1))
        if scene.target is not None:
            real = [1] * scene.objects + [0] * (10 - scene.objects)
            assert scene.target[:, 18].tolist() == real


@pytest.mark.parametrize(
    "free, bound",
    [
        (
            SceneSettings(image_size=(60, 80), objects=(8, 8), visible=0.0, smallest=0),
            {"visible": 0.5, "smallest": 300},
        ),
        (SpriteSettings(objects=(3, 3), scale=(0.4, 0.5), visible=0.0), {"visible": 0.6}),
    ],
)
def test_no_object_is_hidden_more_than_visible_allows(free, bound):
    most = free.objects[1] + 1
    loose, strict = (
        min(np.bincount(scene.labels.ravel(), minlength=most).min() for scene in drawn(settings, 8))
        for settings in (free, dataclasses.replace(free, **bound))
    )
    assert loose < strict * 0.8


@pytest.mark.parametrize(
    "kind, bad",
    [(SceneSettings, {"image_size": (8, 8)})]
    + [(SceneSettings, {"objects": pair}) for pair in ((0, 3), (5, 4), (3, 11))]
    + [(SceneSettings, {name: value}) for name, value in (("visible", 2.0), ("gap", -1.0))]
    + [(SpriteSettings, {"image_size": (4, 32)}), (SpriteSettings, {"objects": (9, 9)})]
    + [(SpriteSettings, {"shapes": names}) for names in (("blob",), ())]
    + [(SpriteSettings, {"scale": pair}) for pair in ((0.0, 0.3), (0.5, 0.9))]
    + [(SpriteSettings, {"colors": "pink"}), (SpriteSettings, {"background": "white"})],
)
def test_a_bad_setting_is_named(kind, bad):
    with pytest.raises(UsageError, match=f"--{list(bad)[0]} is .*; expected"):
        kind(**bad)


def test_objects_that_do_not_fit_are_said_to():
    with pytest.raises(ZooError, match="10 objects don't fit with gap=2"):
        draw_scene(0, "train", 0, dataclasses.replace(SMALL, objects=(10, 10), gap=2.0))
    settings = SpriteSettings(objects=(6, 6), scale=(0.6, 0.7), overlap=False)
    with pytest.raises(ZooError, match="6 sprites .* don't fit into 32x32"):
        draw_sprite_scene(0, "train", 0, settings)


# Sprites


def touching(scene):
    """Whether pixels of two sprites are neighbours, of eight."""
    labels = np.pad(scene.labels, 1)
    middle = labels[1:-1, 1:-1]
    for down in range(3):
        for right in range(3):
            other = labels[down : down + middle.shape[0], right : right + middle.shape[1]]
            if ((middle > 0) & (other > 0) & (middle != other)).any():
                return True
    return False


def test_sprites_touch_only_where_overlap_is_allowed():
    settings = SpriteSettings(objects=(3, 3), scale=(0.25, 0.4))
    assert any(touching(scene) for scene in drawn(settings, 60))
    apart = dataclasses.replace(settings, overlap=False)
    assert not any(touching(scene) for scene in drawn(apart, 60))


# 3-D scenes


def test_objects_lie_in_clevrs_square_and_keep_their_distance():
    settings = dataclasses.replace(SMALL, gap=0.3)
    for seed in range(30):
        things = arrange(np.random.RandomState(seed), settings)
        for number, thing in enumerate(things):
            assert max(abs(thing.x), abs(thing.y)) <= 3 and thing.centre[2] == RADII[thing.size]
            for other in things[:number]:
                apart = math.hypot(thing.x - other.x, thing.y - other.y)
                assert apart >= thing.reach + other.reach + 0.3


def recovered_camera(objects):
    """Position and focal length from 3-D and pixel coordinates of objects at 240x320."""
    places = np.array([thing["3d_coords"] + [1] for thing in objects])
    seen = np.array([thing["pixel_coords"] for thing in objects], float)
    centred = (seen[:, :2] + 0.5 - (160, 120)) * seen[:, 2:]
    matrix = np.linalg.lstsq(places, np.hstack([centred, seen[:, 2:]]), rcond=None)[0].T
    return -np.linalg.solve(matrix[:, :3], matrix[:, 3]), np.linalg.norm(matrix[0, :3])


def test_camera_and_directions_are_those_of_the_clevr_generator(zoo_data):
    camera = look_from(CAMERA_PLACE, (240, 320))
    files = sorted((zoo_data("clevr_samples") / "clevr_generator/scenes").glob("*.json"))
    described = [json.loads(path.read_text()) for path in files]
    many = [scene["objects"] for scene in described if len(scene["objects"]) >= 7]
    assert len(many) == 7
    for objects in many:
        position, focal = recovered_camera(objects)
        assert np.abs(position - CAMERA_PLACE).max() <= 0.6  # its jitter is 0.5
        assert focal == pytest.approx(camera.focal[0], rel=0.003)
    for name, vector in zip(("right", "front"), ground_axes()):
        assert np.allclose(vector, described[0]["directions"][name], atol=2e-3), name
