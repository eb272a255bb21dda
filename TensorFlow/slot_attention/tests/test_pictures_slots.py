"""Pictures of slots: what each tile shows, and where."""

from __future__ import annotations

import numpy as np
import pytest

from common.evidence.figures.canvas import MARGIN, palette_color
from slot_attention.pictures.slots import (
    SlotView,
    matched_slots,
    on_image,
    segmentation,
    slot_picture,
    tinted,
    true_segmentation,
)

pytest.importorskip("PIL.Image", reason="pictures need Pillow")
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


def tiles(picture: np.ndarray, columns: int, rows: int) -> np.ndarray:
    """The tiles (rows, columns, 128, 128, 3) of a picture without captions wider than one line."""
    lefts = [picture.shape[1] - MARGIN - 128 - 134 * back for back in reversed(range(columns))]
    tops = [picture.shape[0] - MARGIN - 128 - 134 * back for back in reversed(range(rows))]
    return np.array([[picture[y : y + 128, x : x + 128] for x in lefts] for y in tops])


def test_columns_are_input_reconstruction_segmentation_and_slots():
    row = tiles(slot_picture(view()), columns=5, rows=1)[0]
    assert row[0, 64, 64].tolist() == [128, 128, 128]
    assert row[1, 64, 64].tolist() == [191, 191, 191]
    assert row[2, 64, [32, 96]].tolist() == [BLUE, ORANGE]
    assert row[3, 64, [32, 96]].tolist() == [[0, 0, 0], WHITE]  # black where its mask is
    assert row[4, 64, [32, 96]].tolist() == [WHITE, WHITE]


def test_small_images_are_enlarged_by_a_whole_factor():
    row = tiles(slot_picture(view()), columns=5, rows=1)[0]
    assert row[2, :, :64].reshape(-1, 3).tolist() == [BLUE] * (128 * 64)


def test_attention_rows_follow_their_image():
    rows = tiles(slot_picture(view(count=2, iterations=3)), columns=5, rows=4)
    for iteration in (1, 2, 3):
        assert rows[iteration, 0, 64, 64].tolist() == WHITE  # no tile
        assert rows[iteration, 2, 64, [32, 96]].tolist() == [BLUE, ORANGE]
        assert rows[iteration, 3, 64, [32, 96]].tolist() == [BLUE, WHITE]
        assert rows[iteration, 4, 64, [32, 96]].tolist() == [WHITE, ORANGE]


def test_true_masks_get_a_column_of_their_own():
    row = tiles(slot_picture(view(true_masks=True)), columns=6, rows=1)[0]
    assert row[2, 64, [32, 96]].tolist() == row[3, 64, [32, 96]].tolist() == [BLUE, ORANGE]


def test_same_sizes_give_pictures_of_the_same_size_for_an_animation():
    first, second = view(count=2, iterations=1), view(count=2, iterations=1)
    assert slot_picture(first).shape == slot_picture(second).shape


def test_caption_is_written_left_of_its_image():
    plain = slot_picture(view(), captions=[""])
    named = slot_picture(view(), captions=["FG-ARI\n0.98"])
    wider = named.shape[1] - plain.shape[1]
    assert wider > 20
    written = (named[:, : MARGIN + wider] < 128).all(axis=2)
    assert not written[:40].any() and written[-128:].any()


def test_values_outside_the_range_are_clipped():
    loud = view()
    loud = SlotView(loud.images + 9, loud.combined - 9, loud.reconstructions * 9, loud.masks)
    row = tiles(slot_picture(loud), columns=5, rows=1)[0]
    assert row[0, 64, 64].tolist() == WHITE
    assert row[1, 64, 64].tolist() == [0, 0, 0]
    assert row[3, 64, [32, 96]].tolist() == [[0, 0, 0], WHITE]


def test_segmentation_takes_the_largest_mask():
    masks = np.array([0.2, 0.3, 0.5]).reshape((3, 1, 1))
    assert segmentation(masks).tolist() == [[RED]]


def test_more_slots_than_colours_start_over():
    assert segmentation(np.eye(13)[:, :, None])[12, 0].tolist() == BLUE


def test_share_goes_from_white_to_the_slots_colour():
    shares = tinted(np.array([[0, 0.5, 1]]), 0)
    assert shares[0, [0, 2]].tolist() == [WHITE, BLUE]
    np.testing.assert_allclose(shares[0, 1], (np.array(BLUE) + 255) / 2, atol=0.5)


def test_attention_is_spread_over_the_cells_of_the_grid():
    attention = np.arange(6, dtype=np.float32)[:, None]  # 2 rows of 3 cells, one slot
    spread = on_image(attention, (4, 6))
    assert spread.shape == (1, 4, 6)
    assert spread[0].tolist() == [[0, 0, 1, 1, 2, 2]] * 2 + [[3, 3, 4, 4, 5, 5]] * 2


def test_true_masks_have_the_colours_of_the_slots_that_cover_them():
    np.testing.assert_array_equal(
        true_segmentation(halves()[::-1], halves()), segmentation(halves())
    )


def test_pixels_of_no_entity_are_white():
    assert true_segmentation(halves()[:1], halves())[0, 3].tolist() == WHITE


def test_two_entities_in_one_slot_get_two_colours():
    entities = np.zeros((3, 4, 4), bool)
    entities[0, :, :1] = entities[1, :, 1:2] = entities[2, :, 2:] = True
    chosen = matched_slots(entities, halves().astype(bool))
    assert chosen[2] == 1
    assert chosen[0] == 0 and chosen[1] not in (0, 1)


def test_an_entity_without_pixels_takes_no_slot_from_the_others():
    entities = np.concatenate([np.zeros((1, 4, 4), bool), halves().astype(bool)])
    assert matched_slots(entities, halves().astype(bool))[1:] == [0, 1]
