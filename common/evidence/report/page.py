"""A report as one HTML page: configuration, verdicts, tables, curves, pictures, provenance, log."""

from __future__ import annotations

import io
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from PIL import Image, features
from plotly.offline import get_plotlyjs

from common.core.text import duration
from common.evidence.comparison import presentation
from common.evidence.comparison.compared import INCONCLUSIVE, NOK, POK, Comparison
from common.evidence.comparison.presentation import number
from common.evidence.html_page.render import render
from common.evidence.report.content import COLORS, ReportedRun, charts
from common.runs.record import RunRecord
from common.runs.tables import DASH

TEMPLATES = Path(__file__).parent / "templates"
VERDICT_CLASSES = {NOK: "bad", POK: "bad", INCONCLUSIVE: "open"}
LARGEST_PAGE = 5900000  # bytes
TEXTS, TEXTS_OF_A_RUN = 60000, 45000  # bytes, about, of all that is not a chart or a picture
SMALL_FILE = 120000  # bytes: a file up to so large is shown as it is
LARGE, FOLDED = (1400, 1000, 700), (640, 400)  # pixels: wider pictures are reduced
QUALITY = 84


def report_page(runs: Sequence[ReportedRun], comparisons: Sequence[Comparison], date: str) -> str:
    """Writes the page. Everything is inside; all foreign text is escaped.

    Args:
        runs: at least one; their labels are their names on the page.
        comparisons: of the others with the first; none for a single run.
        date: when the report was made, in words for people.
    """
    records = {run.label: run.record for run in runs if run.record is not None}
    columns = {label: settings(record) for label, record in records.items()}
    drawn = charts([run.label for run in runs], [run.run for run in runs])
    libraries = [get_plotlyjs()] if drawn else []
    used = sum(map(len, libraries)) + len(json.dumps([chart.figure for chart in drawn]))
    room = LARGEST_PAGE - used - TEXTS - TEXTS_OF_A_RUN * len(runs)
    against = f"{', '.join(run.label for run in runs[1:])} against {runs[0].label}"
    against = against if len(runs) > 1 else ""
    title = _title(runs, list(records.values())) or against or runs[0].label
    return render(
        TEMPLATES,
        "report.html",
        f"Report: {title}",
        styles=["report.css"],
        scripts=["report.js"],
        libraries=libraries,
        heading=title,
        subtitle=against,
        date=date,
        runs=runs,
        colors={run.label: number % COLORS for number, run in enumerate(runs)},
        settings=columns,
        differences=_differences(list(columns.values())),
        comparisons=comparisons,
        presentation=presentation,
        verdict_kinds=VERDICT_CLASSES,
        figures=_figures(runs),
        charts=drawn,
        pictures=chosen_pictures(runs, max(room * 3 // 4, 0)),  # base64 is a third longer
        duration=duration,
    )


def _title(runs: Sequence[ReportedRun], records: Sequence[RunRecord]) -> str:
    """What was trained on what, as far as it is known."""
    if not records:
        return ", ".join(sorted({run.run.network for run in runs if run.run.model}))
    networks = sorted({f"{record.model} {record.task}" for record in records})
    data = sorted({record.dataset.name for record in records})
    return f"{', '.join(networks)} on {data[0] if len(data) == 1 else f'{len(data)} data sets'}"


def settings(record: RunRecord) -> Dict[str, str]:
    """Everything that two runs may differ in: surroundings first, then the configuration."""
    device, batch = record.device, record.batch
    software = (device.framework, f"Python {device.python}", device.driver, device.runtime)
    found = {
        "case": record.case,
        "dataset": f"{record.dataset.name}: {record.dataset.predicate}",
        "dataset manifest sha256": record.dataset.manifest_sha256,
        "device": f"{device.count} x {device.kind.upper()} {device.name}",
        "software": ", ".join(filter(None, software)),
        "commit": record.code.commit + ", with uncommitted changes" * record.code.dirty,
        "precision": f"{record.precision.arithmetic} ({record.precision.mode})",
        "batch": f"{batch.per_device} a device, {batch.total} in all",
        "steps asked for": f"{record.progress.target_steps:,}",
        "seed": str(record.seed),
    }
    for kind, values in (("network", record.network), ("", record.config)):
        for name, value in values.items():
            parts = value if isinstance(value, dict) and value else {"": value}
            for part, one in parts.items():
                told = one if isinstance(one, str) else json.dumps(one, ensure_ascii=False)
                found[f"{kind} {name} {part}".strip()] = DASH if one is None else told
    return found


def _differences(columns: Sequence[Dict[str, str]]) -> List[List[str]]:
    """Rows of a setting and its value in each run, of the settings that are not all equal."""
    names = dict.fromkeys(name for column in columns for name in column)
    rows = [[name] + [column.get(name, DASH) for column in columns] for name in names]
    return [row for row in rows if len(set(row[1:])) > 1]


def _figures(runs: Sequence[ReportedRun]) -> List[List[str]]:
    """Final and best figures of the runs' records, a column each; the titles first, or nothing."""
    columns = {}
    for run in runs:
        of_run = f"{run.label}: " if len(runs) > 1 else ""
        columns[of_run + "final"] = run.run.final
        columns[of_run + "best on validation"] = run.run.best
    columns = {title: found for title, found in columns.items() if found}
    names = dict.fromkeys(name for found in columns.values() for name in found)
    rows = [[name] + [_value(found.get(name)) for found in columns.values()] for name in names]
    return [["", *columns], *rows] if rows else []


def _value(value: Optional[float]) -> str:
    if value is None:
        return DASH
    return f"{value:,.0f}" if value % 1 == 0 else number(value)


# --- pictures: the newest of each kind large, the older ones folded ---


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
        for path in run.pictures:
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
        for at, (kind, run, path) in enumerate(files):
            content = for_page(path, room // (len(files) - at), widths)
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
