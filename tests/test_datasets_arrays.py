"""What networks share for images in memory: other sizes, image files, checksums."""

from __future__ import annotations

import io

import numpy as np
import pytest

from common.core.errors import ZooError
from common.data.image_files import decode_image, images_below
from common.data.manifest import manifest_sha256, sha256_of_array
from common.data.resize import resize_bilinear

PIXELS = np.random.RandomState(0).randint(0, 256, (3, 12, 9, 3)).astype(np.uint8)


def encoded(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    image = pytest.importorskip("PIL.Image")
    stream = io.BytesIO()
    image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


@pytest.mark.parametrize("height, width", [(20, 31), (5, 4), (12, 20), (1, 1)])
def test_resizing_agrees_with_pillow_whichever_way(height: int, width: int) -> None:
    image = pytest.importorskip("PIL.Image")
    bilinear = getattr(image, "Resampling", image).BILINEAR
    for pixels, resized in zip(PIXELS, resize_bilinear(PIXELS, height, width)):
        expected = np.asarray(image.fromarray(pixels).resize((width, height), bilinear))
        assert resized.shape == (height, width, 3)
        assert np.abs(resized.astype(int) - expected).max() <= 1  # Pillow rounds twice


def test_the_own_size_changes_nothing() -> None:
    np.testing.assert_array_equal(resize_bilinear(PIXELS, 12, 9), PIXELS)


def test_the_maximum_becomes_255() -> None:
    assert (resize_bilinear(np.full((1, 8, 8), 16), 28, 28, maximum=16) == 255).all()


def test_more_images_than_a_chunk_are_each_resized_alone() -> None:
    many = np.arange(2500, dtype=np.uint16).reshape(-1, 1, 1).repeat(2, 1).repeat(2, 2) % 256
    np.testing.assert_array_equal(resize_bilinear(many, 3, 3)[:, 1, 1], many[:, 0, 0])


def test_an_image_file_keeps_its_own_size_and_channels() -> None:
    grey = PIXELS[0, :, :, 0]
    np.testing.assert_array_equal(decode_image(encoded(grey), "a")[..., 0], grey)
    np.testing.assert_array_equal(decode_image(encoded(PIXELS[0]), "a"), PIXELS[0])


def test_channels_and_size_can_be_asked_for() -> None:
    assert decode_image(encoded(PIXELS[0]), "a", (6, 8), 1).shape == (6, 8, 1)
    assert decode_image(encoded(PIXELS[0, :, :, 0], "JPEG"), "a", (6, 8), 3).shape == (6, 8, 3)


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_png_or_jpeg_is_one_line(content: bytes) -> None:
    pytest.importorskip("PIL.Image")
    with pytest.raises(ZooError, match=r"^a/b: not a readable PNG or JPEG") as caught:
        decode_image(content, "a/b")
    assert "\n" not in str(caught.value)


def test_images_are_found_at_any_depth_and_hidden_ones_left_out(tmp_path) -> None:
    for name in ("b.PNG", "a.jpg", "c.txt", ".d.png"):
        (tmp_path / name).touch()
    for folder in ("deep", ".hidden"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "e.jpeg").touch()
    found = [path.relative_to(tmp_path).as_posix() for path in images_below(tmp_path)]
    assert found == ["a.jpg", "b.PNG", "deep/e.jpeg"]


def test_the_checksum_of_an_array_covers_type_shape_and_values_in_any_byte_order() -> None:
    array = np.arange(6, dtype="<i4").reshape(2, 3)
    assert sha256_of_array(array) == sha256_of_array(array.astype(">i4"))
    assert sha256_of_array(array) == sha256_of_array(np.asfortranarray(array))
    others = (array.reshape(3, 2), array.astype("<i8"), array + 1)
    assert len({sha256_of_array(other) for other in (array,) + others}) == 4


def test_a_manifest_does_not_depend_on_the_order_of_its_names() -> None:
    first, other = {"a": "1", "b": "2"}, {"b": "2", "a": "1"}
    assert manifest_sha256(first) == manifest_sha256(other) != manifest_sha256({"a": "1"})
