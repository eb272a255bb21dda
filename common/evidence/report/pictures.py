"""The pictures of runs on a page: the newest of each kind large, the older ones folded."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, field
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


@dataclass
class PicturesOfKind:
    """What runs have of one kind, such as slots; left_out: names of what is not on the page."""

    kind: str
    newest: List[Shown] = field(default_factory=list)
    older: List[Shown] = field(default_factory=list)
    left_out: List[str] = field(default_factory=list)


def chosen_pictures(runs: Sequence[ReportedRun], room: int) -> List[PicturesOfKind]:
    """Pictures that need at most `room` bytes in all: first the newest of each kind and run."""
    newest: List[Tuple[str, ReportedRun, Path]] = []
    older: List[Tuple[str, ReportedRun, Path]] = []
    for run in runs:
        # The step that a name ends with, then the time: the newest is the first of its kind.
        kinds: Dict[str, List[Tuple[int, float, Path]]] = {}
        for path in filter(_is_picture, run.pictures):
            name = re.fullmatch(r"(.*?)[_-]?(\d{0,18})", path.stem, re.DOTALL)
            kind, step = name.groups() if name else (path.stem, "")
            place = (int(step or -1), path.stat().st_mtime, path)
            kinds.setdefault(kind or path.stem, []).append(place)
        for kind, places in sorted(kinds.items()):
            first, *rest = sorted(places, reverse=True)
            newest.append((kind, run, first[2]))
            older += [(kind, run, path) for _, _, path in rest]
    found = {kind: PicturesOfKind(kind) for kind, _, _ in newest}
    for files, widths in ((newest, LARGE), (older, FOLDED)):
        for number, (kind, run, path) in enumerate(files):
            content = for_page(path, room // (len(files) - number), widths)
            if content is None:
                found[kind].left_out.append(f"{run.label}: {path.name}")
                continue
            room -= len(content)
            shown = found[kind].newest if files is newest else found[kind].older
            shown.append(Shown(run.label, path.name, content))
    return list(found.values())


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
        picture.thumbnail((width, picture.height), Image.Resampling.LANCZOS)
        stream = io.BytesIO()
        picture.save(stream, "WEBP" if features.check("webp") else "JPEG", quality=QUALITY)
        if stream.tell() <= most:
            return stream.getvalue()
    return None


def _is_picture(path: Path) -> bool:
    with path.open("rb") as stream:
        return kind_of_image(stream.read(16)) is not None
