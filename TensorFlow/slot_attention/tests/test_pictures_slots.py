"""Pictures of slots: what each tile shows."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from common.evidence.figures.colors import palette_color
from common.evidence.figures.figure import pixels
from slot_attention.pictures.slots import (
    GROUND,
    SlotView,
    as_pixels,
    attention_row,
    image_row,
    matched_slots,
    on_image,
    segmentation,
    slot_figure,
    slot_parts,
    tinted,
    true_segmentation,
)

WHITE = [255, 255, 255]
BLUE, ORANGE, RED = (list(palette_color(number)) for number in range(3))


def halves() -> np.ndarray:
    """Masks (2, 4, 4): slot 0 has the left half, slot 1 the right one."""
    masks = np.zeros((2, 4, 4), np.float32)
    masks[0, :, :2] = masks[1, :, 2:] = 1
    return masks


def view(count: int = 1, iterations: int = 0, true_masks: bool = False) -> SlotView:
    """Grey images in two halves; slot 0 says black and slot 1 white."""
    masks = np.stack([halves()] * count)
    colors = np.stack([np.full((4, 4, 3), -1), np.full((4, 4, 3), 1)]).astype(np.float32)
    attention = masks.reshape(count, 2, 16).transpose(0, 2, 1)
    return SlotView(
        np.zeros((count, 4, 4, 3), np.float32),
        np.full((count, 4, 4, 3), 0.5),
        np.stack([colors] * count),
        masks[..., None],
        [attention] * iterations,
        masks if true_masks else None,
    )


def test_an_images_tiles_are_input_reconstruction_masks_segmentation_and_slots():
    image, combined, true, found, black, white = image_row(view(true_masks=True), 0)
    assert image[0, 0].tolist() == [128] * 3 and combined[0, 0].tolist() == [191] * 3
    assert true[0, ::3].tolist() == found[0, ::3].tolist() == [BLUE, ORANGE]
    assert black[0, ::3].tolist() == [[0] * 3, list(GROUND)]
    assert white[0, ::3].tolist() == [list(GROUND), WHITE]
    assert len(image_row(view(), 0)) == 5


def test_attention_has_a_segmentation_and_each_slots_share():
    found, first, second = attention_row(view(iterations=1).attention[0][0], (4, 4))
    assert found[0, ::3].tolist() == [BLUE, ORANGE]
    assert first[0, ::3].tolist() == [BLUE, WHITE]
    assert second[0, ::3].tolist() == [WHITE, ORANGE]


@pytest.mark.parametrize("iterations, true_masks", [(0, False), (3, True)])
def test_the_figure_names_rows_and_columns_and_is_whole_for_any_number_of_images(
    iterations, true_masks
):
    figure = slot_figure(view(2, iterations, true_masks))
    words = [text.get_text() for text in figure.axes[0].texts]
    for name in ("input", "reconstruction", "segmentation", "slot 1", "slot 2", "image 2"):
        assert name in words
    assert ("true masks" in words) == true_masks
    assert words.count(f"attention,\niteration {iterations}") == (2 if iterations else 0)
    drawn = pixels(figure)
    assert (drawn[-3:] == 255).all()  # the last row of tiles ends inside the picture
    assert drawn.shape == pixels(slot_figure(view(2, iterations, true_masks))).shape


def test_a_slots_part_is_as_opaque_as_its_mask_is_above_all_others():
    shared = slot_parts(np.full((2, 1, 1, 3), -1.0), np.full((2, 1, 1), 0.5))
    assert [part[0, 0].tolist() for part in shared] == [list(GROUND)] * 2
    half = slot_parts(np.full((2, 1, 1, 3), -1.0), np.array([0.75, 0.25]).reshape(2, 1, 1))
    np.testing.assert_allclose(half[0][0, 0], np.array(GROUND) / 2, atol=1)
    assert half[1][0, 0].tolist() == list(GROUND)
    assert slot_parts(np.full((1, 1, 1, 3), -1.0), np.ones((1, 1, 1)))[0].max() == 0


def test_values_outside_the_range_are_clipped():
    assert as_pixels(np.array([-2, -1, 0, 1, 2, np.nan])).tolist() == [0, 0, 128, 255, 255, 128]
    loud = view()
    loud = dataclasses.replace(loud, images=loud.images + 9, combined=loud.combined - 9)
    assert [tile[0, 0].tolist() for tile in image_row(loud, 0)[:2]] == [WHITE, [0] * 3]


def test_segmentation_takes_the_largest_mask_and_colours_start_over():
    assert segmentation(np.array([0.2, 0.3, 0.5]).reshape((3, 1, 1))).tolist() == [[RED]]
    assert segmentation(np.eye(13)[:, :, None])[12, 0].tolist() == BLUE


def test_share_goes_from_white_to_the_slots_colour():
    shares = tinted(np.array([[0, 0.5, 1]]), 0)
    assert shares[0, [0, 2]].tolist() == [WHITE, BLUE]
    np.testing.assert_allclose(shares[0, 1], (np.array(BLUE) + 255) / 2, atol=0.5)


def test_attention_is_spread_over_the_cells_of_the_grid():
    attention = np.arange(6, dtype=np.float32)[:, None]  # 2 rows of 3 cells, one slot
    assert on_image(attention, (4, 6)).tolist() == [
        [[0, 0, 1, 1, 2, 2]] * 2 + [[3, 3, 4, 4, 5, 5]] * 2
    ]


def test_true_masks_have_the_colours_of_the_slots_that_cover_them():
    np.testing.assert_array_equal(
        true_segmentation(halves()[::-1], halves(), 0), segmentation(halves())
    )
    assert true_segmentation(halves()[:1], halves(), 0)[0, 3].tolist() == WHITE  # no entity


def test_an_object_has_its_slot_even_where_the_background_fills_most_of_it():
    entities = np.zeros((2, 4, 4), bool)  # the background, and an object in a corner of slot 1
    entities[1, 0, 3] = True
    entities[0] = ~entities[1]
    assert matched_slots(entities, halves(), 1) == [0, 1]
    assert matched_slots(entities, halves()[::-1], 1) == [1, 0]


def test_entities_without_a_slot_get_colours_of_their_own_and_take_none_from_others():
    entities = np.zeros((4, 4, 4), bool)  # the first is empty, two share a slot
    entities[1, :, :1] = entities[2, :, 1:2] = entities[3, :, 2:] = True
    chosen = matched_slots(entities, halves(), 0)
    assert chosen[3] == 1 and 0 in chosen[1:3] and len(set(chosen)) == 4
