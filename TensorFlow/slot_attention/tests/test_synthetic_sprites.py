"""2-D scenes: the same for a seed everywhere, masks that fit the picture, settings that bind."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
import pytest

from common.core.errors import ZooError
from slot_attention.synthetic.sprites import (
    PALETTE,
    SHAPES,
    SpriteSettings,
    draw_sprite_scene,
)

MANY = 60
DEFAULTS = SpriteSettings()


def scenes(settings=DEFAULTS, count=MANY, seed=0, split="train"):
    return [draw_sprite_scene(seed, split, index, settings) for index in range(count)]


def test_a_seed_gives_the_same_scenes_on_every_stack():
    settings = SpriteSettings(image_size=(35, 40), background="color", colors="random")
    drawn, found = scenes(settings, 20), hashlib.sha256()
    entities = np.arange(settings.entities, dtype=np.uint8)[:, None, None]
    for part in [one.image for one in drawn] + [one.labels == entities for one in drawn]:
        found.update(np.ascontiguousarray(part).tobytes())
    assert found.hexdigest()[:16] == "1294ed17cb86aa30"


@pytest.mark.parametrize("place", [(1, "train", 0), (0, "validation", 0), (0, "train", 1)])
def test_seed_split_and_index_each_change_the_scene(place):
    assert (draw_sprite_scene(*place).image != draw_sprite_scene(0, "train", 0).image).any()


def test_a_sprite_has_one_color_unlike_the_background():
    for scene in scenes(SpriteSettings(background="color", colors="random")):
        colors = [np.unique(scene.image[scene.labels == one], axis=0) for one in range(4)]
        assert [len(rows) for rows in colors] == [int(one <= scene.objects) for one in range(4)]
        for rows in colors[1 : scene.objects + 1]:
            assert np.abs(rows[0].astype(int) - colors[0][0].astype(int)).max() >= 64


def test_the_number_of_sprites_takes_every_value_of_its_range():
    drawn = scenes(SpriteSettings(objects=(1, 4), scale=(0.2, 0.3)))
    assert {scene.objects for scene in drawn} == {1, 2, 3, 4}
    assert all(set(np.unique(one.labels)) == set(range(one.objects + 1)) for one in drawn)


def test_sprites_are_not_hidden_more_than_visible_allows():
    free = SpriteSettings(objects=(3, 3), scale=(0.4, 0.5), visible=0.0)
    smallest = [
        min(np.bincount(scene.labels.ravel(), minlength=4).min() for scene in scenes(settings))
        for settings in (free, dataclasses.replace(free, visible=0.6))
    ]
    assert smallest[0] < smallest[1] * 0.5


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
    assert any(touching(scene) for scene in scenes(settings))
    apart = dataclasses.replace(settings, overlap=False)
    assert not any(touching(scene) for scene in scenes(apart))


def test_scale_is_the_size_and_rotation_can_be_left_out():
    settings = SpriteSettings(image_size=(64, 64), objects=(1, 1), shapes=("square",), rotate=False)
    settings = dataclasses.replace(settings, scale=(0.4, 0.4))
    for scene in scenes(settings, 20):
        assert abs(np.sqrt((scene.labels == 1).sum()) - 0.8 * 64 * 0.4) < 1.1
        rows, columns = np.nonzero(scene.labels)
        assert len(rows) == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)


def test_every_shape_is_drawn_as_itself():
    one = {"image_size": (64, 64), "objects": (1, 1), "scale": (0.5, 0.5), "rotate": False}
    areas = {
        int(draw_sprite_scene(0, "train", 0, SpriteSettings(shapes=(name,), **one)).labels.sum())
        for name in SHAPES
    }
    assert len(areas) == len(SHAPES) and min(areas) > 200


def test_the_palettes_colors_come_once_in_a_scene():
    for scene in scenes(SpriteSettings(objects=(4, 4), scale=(0.2, 0.3))):
        colors = {tuple(color) for color in scene.image[scene.labels > 0].tolist()}
        assert len(colors) == 4 and colors <= {tuple(row) for row in PALETTE.tolist()}


@pytest.mark.parametrize(
    "bad",
    [
        {"image_size": (4, 32)},
        {"objects": (0, 3)},
        {"objects": (3, 2)},
        {"objects": (9, 9)},
        {"shapes": ("blob",)},
        {"shapes": ()},
        {"scale": (0.0, 0.3)},
        {"scale": (0.5, 0.9)},
        {"colors": "pink"},
        {"background": "white"},
        {"visible": 1.5},
    ],
)
def test_a_bad_setting_is_named(bad):
    with pytest.raises(ZooError, match=f"{list(bad)[0]} is .*; expected"):
        SpriteSettings(**bad)


def test_sprites_that_do_not_fit_are_said_to():
    settings = SpriteSettings(objects=(6, 6), scale=(0.6, 0.7), overlap=False)
    with pytest.raises(ZooError, match="6 sprites .* don't fit into 32x32"):
        draw_sprite_scene(0, "train", 0, settings)
