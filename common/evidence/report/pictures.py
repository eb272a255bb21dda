"""The pictures of runs on a page: the newest of each kind large, the older ones folded."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from PIL import Image, features

from common.evidence.html_page.render import kind_of_image
from common.evidence.report.content import ReportedRun

SMALL_FILE = 120000  # bytes: a file up to so large is shown as it is
LARGE, FOLDED = (1400, 1000, 700), (640, 400)  # pixels: wider pictures are reduced
QUALITY = 84


class Shown(NamedTuple):
    """A picture as it is shown: whose it is, the file's name, and the content of an image file."""

    label: str
    name: str
    content: bytes


class PicturesOfKind(NamedTuple):
    """What runs have of one kind, such as slots; left_out: names of what is not on the page."""

    kind: str
    newest: Tuple[Shown, ...]
    older: Tuple[Shown, ...]
    left_out: Tuple[str, ...]


def chosen_pictures(runs: Sequence[ReportedRun], room: int) -> List[PicturesOfKind]:
    """Pictures that need at most `room` bytes in all: first the newest of each kind and run."""
    newest: Dict[str, List[Tuple[ReportedRun, Path]]] = {}
    older: Dict[str, List[Tuple[ReportedRun, Path]]] = {}
    for run in runs:
        by_kind: Dict[str, List[Path]] = {}
        for path in run.pictures:
            if _is_picture(path):
                by_kind.setdefault(kind_of(path), []).append(path)
        for kind, paths in sorted(by_kind.items()):
            ordered = sorted(paths, key=step_of, reverse=True)
            newest.setdefault(kind, []).append((run, ordered[0]))
            older.setdefault(kind, []).extend((run, path) for path in ordered[1:])
    left: Dict[str, List[str]] = {kind: [] for kind in newest}
    shown: List[Dict[str, List[Shown]]] = []
    for files, widths in ((newest, LARGE), (older, FOLDED)):
        shown.append({kind: [] for kind in files})
        waiting = sum(map(len, files.values()))
        for kind, paths_of_kind in files.items():
            for run, path in paths_of_kind:
                content = for_page(path, room // waiting, widths)
                waiting -= 1
                if content is None:
                    left[kind].append(f"{run.label}: {path.name}")
                else:
                    room -= len(content)
                    shown[-1][kind].append(Shown(run.label, path.name, content))
    return [
        PicturesOfKind(kind, tuple(shown[0][kind]), tuple(shown[1][kind]), tuple(left[kind]))
        for kind in newest
    ]


def kind_of(path: Path) -> str:
    """What a file shows: its name without the step that it ends with."""
    return re.sub(r"[_-]?\d+$", "", path.stem) or path.stem


def step_of(path: Path) -> Tuple[int, float]:
    """The step in a file's name, then its time: the newest has the largest."""
    number = re.search(r"(\d{1,18})$", path.stem)
    return int(number.group(1)) if number else -1, path.stat().st_mtime


def for_page(path: Path, most: int, widths: Sequence[int]) -> Optional[bytes]:
    """A picture's file of at most so many bytes, in the first of the widths in which it fits.

    A large animation is shown by its last frame. None where none fits, or the file is damaged.
    """
    content = path.read_bytes()
    if len(content) <= min(most, SMALL_FILE):
        return content
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.seek(getattr(image, "n_frames", 1) - 1)
            picture = image.convert("RGB")
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError):
        return None
    for width in widths:
        height = max(1, round(picture.height * width / picture.width))
        wide = picture.width > width
        reduced = picture.resize((width, height), Image.Resampling.LANCZOS) if wide else picture
        stream = io.BytesIO()
        reduced.save(stream, "WEBP" if features.check("webp") else "JPEG", quality=QUALITY)
        if stream.tell() <= most:
            return stream.getvalue()
    return None


def _is_picture(path: Path) -> bool:
    with path.open("rb") as stream:
        return kind_of_image(stream.read(16)) is not None
