"""Image files as a viewer shows them, folders of classes, and checksums and sizes of arrays."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from common.core.errors import ZooError
from common.data.arrays import manifest_sha256, resize_bilinear, sha256_of_array
from common.data.image_files import decode_image, images_below, read_class_folders, read_image

Image = pytest.importorskip("PIL.Image", reason="image files need Pillow")
PIXELS = np.random.RandomState(0).randint(0, 256, (3, 12, 9, 3)).astype(np.uint8)
# Red above green above blue: what is up is seen.
UPRIGHT = np.zeros((24, 16, 3), np.uint8)
for row in range(3):
    UPRIGHT[8 * row : 8 * row + 8, :, row] = 200


def encoded(image, kind="PNG", **options) -> bytes:
    stream = io.BytesIO()
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    image.save(stream, kind, **options)
    return stream.getvalue()


def write(path: Path, image=PIXELS[0], **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    image.save(str(path), **options)
    return path


def classes(folder: Path, count: int = 3) -> Path:
    for name in ("apple", "pear"):
        for number in range(count):
            write(folder / name / f"{number}.png", PIXELS[number % 3])
    return folder


def refusal(action) -> str:
    with pytest.raises(ZooError) as caught:
        action()
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- arrays


@pytest.mark.parametrize("height, width", [(20, 31), (5, 4), (12, 20), (1, 1)])
def test_resizing_agrees_with_pillow_whichever_way(height, width):
    bilinear = getattr(Image, "Resampling", Image).BILINEAR
    for pixels, resized in zip(PIXELS, resize_bilinear(PIXELS, height, width)):
        expected = np.asarray(Image.fromarray(pixels).resize((width, height), bilinear))
        assert resized.shape == (height, width, 3)
        assert np.abs(resized.astype(int) - expected).max() <= 1  # Pillow rounds twice


def test_checksums_cover_type_shape_and_values_in_any_byte_order_and_names_in_any_order():
    array = np.arange(6, dtype="<i4").reshape(2, 3)
    assert sha256_of_array(array) == sha256_of_array(array.astype(">i4"))
    assert sha256_of_array(array) == sha256_of_array(np.asfortranarray(array))
    others = (array.reshape(3, 2), array.astype("<i8"), array + 1)
    assert len({sha256_of_array(other) for other in (array,) + others}) == 4
    first, other = {"a": "1", "b": "2"}, {"b": "2", "a": "1"}
    assert manifest_sha256(first) == manifest_sha256(other) != manifest_sha256({"a": "1"})


# --- one file as a viewer shows it


def test_colour_becomes_grey_by_itu_r_601_and_a_wide_image_is_cut_to_its_centre():
    grey = decode_image(encoded(PIXELS[0]), "a", channels=1)[..., 0]
    assert np.abs(grey - PIXELS[0] @ np.array([0.299, 0.587, 0.114])).max() <= 1
    wide = np.zeros((8, 24, 3), np.uint8)
    wide[:, 8:16] = 200
    assert (decode_image(encoded(wide), "a", (8, 8)) == 200).all()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_turned_as_exif_says(kind, orientation):
    # How a camera stores the upright picture under each orientation (EXIF 2.3, 4.6.4).
    stored = {
        1: UPRIGHT,
        2: UPRIGHT[:, ::-1],
        3: UPRIGHT[::-1, ::-1],
        4: UPRIGHT[::-1],
        5: UPRIGHT.transpose(1, 0, 2),
        6: np.rot90(UPRIGHT, 1),
        7: UPRIGHT.transpose(1, 0, 2)[::-1, ::-1],
        8: np.rot90(UPRIGHT, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    quality = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}
    content = encoded(np.ascontiguousarray(stored), kind, exif=exif, **quality.get(kind, {}))
    found = decode_image(content, "a").astype(int)
    assert found.shape == UPRIGHT.shape and np.abs(found - UPRIGHT)[4::8].max() < 30


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "keyed"])
def test_what_is_transparent_is_white(mode):
    """A black disc on a transparent ground, whose hidden colour is black too."""
    if mode == "keyed":  # one grey of an RGB picture is transparent
        image = Image.fromarray(np.full((4, 4, 3), 7, np.uint8))
        content = encoded(image, transparency=(7, 7, 7))
    elif mode == "P":
        content = encoded(Image.new("P", (4, 4), 0), transparency=bytes([0]))
    else:
        content = encoded(Image.new(mode, (4, 4), (0, 0) if mode == "LA" else (0, 0, 0, 0)))
    assert (decode_image(content, "a") == 255).all()
    half = np.zeros((1, 1, 4), np.uint8)
    half[..., 3] = 128
    assert np.abs(decode_image(encoded(half), "a").astype(int) - 127).max() <= 1


def test_sixteen_bits_keep_their_shades():
    deep = np.array([[0, 257], [32896, 65535]], np.uint16)
    for channels in (None, 3):
        found = decode_image(encoded(deep), "a", channels=channels)
        assert found[..., 0].tolist() == [[0, 1], [128, 255]]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "WEBP"])
def test_a_truncated_or_altered_image_is_one_line_or_an_image(kind):
    content = encoded(np.random.RandomState(1).randint(0, 256, (40, 40, 3)).astype(np.uint8), kind)
    assert "not a readable" in refusal(lambda: decode_image(content[: len(content) // 2], "a"))
    for place in range(0, len(content), max(1, len(content) // 60)):
        damaged = content[:place] + b"\xff\x00\xff\xff" + content[place + 4 :]
        try:
            assert decode_image(damaged, "a").dtype == np.uint8
        except ZooError as error:
            assert str(error).startswith("a: not a readable")


def test_what_is_no_image_is_said_as_what_it_is(tmp_path):
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "link.png").symlink_to(tmp_path / "gone.png")
    (tmp_path / "empty.png").touch()
    (tmp_path / "page.png").write_bytes(b"<html>")
    for name, told in (
        ("folder", "a folder, not an image"),
        ("link", "a link to a file that is not there"),
        ("empty", "an empty file"),
        ("missing", "can't be read (No such file"),
        ("page", "not a readable PNG, JPEG, BMP or WebP"),
    ):
        line = refusal(lambda name=name: read_image(tmp_path / f"{name}.png"))
        assert f"{name}.png: {told}" in line


# --- folders


def test_images_are_found_at_any_depth_and_the_rest_is_counted(tmp_path):
    for name in ("b.PNG", "a.jfif", "c.txt", "d.TXT", ".d.png", "e", "deep/e.webp", ".hid/e.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "x.png").mkdir()
    os.mkfifo(str(tmp_path / "pipe.png"))  # reading it would wait for ever
    found = images_below(tmp_path)
    names = [path.relative_to(tmp_path).as_posix() for path in found.files]
    assert names == ["a.jfif", "b.PNG", "deep/e.webp"]
    (line,) = found.notices()
    for told in ("2 .txt", "1 folder called .png", "1 without suffix", "1 .png"):
        assert told in line


def test_every_kind_of_image_at_any_depth_is_read_and_what_is_none_is_told(tmp_path):
    for suffix, kind in {"png": "PNG", "webp": "WEBP", "bmp": "BMP", "jfif": "JPEG"}.items():
        write(tmp_path / "a" / f"0.{suffix}", format=kind)
    write(tmp_path / "b" / "deeper" / "0.png")
    (tmp_path / "b" / "0.gif").write_bytes(b"GIF89a")
    source = read_class_folders(str(tmp_path), 8)
    assert source.train.labels.tolist() == [0, 0, 0, 0, 1] and "1 .gif" in source.notices[0]


def test_one_colour_file_makes_all_of_them_rgb(tmp_path):
    for name in ("apple", "pear"):
        write(tmp_path / name / "0.png", PIXELS[0, :, :, 0])
    assert read_class_folders(str(tmp_path), None).train.channels == 1
    write(tmp_path / "pear" / "9.png", PIXELS[1])
    images = read_class_folders(str(tmp_path), None).train.images
    np.testing.assert_array_equal(images[2], PIXELS[1])
    np.testing.assert_array_equal(images[0], PIXELS[0, :, :, :1].repeat(3, -1))


def test_a_class_of_one_image_is_told(tmp_path):
    write(classes(tmp_path) / "quince" / "0.png")
    assert "one image alone of quince" in read_class_folders(str(tmp_path), None).notices[0]


def test_sizes_that_differ_need_a_size(tmp_path):
    write(classes(tmp_path) / "pear" / "9.png", PIXELS[0, :10])
    line = refusal(lambda: read_class_folders(str(tmp_path), None))
    assert "9.png has 9 x 10 pixels" in line and "0.png has 9 x 12" in line and "--img_size" in line
    assert read_class_folders(str(tmp_path), 8).train.images.shape == (7, 8, 8, 3)


@pytest.mark.parametrize(
    "make, told",
    [
        (lambda root: None, "no such folder"),
        (lambda root: root.mkdir(), "0 class folders.*CLASS/IMAGE.png"),
        (lambda root: root.write_bytes(b""), "a file, not a folder"),
        (lambda root: (classes(root) / "quince").mkdir(), "quince: no PNG, JPEG, BMP or WebP"),
        (lambda root: (classes(root) / "pear" / "x.png").write_bytes(b"?"), r"x\.png: not a read"),
        (
            lambda root: (classes(root / "train"), write(classes(root / "test") / "fig" / "0.png")),
            r"other classes than for training \(fig\)",
        ),
    ],
)
def test_a_folder_that_is_not_of_this_form_is_one_line(tmp_path, make, told):
    make(tmp_path / "root")
    with pytest.raises(ZooError, match=told) as caught:
        read_class_folders(str(tmp_path / "root"), None)
    assert "\n" not in str(caught.value)
    assert "--data_path" in refusal(lambda: read_class_folders(None, None))


def test_names_that_are_no_utf8_or_chinese_survive(tmp_path):
    """An archive of a Chinese Windows, unpacked without saying so."""
    odd = os.fsdecode(b"\xc3\xa8\xca\xbd\xff")
    write(classes(tmp_path) / odd / (odd + ".png"))
    write(tmp_path / "照片" / "猫.png")
    source = read_class_folders(str(tmp_path), None)
    for text in source.classes + tuple(source.train.names):
        text.encode("utf-8")
    assert "照片" in source.classes and len(source.classes) == 4 and source.manifest_sha256
    (tmp_path / odd / (odd + ".png")).write_bytes(b"?")
    assert "not a readable" in refusal(lambda: read_class_folders(str(tmp_path), None))


def test_the_manifest_changes_with_a_files_name_or_content(tmp_path):
    first = read_class_folders(str(classes(tmp_path)), None).manifest_sha256
    (tmp_path / "apple" / "0.png").rename(tmp_path / "apple" / "00.png")
    second = read_class_folders(str(tmp_path), None).manifest_sha256
    write(tmp_path / "apple" / "1.png", PIXELS[2])
    third = read_class_folders(str(tmp_path), None).manifest_sha256
    assert len({first, second, third}) == 3


@pytest.mark.parametrize(
    "kind, mode, tolerance",
    [
        ("JPEG", "RGB", 12),
        ("JPEG", "CMYK", 60),
        ("WEBP", "RGB", 12),
        ("BMP", "RGB", 0),
        ("PNG", "RGB", 0),
        ("PNG", "L", 0),
    ],
)
def test_files_of_every_kind_keep_their_colours(kind, mode, tolerance):
    smooth = np.full((16, 16, 3), (90, 90, 90) if mode == "L" else (180, 90, 30), np.uint8)
    found = decode_image(encoded(Image.fromarray(smooth).convert(mode), kind), "a")
    assert np.abs(found.astype(int) - smooth[..., : found.shape[2]]).max() <= tolerance


def test_damaged_exif_is_no_reason_to_refuse_a_picture():
    content = encoded(UPRIGHT, "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    assert decode_image(content, "a").shape == UPRIGHT.shape


def test_missing_pillow_names_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert "pip install Pillow" in refusal(lambda: decode_image(b"", "a"))
