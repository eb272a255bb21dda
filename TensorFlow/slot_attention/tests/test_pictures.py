"""What pictures of slots, of objects and of a training show."""

from __future__ import annotations

import json

import numpy as np
from matplotlib.colors import to_rgb
from PIL import Image

from common.evidence.figures.colors import INK, palette_color, web_color
from common.evidence.figures.figure import pixels, save_png
from common.runs.events import RunLog
from common.training.pictures import step_picture_name
from slot_attention.data.scenes import COLUMNS, PROPERTIES
from slot_attention.pictures.objects import WRONG, seen_at, set_figure
from slot_attention.pictures.slots import (
    GROUND,
    SlotView,
    attention_row,
    image_row,
    matched_slots,
    segmentation,
    true_segmentation,
)
from slot_attention.pictures.training import show_training

WHITE = [255, 255, 255]
BLUE, ORANGE = (list(palette_color(number)) for number in range(2))
IMAGES = np.zeros((3, 128, 128, 3), np.float32)

# Slots


def halves():
    """Masks (2, 4, 4): slot 0 has the left half, slot 1 the right one."""
    masks = np.zeros((2, 4, 4), np.float32)
    masks[0, :, :2] = masks[1, :, 2:] = 1
    return masks


def view(count=1, iterations=0, true_masks=False):
    """Grey images in two halves; slot 0 says black and slot 1 white."""
    masks = np.stack([halves()] * count)
    colors = np.stack([np.full((4, 4, 3), -1), np.full((4, 4, 3), 1)]).astype(np.float32)
    return SlotView(
        np.zeros((count, 4, 4, 3), np.float32),
        np.full((count, 4, 4, 3), 0.5),
        np.stack([colors] * count),
        masks[..., None],
        [masks.reshape(count, 2, 16).transpose(0, 2, 1)] * iterations,
        masks if true_masks else None,
    )


def test_an_images_tiles_are_input_reconstruction_masks_segmentation_and_slots():
    image, combined, true, found, black, white = image_row(view(true_masks=True), 0)
    assert image[0, 0].tolist() == [128] * 3 and combined[0, 0].tolist() == [191] * 3
    assert true[0, ::3].tolist() == found[0, ::3].tolist() == [BLUE, ORANGE]
    assert black[0, ::3].tolist() == [[0] * 3, list(GROUND)]
    assert white[0, ::3].tolist() == [list(GROUND), WHITE]
    found, first, second = attention_row(view(iterations=1).attention[0][0], (4, 4))
    assert found[0, ::3].tolist() == [BLUE, ORANGE]
    assert first[0, ::3].tolist() == [BLUE, WHITE] and second[0, ::3].tolist() == [WHITE, ORANGE]


def test_true_masks_have_the_colours_of_the_slots_that_cover_them():
    entities = np.zeros((2, 4, 4), bool)  # the background, and an object in a corner of slot 1
    entities[1, 0, 3] = True
    entities[0] = ~entities[1]
    assert matched_slots(entities, halves(), 1) == [0, 1]
    assert matched_slots(entities, halves()[::-1], 1) == [1, 0]
    same = segmentation(halves())
    np.testing.assert_array_equal(true_segmentation(halves()[::-1], halves(), 0), same)
    assert true_segmentation(halves()[:1], halves(), 0)[0, 3].tolist() == WHITE  # no entity


# Objects


def one(confidence=0.9, place=(0.5, 0.5, 0.55), **looks):
    """A prediction (1, 1, 19) of a large red cube of rubber, but for what is given."""
    element = np.zeros((1, 1, 19), np.float32)
    element[..., :3], element[..., 18] = place, confidence
    looks = {"size": "large", "material": "rubber", "shape": "cube", "color": "red", **looks}
    for name, look in looks.items():
        element[..., COLUMNS[name].start + PROPERTIES[name].index(look)] = 1
    return element


def drawn(*sets):
    """The markers (with a place) and the texts on one grey image."""
    axes = set_figure(IMAGES[:1], *sets).axes[0]
    return [mark for mark in axes.collections if len(mark.get_offsets())], list(axes.texts)


def test_camera_sees_clevrs_objects_where_their_records_say(zoo_data):
    folder = zoo_data("clevr_samples") / "clevr_generator"
    places, seen = [], []
    for path in sorted((folder / "scenes").glob("*.json")):
        for element in json.loads(path.read_text())["objects"]:
            places.append(element["3d_coords"])
            seen.append(np.divide(element["pixel_coords"][:2], (320, 240)))
    off = np.abs(seen_at(np.array(places)) - seen)
    assert len(places) > 50 and (off.mean(axis=0) < 0.0065).all() and off.max() < 0.034


def test_confidence_is_told_and_on_red_where_no_true_object_has_the_attributes():
    assert drawn(one(confidence=0.49)) == drawn(one(confidence=0), one(confidence=0)) == ([], [])
    (outline,), _ = drawn(one(confidence=0), one(confidence=1))  # a true object
    assert len(outline.get_facecolor()) == 0

    def label(target):
        (text,) = drawn(one(color="blue"), target)[1]
        return text.get_text(), text.get_bbox_patch().get_facecolor()[:3]

    assert label(one(color="blue", confidence=1)) == ("0.90", to_rgb(web_color(INK)))
    assert label(one(color="cyan", confidence=1)) == ("0.90 !", to_rgb(web_color(WRONG)))


def test_labels_of_neighbours_do_not_overlap_in_any_image_and_a_legend_tells_the_forms():
    near = np.concatenate([one(place=(0.5 + shift, 0.5, 0.5)) for shift in (0, 0.02, 0.04)], 1)
    figure = set_figure(IMAGES, *[np.repeat(near, 3, axis=0)] * 2)
    pixels(figure)
    assert len(figure.axes[0].images) == 4  # the paper, and an image each
    words = {text.get_text() for text in figure.legends[0].get_texts()}
    assert {*PROPERTIES["shape"], *PROPERTIES["size"], "true object"} <= words
    boxes = [text.get_window_extent(figure.canvas.get_renderer()) for text in figure.axes[0].texts]
    pairs = [(first, other) for number, first in enumerate(boxes) for other in boxes[:number]]
    assert len(boxes) == 9 and not any(first.overlaps(other) for first, other in pairs)


# Training


def save_steps(folder, colors, size=(40, 90)):
    """A picture of one colour for each step."""
    folder.mkdir(exist_ok=True)
    for step, color in colors.items():
        picture = np.full(size + (3,), color, np.uint8)
        save_png(folder / step_picture_name("slots", step), picture)


def test_an_animation_has_a_frame_per_picture_of_one_size_in_its_own_colours(tmp_path):
    colors = {1: (10, 20, 30), 2000: (200, 30, 40), 123456789: (30, 180, 60)}
    save_steps(tmp_path / "pictures", {0: 1}, size=(20, 90))  # of a run with other settings
    save_steps(tmp_path / "pictures", colors)
    save_png(tmp_path / "pictures" / "slots_test_00000100.png", np.zeros((40, 90, 3), np.uint8))
    RunLog(tmp_path / "rank_0").close()
    (path,) = show_training(tmp_path, "slots", "fg_ari")
    assert path.name == "training.gif"
    with Image.open(str(path)) as movie:
        assert movie.n_frames == 3
        for frame, color in enumerate(colors.values()):
            movie.seek(frame)
            assert movie.convert("RGB").getpixel((5, 5)) == color
