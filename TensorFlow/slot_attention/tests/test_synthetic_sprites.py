"""2-D scenes: the same for a seed everywhere, masks that fit the picture, settings that bind."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from synthetic_scene_checks import digest, every_pixel_in_one_mask

from common.core.errors import ZooError
from slot_attention.synthetic.sprite_shapes import SHAPE_CODES, SHAPES
from slot_attention.synthetic.sprites import (
    PALETTE,
    SpriteSettings,
    draw_sprite_batch,
    draw_sprite_scene,
)

MANY = 60
DEFAULTS = SpriteSettings()


def scenes(settings=DEFAULTS, count=MANY, seed=0, split="train"):
    return [draw_sprite_scene(seed, split, index, settings) for index in range(count)]


def test_a_seed_gives_the_same_scenes_on_every_stack():
    drawn = scenes(SpriteSettings(image_size=(35, 40), background="color", colors="random"), 20)
    assert (
        digest(*[scene.image for scene in drawn], *[scene.masks for scene in drawn])
        == "1294ed17cb86aa30"
    )


def test_a_scene_does_not_depend_on_the_scenes_before_it():
    images, masks = draw_sprite_batch(3, "train", 7, 2)
    alone = draw_sprite_scene(3, "train", 8)
    assert (images[1] == alone.image).all() and (masks[1] == alone.masks).all()


@pytest.mark.parametrize("place", [(1, "train", 0), (0, "validation", 0), (0, "train", 1)])
def test_seed_split_and_index_each_change_the_scene(place):
    assert (draw_sprite_scene(*place).image != draw_sprite_scene(0, "train", 0).image).any()


def test_masks_divide_the_picture():
    assert all(every_pixel_in_one_mask(scene.masks) for scene in scenes())


def test_a_masks_pixels_have_the_entitys_color():
    for scene in scenes(SpriteSettings(background="gray", colors="random")):
        for mask, color in zip(scene.masks, scene.color):
            expected = np.rint(color * 255).astype(np.uint8)
            assert (scene.image[mask] == expected).all()


def test_the_number_of_sprites_takes_every_value_of_its_range():
    settings = SpriteSettings(objects=(1, 4), scale=(0.2, 0.3))
    counts = {int(scene.visibility[1:].sum()) for scene in scenes(settings)}
    assert counts == {1, 2, 3, 4}


def test_absent_entities_are_zero_and_present_ones_are_seen():
    for scene in scenes(SpriteSettings(objects=(1, 4), scale=(0.2, 0.3))):
        present = scene.visibility > 0
        assert (scene.masks.any(axis=(1, 2)) == present).all()
        assert not scene.shape[~present].any() and not scene.color[~present].any()


def test_sprites_are_not_hidden_more_than_visible_allows():
    free = SpriteSettings(objects=(3, 3), scale=(0.4, 0.5), visible=0.0)
    bound = dataclasses.replace(free, visible=0.6)
    smallest = [
        min(int(mask.sum()) for scene in scenes(settings) for mask in scene.masks[1:])
        for settings in (free, bound)
    ]
    assert smallest[0] < smallest[1] * 0.5


def touching(scene):
    """Whether pixels of two sprites are neighbours, of eight."""
    labels = np.pad(scene.masks.argmax(axis=0), 1)
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
    assert not any(
        touching(scene) for scene in scenes(dataclasses.replace(settings, overlap=False))
    )


def test_x_and_y_are_the_centre_of_a_sprite():
    settings = SpriteSettings(image_size=(48, 64), objects=(1, 1), shapes=("circle",))
    for scene in scenes(settings, 20):
        rows, columns = np.nonzero(scene.masks[1])
        assert abs((columns.mean() + 0.5) / 64 - scene.x[1]) < 0.012
        assert abs((rows.mean() + 0.5) / 48 - scene.y[1]) < 0.015


def test_scale_is_the_size_of_a_sprite():
    settings = SpriteSettings(image_size=(64, 64), objects=(1, 1), shapes=("square",), rotate=False)
    for scene in scenes(settings, 20):
        side = np.sqrt(scene.masks[1].sum())
        assert abs(side - 0.8 * 64 * scene.scale[1]) < 1.1


def test_orientation_turns_a_sprite_against_the_clock():
    settings = SpriteSettings(image_size=(64, 64), objects=(1, 1), shapes=("bar",))
    for scene in scenes(settings, 20):
        rows, columns = np.nonzero(scene.masks[1])
        right, up = columns - columns.mean(), rows.mean() - rows
        angle = 0.5 * np.arctan2(2 * (right * up).sum(), (right**2).sum() - (up**2).sum())
        turned = (angle - scene.orientation[1] + np.pi / 2) % np.pi - np.pi / 2
        assert abs(turned) < 0.06


def test_every_shape_is_drawn_and_told_apart_by_its_code():
    areas = {}
    for name in SHAPES:
        scene = draw_sprite_scene(
            0,
            "train",
            0,
            SpriteSettings(
                image_size=(64, 64), objects=(1, 1), shapes=(name,), scale=(0.5, 0.5), rotate=False
            ),
        )
        assert scene.shape[1] == SHAPE_CODES[name]
        areas[name] = int(scene.masks[1].sum())
    assert len(set(areas.values())) == len(SHAPES) and min(areas.values()) > 200


def test_the_palettes_colors_come_once_in_a_scene():
    for scene in scenes(SpriteSettings(objects=(4, 4), scale=(0.2, 0.3))):
        colors = {tuple(np.rint(color * 255).astype(int)) for color in scene.color[1:]}
        assert len(colors) == 4 and colors <= {tuple(row) for row in PALETTE.tolist()}


def test_random_colors_differ_from_the_background():
    for scene in scenes(SpriteSettings(colors="random", background="color")):
        present = scene.visibility[1:] > 0
        difference = np.abs(scene.color[1:][present] - scene.color[0]).max(axis=1)
        assert (difference >= 63 / 255).all()


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
    with pytest.raises(ZooError, match=f"sprites: {list(bad)[0]} is .*; expected"):
        SpriteSettings(**bad)


def test_sprites_that_do_not_fit_are_said_to():
    settings = SpriteSettings(objects=(6, 6), scale=(0.6, 0.7), overlap=False)
    with pytest.raises(ZooError, match="6 sprites .* don't fit into 32x32"):
        draw_sprite_scene(0, "train", 0, settings)
