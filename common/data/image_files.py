"""Image files: which there are, and each as a viewer shows it.

PNG, JPEG, BMP and WebP, of any mode: turned as EXIF says, transparent parts on white, palettes and
CMYK as RGB, 16 bits as 8. What is left out is counted.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import numpy as np

from common.core.errors import ZooError, first_line
from common.core.text import listed
from common.data import IMAGE_FOLDER, folder_given, readable_name
from common.data.arrays import manifest_sha256, sha256_of_bytes
from common.data.labelled_images import LabelledImages, Source

SUFFIXES = (".png", ".jpg", ".jpeg", ".jfif", ".bmp", ".webp")
KINDS = "PNG, JPEG, BMP or WebP"
TRAIN_FOLDER, TEST_FOLDER = "train", "test"
_FORMATS = ("PNG", "JPEG", "BMP", "WEBP")
_LAYOUT = "CLASS/IMAGE.png, or train/CLASS/IMAGE.png with test/CLASS/IMAGE.png"
_GREY_MODES = ("1", "L", "LA")
_SIXTEEN_BIT_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N")


# --- one file --------------------------------------------------------------------------------


def read_image(
    path: Path, size: Optional[Tuple[int, int]] = None, channels: Optional[int] = None
) -> np.ndarray:
    """An image file as `decode_image` gives it.

    Raises:
        ZooError: it can't be read; the line says what it is.
    """
    return decode_image(content_of_image(path), readable_name(path), size, channels)


def content_of_image(path: Path) -> bytes:
    """The bytes of an image file; ZooError says where it is a folder, a dead link, or empty."""
    name = readable_name(path)
    try:
        if path.is_symlink() and not path.exists():
            raise ZooError(f"{name}: a link to a file that is not there: mend or remove it")
        content = path.read_bytes()
    except IsADirectoryError:
        raise ZooError(f"{name}: a folder, not an image: rename or remove it") from None
    except OSError as error:
        raise ZooError(f"{name}: can't be read ({error.strerror or error})") from None
    if not content:
        raise ZooError(f"{name}: an empty file, not an image: replace or remove it")
    return content


def decode_image(
    content: bytes,
    source: str,
    size: Optional[Tuple[int, int]] = None,
    channels: Optional[int] = None,
) -> np.ndarray:
    """An encoded image as uint8, (height, width, channels), as a viewer shows it.

    Args:
        content: the whole file.
        source: its name for the error line.
        size: (height, width): resized (bilinear) to cover it, then the centre is cut out;
            the image's own when None.
        channels: 1 for grey (ITU-R 601), 3 for RGB; the image's own when None.

    Raises:
        ZooError: not a whole image of the known kinds, or Pillow is not installed.
    """
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise ZooError(
            f"image files need Pillow, which can't be imported ({error}): pip install Pillow"
        ) from None
    try:
        with Image.open(io.BytesIO(content), formats=_FORMATS) as opened:
            opened.load()
            if channels is None:
                channels = 1 if opened.mode in _GREY_MODES + _SIXTEEN_BIT_MODES else 3
            shown: Any = opened
            with contextlib.suppress(Exception):  # of damaged EXIF, which viewers ignore
                shown = ImageOps.exif_transpose(opened)
            shown = _on_white(shown).convert("L" if channels == 1 else "RGB")
            pixels = np.asarray(shown if size is None else _covering_centre(shown, size))
    except Exception as error:  # Pillow raises every kind there is of damaged files
        raise ZooError(
            f"{source}: not a readable {KINDS} ({first_line(error)}): replace or remove it"
        ) from None
    return pixels.reshape(pixels.shape[:2] + (channels,))


def _on_white(image: Any) -> Any:
    """The image without transparency, 16 bits made 8; else as it is."""
    from PIL import Image

    if image.mode in _SIXTEEN_BIT_MODES:  # Pillow's own conversion would clip it at 255
        values = np.clip(np.asarray(image).astype(np.int64), 0, 65535)
        values[values == image.info.get("transparency", -1)] = 65535
        return Image.fromarray(((values + 128) // 257).astype(np.uint8))
    if image.mode not in ("LA", "La", "PA", "RGBA", "RGBa") and "transparency" not in image.info:
        return image
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)


def _covering_centre(image: Any, size: Tuple[int, int]) -> Any:
    """The centre of the image made just as large as covers (height, width)."""
    from PIL import Image

    height, width = size
    scale = max(width / image.size[0], height / image.size[1])
    covering = (max(width, round(image.size[0] * scale)), max(height, round(image.size[1] * scale)))
    left, top = (covering[0] - width) // 2, (covering[1] - height) // 2
    filters: Any = getattr(Image, "Resampling", Image)  # where Pillow before 9.1 has them
    resized = image.resize(covering, filters.BILINEAR)
    return resized.crop((left, top, left + width, top + height))


# --- files below folders ---------------------------------------------------------------------


@dataclass(frozen=True)
class FoundImages:
    """The image files below a folder, and how many of what else there are, by suffix.

    Hidden files and folders are neither.
    """

    folder: Path
    files: Tuple[Path, ...]
    left_out: Counter[str]

    def notices(self) -> Tuple[str, ...]:
        """A line that counts what is left out, where anything is."""
        if not self.left_out:
            return ()
        kinds = listed(f"{count} {kind}" for kind, count in self.left_out.most_common())
        return (f"{readable_name(self.folder)}: left out, being no {KINDS}: {kinds}",)


def images_below(folder: Path) -> FoundImages:
    """The image files at any depth, sorted in each folder.

    Raises:
        OSError: a folder that can't be read.
    """
    files: List[Path] = []
    left_out: Counter[str] = Counter()
    for place, folders, names in os.walk(str(folder), onerror=_raise):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        left_out.update(
            f"folder called {Path(name).suffix.lower()}"
            for name in folders
            if name.lower().endswith(SUFFIXES)
        )
        links = [name for name in folders if os.path.islink(os.path.join(place, name))]
        left_out.update("link to a folder" for _ in links)
        for name in sorted(names):
            path = Path(place) / name
            if name.startswith("."):
                continue
            # Reading a pipe, a socket or a device could wait for ever.
            if name.lower().endswith(SUFFIXES) and (
                os.path.isfile(path) or not os.path.exists(path)
            ):
                files.append(path)
            else:
                left_out[path.suffix.lower() or "without suffix"] += 1
    return FoundImages(folder, tuple(files), left_out)


def _raise(error: OSError) -> None:
    raise error


# --- folders of classes ----------------------------------------------------------------------


def read_class_folders(
    data_path: Optional[str], size: Optional[int], channels: Optional[int] = None
) -> Source:
    """The images of one sub-folder per class; the folders' names are the classes.

    Args:
        data_path: the folder of the class folders, or of train/ and test/.
        size: each image is resized to cover size x size, then its centre is cut out; all must
            have one size of their own when None.
        channels: 1 or 3; grey where every file is, else RGB, when None.

    Raises:
        ZooError: a missing, empty or unreadable folder, a damaged image, sizes that differ.
    """
    root = folder_given(
        data_path, IMAGE_FOLDER, f"a folder with one sub-folder per class; {_LAYOUT}"
    )
    try:
        return _read_class_folders(root, size, channels)
    except OSError as error:
        name = readable_name(Path(error.filename or root))
        raise ZooError(
            f"{name}: can't be read ({error.strerror or error}): check its permissions"
        ) from None


def _read_class_folders(root: Path, size: Optional[int], channels: Optional[int]) -> Source:
    folders = _sub_folders(root)
    divided = {TRAIN_FOLDER, TEST_FOLDER} <= set(folders)
    parts = [root / TRAIN_FOLDER, root / TEST_FOLDER] if divided else [root]
    classes = _sub_folders(parts[0])
    if len(classes) < 2:
        raise ZooError(
            f"{readable_name(parts[0])}: {len(classes)} class folders, at least 2 are needed, as "
            f"{_LAYOUT}"
        )
    different = set(_sub_folders(parts[-1])) ^ set(classes)
    if different:
        raise ZooError(
            f"{readable_name(parts[-1])}: other classes than for training "
            f"({listed(sorted(different))}): use the same class folders"
        )
    left_out: Counter[str] = Counter()
    files: List[Tuple[Path, int]] = []
    ends: List[int] = []
    for part in parts:
        for label, name in enumerate(classes):
            found = images_below(part / name)
            left_out.update(found.left_out)
            if not found.files:
                told = "".join(f"; {line}" for line in found.notices())
                raise ZooError(f"{readable_name(part / name)}: no {KINDS} files in it{told}")
            files += [(path, label) for path in found.files]
        ends.append(len(files))
    whole, manifest = _read_files(root, files, classes, size, channels)
    notices = FoundImages(root, (), left_out).notices()
    beside = sorted(set(folders) - {TRAIN_FOLDER, TEST_FOLDER}) if divided else []
    if beside:
        notices += (f"{root}: beside train and test, {listed(beside)} is not looked at",)
    sizes = np.bincount(whole.labels[: ends[0]], minlength=len(classes))
    alone = [name for name, count in zip(classes, sizes) if count == 1]
    if alone:
        notices += (
            f"{root}: one image alone of {listed(alone)}: what is not trained on can't be told, "
            "and what is, not tested; give more",
        )
    if not divided:
        return Source(whole, None, whole.classes, "all class folders", "", manifest, notices)
    train, test = whole.take(np.arange(ends[0])), whole.take(np.arange(ends[0], ends[1]))
    texts = ("the folder train", "the folder test")
    return Source(train, test, whole.classes, *texts, manifest, notices)


def _sub_folders(folder: Path) -> Tuple[str, ...]:
    names = (path.name for path in folder.iterdir() if path.is_dir())
    return tuple(sorted(name for name in names if not name.startswith(".")))


def _read_files(
    root: Path,
    files: List[Tuple[Path, int]],
    classes: Tuple[str, ...],
    size: Optional[int],
    channels: Optional[int],
) -> Tuple[LabelledImages, str]:
    """All files as one array, and the checksum over theirs."""
    sums: Dict[str, str] = {}
    images: Any = None
    wanted = None if size is None else (size, size)
    for index, (path, _) in enumerate(files):
        content = content_of_image(path)
        sums[path.relative_to(root).as_posix()] = sha256_of_bytes(content)
        pixels = decode_image(content, readable_name(path), wanted, channels)
        if not index:
            images = np.empty((len(files),) + pixels.shape, np.uint8)
        if pixels.shape[:2] != images.shape[1:3]:
            raise ZooError(
                "{} has {} x {} pixels, {} has {} x {}: give --img_size to resize all".format(
                    readable_name(path),
                    *pixels.shape[1::-1],
                    readable_name(files[0][0]),
                    images.shape[2],
                    images.shape[1],
                )
            )
        if pixels.shape[2] > images.shape[3]:  # the first coloured one: grey is repeated over RGB
            images = np.repeat(images, pixels.shape[2], axis=3)
        images[index] = pixels
    return (
        LabelledImages(
            images,
            np.array([label for _, label in files], np.int64),
            tuple(readable_name(Path(name)) for name in classes),
            np.array([readable_name(path.relative_to(root)) for path, _ in files]),
        ),
        manifest_sha256(sums),
    )
