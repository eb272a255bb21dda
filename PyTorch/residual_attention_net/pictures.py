"""The figures that visualize writes: masks over their images, and the curves of a training."""

from __future__ import annotations

import dataclasses
import io
import math
import warnings
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from common.core.errors import ZooError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DOTS_PER_INCH = 110
CELL_INCHES, CELL_GAP, ROW_NAME_INCHES = 1.6, 0.15, 0.12
MASK_COLOURS = "RdYlBu_r"
DARKEST = 0.3
TOP_INCHES, BOTTOM_INCHES = 0.95, 0.3
GAP, GAP_WITH_LABELS, BETWEEN_IMAGES, SCALE_GAP = 0.12, 0.24, 0.55, 0.32
CAPTION_LENGTH = 26
LARGEST_CURVE = 4000
SMOOTHED_SHARE, LEAST_WINDOW = 40, 5
LOSS_COLOUR, RATE_COLOUR = "tab:blue", "tab:green"
SPLIT_COLOURS = {"validation": "tab:orange", "test": "tab:red"}


@dataclasses.dataclass(frozen=True, eq=False)
class ModuleMasks:
    """What one attention module did to N images.

    Attributes:
        name: the module's name.
        size: pixels a side of the mask.
        channel_count: channels of the mask.
        mean: float32, (N, size, size): the mean over the channels, from 0 to 1.
        enlarged: float32, (N, H, W): the same, interpolated to the images' size.
        strongest: float32, (N, K, size, size): single channels.
        strongest_channels: int64, (N, K): which.
    """

    name: str
    size: int
    channel_count: int
    mean: np.ndarray
    enlarged: np.ndarray
    strongest: np.ndarray
    strongest_channels: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class AttentionView:
    """N images with what the network made of them.

    Attributes:
        title: what network and which weights.
        images: uint8, (N, H, W, C).
        captions: N lines: where from, true class.
        answers: N texts of a few lines: the most probable classes.
        modules: the masks, from the input to the output.
    """

    title: str
    images: np.ndarray
    captions: Tuple[str, ...]
    answers: Tuple[str, ...]
    modules: Tuple[ModuleMasks, ...]


def require_matplotlib() -> Any:
    """The Figure class of matplotlib.

    Raises:
        ZooError: it is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ZooError(
            f"pictures need matplotlib, which can't be imported ({error}): pip install matplotlib"
        ) from None
    return Figure


def new_figure(width: float, height: float) -> Figure:
    """An empty figure (inches) that draws into memory and knows no screen."""
    figure = require_matplotlib()(figsize=(width, height), dpi=DOTS_PER_INCH, facecolor="white")
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    return figure


def as_png(figure: Figure) -> bytes:
    """The figure as a PNG file, cut so that no label is clipped."""
    stream = io.BytesIO()
    with warnings.catch_warnings():
        # A file's name may have letters that the font lacks: they show as boxes.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(
            stream, format="png", dpi=DOTS_PER_INCH, bbox_inches="tight", pad_inches=0.15
        )
    return stream.getvalue()


# --- attention masks -------------------------------------------------------------------------


def attention_figure(view: AttentionView) -> Figure:
    """For every image: the image, then each module's mask over it and by itself.

    A module's masks share one colour scale, drawn below them, so that images compare.
    """
    kept = view.modules[0].strongest.shape[1] if view.modules else 0
    rows = _Rows(len(view.images), 2 + kept, GAP_WITH_LABELS if kept else GAP)
    # Every other column is a gap; the first one is wider, for the names of the rows.
    widths = [CELL_INCHES, CELL_GAP + ROW_NAME_INCHES] + [CELL_INCHES, CELL_GAP] * len(view.modules)
    whole = rows.inches + TOP_INCHES + BOTTOM_INCHES
    figure = new_figure(sum(widths), whole)
    grid = figure.add_gridspec(
        rows.count,
        len(widths),
        left=0,
        right=1,
        wspace=0,
        hspace=0,
        top=1 - TOP_INCHES / whole,
        bottom=BOTTOM_INCHES / whole,
        height_ratios=rows.heights,
        width_ratios=widths,
    )
    for number in range(len(view.images)):
        places = rows.of_image(number)
        _draw_input(figure, grid, places, view, number)
        for column, module in enumerate(view.modules, 1):
            cells = [grid[place, 2 * column] for place in places]
            _draw_masks(figure, cells, view.images[number], module, number)
            if number == 0:
                figure.axes[-len(cells)].set_title(_module_title(module), fontsize=8)
            if column == 1:
                _name_rows(figure.axes[-len(cells) :])
    for column, module in enumerate(view.modules, 1):
        _draw_scale(figure, grid[rows.count - 1, 2 * column].get_position(figure), whole, module)
    figure.suptitle(plain(view.title), fontsize=11, y=1 - 0.1 / whole, va="top")
    return figure


class _Rows:
    """The rows of the grid: those of each image with a gap below each, in inches."""

    def __init__(self, images: int, rows_of_image: int, gap: float) -> None:
        self._each = rows_of_image
        block = [CELL_INCHES, gap] * rows_of_image
        block[-1] = BETWEEN_IMAGES
        self.heights = (block * images)[:-1] + [SCALE_GAP]
        self.count, self.inches = len(self.heights), sum(self.heights)

    def of_image(self, number: int) -> List[int]:
        """The places of one image's rows in the grid."""
        first = 2 * self._each * number
        return list(range(first, first + 2 * self._each, 2))


def _draw_input(
    figure: Figure, grid: Any, places: Sequence[int], view: AttentionView, number: int
) -> None:
    axes = _cell(figure, grid[places[0], 0])
    axes.imshow(shown(view.images[number]), interpolation="nearest")
    axes.set_title(plain(view.captions[number]), fontsize=8)
    text = _cell(figure, grid[places[1], 0])
    text.set_axis_off()
    text.text(
        0.5,
        0.95,
        plain(view.answers[number]),
        fontsize=8,
        ha="center",
        va="top",
        linespacing=1.5,
        transform=text.transAxes,
    )


def _draw_masks(
    figure: Figure, cells: Sequence[Any], image: np.ndarray, module: ModuleMasks, number: int
) -> None:
    """One module's column for one image: over it, alone, then single channels."""
    low, high = value_range(module)
    over, alone = _cell(figure, cells[0]), _cell(figure, cells[1])
    over.imshow(overlaid(image, module.enlarged[number], low, high), interpolation="nearest")
    alone.imshow(
        module.mean[number], cmap=MASK_COLOURS, vmin=low, vmax=high, interpolation="nearest"
    )
    for cell, mask, channel in zip(
        cells[2:], module.strongest[number], module.strongest_channels[number]
    ):
        axes = _cell(figure, cell)
        axes.imshow(mask, cmap=MASK_COLOURS, vmin=0, vmax=1, interpolation="nearest")
        axes.set_xlabel(
            f"channel {channel}: {mask.min():.2f} to {mask.max():.2f}", fontsize=7, labelpad=2
        )


def _name_rows(column: Sequence[Axes]) -> None:
    """Says at the left what each row of an image is."""
    names = ["mean over the image", "mean of all channels"]
    names += ["one channel, 0 to 1"] * (len(column) - 2)
    for axes, name in zip(column, names):
        axes.set_ylabel(name, fontsize=8)


def _module_title(module: ModuleMasks) -> str:
    low, high = float(module.mean.min()), float(module.mean.max())
    return "{}\n{} x {}, {} channels\nmean {} to {}".format(
        module.name, module.size, module.size, module.channel_count, *told_apart([low, high])
    )


def told_apart(values: Sequence[float]) -> List[str]:
    """Ascending numbers, rounded to so many digits that those of the range are seen."""
    span = values[-1] - values[0]
    digits = 2 if span <= 0 else min(6, max(2, 1 + math.ceil(-math.log10(span))))
    return ["{:.{}f}".format(value, digits) for value in values]


def _cell(figure: Figure, place: Any) -> Axes:
    axes = figure.add_subplot(place)
    axes.set_xticks([])
    axes.set_yticks([])
    return axes


def _draw_scale(figure: Figure, cell: Any, whole: float, module: ModuleMasks) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    axes = figure.add_axes([cell.x0, cell.y0, cell.width, 0.1 / whole])
    low, high = value_range(module)
    bar = figure.colorbar(
        ScalarMappable(Normalize(low, high), MASK_COLOURS), cax=axes, orientation="horizontal"
    )
    ticks = [low, (low + high) / 2, high]
    bar.set_ticks(ticks)
    labels = bar.ax.set_xticklabels(told_apart(ticks), fontsize=7)
    # At the ends they are set inwards, or neighbours would touch.
    labels[0].set_horizontalalignment("left")
    labels[-1].set_horizontalalignment("right")


def value_range(module: ModuleMasks) -> Tuple[float, float]:
    """The ends of a module's colour scale: those of its channel means, never a single point."""
    low, high = float(module.mean.min()), float(module.mean.max())
    return (low, high) if high - low > 1e-6 else (low - 1e-3, high + 1e-3)


def overlaid(image: np.ndarray, mask: np.ndarray, low: float, high: float) -> np.ndarray:
    """The mask in colours, as bright as the image is.

    Args:
        image: uint8, (H, W, C).
        mask: float32, (H, W).
        low: the mask's value at the dark end of the colours.
        high: that at the bright end.

    Returns:
        float, (H, W, 3), from 0 to 1.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    colours = ScalarMappable(Normalize(low, high, clip=True), MASK_COLOURS).to_rgba(mask)[..., :3]
    grey = shown(image).mean(axis=-1, keepdims=True) / 255.0
    return colours * (DARKEST + (1 - DARKEST) * grey)


def shown(image: np.ndarray) -> np.ndarray:
    """An image of 1 to 4 channels as uint8, (H, W, 3)."""
    return image[..., :3] if image.shape[-1] >= 3 else np.repeat(image[..., :1], 3, axis=-1)


def plain(text: str) -> str:
    """The text as it stands: no formula between dollar signs, no control characters."""
    printable = "".join(sign if sign.isprintable() or sign == "\n" else "?" for sign in text)
    return printable.replace("$", r"\$")


def shortened(text: str, length: int = CAPTION_LENGTH) -> str:
    """The text, without its middle where it is longer than `length`."""
    if len(text) <= length:
        return text
    kept = length - 1
    return text[: kept - kept // 2] + "…" + text[len(text) - kept // 2 :]


# --- curves ----------------------------------------------------------------------------------


def training_curves(events: Sequence[Mapping[str, Any]]) -> Figure:
    """Loss per step, raw and smoothed, accuracy where it was measured, and the learning rate.

    Args:
        events: those of a run, from common.runs.events.effective_events.

    Raises:
        ZooError: not one training step among them, or matplotlib is not installed.
    """
    steps = [event for event in events if event["event"] == "step"]
    if not steps:
        raise ZooError("the run has no training step, so there are no curves to draw")
    evaluations = [
        event
        for event in events
        if event["event"] == "evaluation" and "accuracy" in event.get("metrics", {})
    ]
    heights = [3, 2, 1.2] if evaluations else [3, 1.2]
    figure = new_figure(8, 1.2 + 1.15 * sum(heights))
    panels = figure.subplots(
        len(heights), 1, sharex=True, gridspec_kw={"height_ratios": heights, "hspace": 0.12}
    )
    _draw_loss(panels[0], steps)
    if evaluations:
        _draw_accuracy(panels[1], evaluations)
    _draw_learning_rate(panels[-1], steps)
    panels[0].set_title(plain(_run_in_words(events)), fontsize=10)
    panels[-1].set_xlabel(
        "optimizer step ({:,} in {} epochs)".format(steps[-1]["step"], steps[-1].get("epoch", "?"))
    )
    for panel in panels:
        panel.grid(True, color="0.9", linewidth=0.8)
        panel.set_axisbelow(True)
    figure.align_ylabels(panels)
    return figure


def _draw_loss(axes: Axes, steps: Sequence[Mapping[str, Any]]) -> None:
    places, losses = series(steps, "loss")
    finite = np.isfinite(losses)
    window = max(LEAST_WINDOW, int(finite.sum()) // SMOOTHED_SHARE)
    every = max(1, len(places) // LARGEST_CURVE)
    axes.plot(
        places[finite][::every],
        losses[finite][::every],
        color=LOSS_COLOUR,
        alpha=0.3,
        linewidth=0.8,
        label="each step",
    )
    if finite.sum() > window:
        axes.plot(
            places[finite][::every],
            smoothed(losses[finite], window)[::every],
            color=LOSS_COLOUR,
            linewidth=1.8,
            label=f"mean of {window} steps",
        )
    for number, place in enumerate(places[~finite][:10]):
        axes.axvline(
            place,
            color="tab:red",
            linestyle=":",
            label="" if number else f"not finite, first at step {int(place):,}",
        )
    axes.set_ylabel("training loss")
    axes.legend(loc="upper right", fontsize=8)


def _draw_accuracy(axes: Axes, evaluations: Sequence[Mapping[str, Any]]) -> None:
    progress = [event for event in evaluations if event.get("role") == "progress"]
    if progress:
        places, values = series(
            [dict(event, accuracy=event["metrics"]["accuracy"]) for event in progress], "accuracy"
        )
        axes.plot(
            places,
            values,
            color=SPLIT_COLOURS["validation"],
            linewidth=1.5,
            marker="o" if len(places) <= 50 else "",
            markersize=4,
            label=f"validation: best {np.nanmax(values):.2f} %",
        )
    for event in evaluations:
        if event.get("role") != "progress":
            _draw_final(axes, event)
    axes.set_ylabel("accuracy (%)")
    axes.legend(loc="lower right", fontsize=8)


def _draw_final(axes: Axes, event: Mapping[str, Any]) -> None:
    """One measurement at the end, as a line across."""
    accuracy, of_best = float(event["metrics"]["accuracy"]), event.get("role") == "best"
    axes.axhline(
        accuracy,
        color=SPLIT_COLOURS.get(event["split"], "0.4"),
        linewidth=1.2,
        linestyle=":" if of_best else "--",
        label="{}, {}: {:.2f} %".format(
            event["split"], "weights best on validation" if of_best else "final weights", accuracy
        ),
    )


def _draw_learning_rate(axes: Axes, steps: Sequence[Mapping[str, Any]]) -> None:
    places, rates = series(steps, "learning_rate")
    every = max(1, len(places) // LARGEST_CURVE)
    axes.plot(places[::every], rates[::every], color=RATE_COLOUR, linewidth=1.5)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("learning rate")


def series(events: Sequence[Mapping[str, Any]], name: str) -> Tuple[np.ndarray, np.ndarray]:
    """The steps and the values of a field, both float64; what is no number becomes NaN."""
    values = np.array([_number(event.get(name)) for event in events], np.float64)
    return np.array([event["step"] for event in events], np.float64), values


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def smoothed(values: np.ndarray, window: int) -> np.ndarray:
    """The centred mean over `window` values, over fewer at both ends; float64, as long as given."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    places = np.arange(len(values))
    first = np.maximum(places - window // 2, 0)
    end = np.minimum(places + (window + 1) // 2, len(values))
    return (sums[end] - sums[first]) / (end - first)


def _run_in_words(events: Sequence[Mapping[str, Any]]) -> str:
    start: Optional[Mapping[str, Any]] = next(
        (event for event in reversed(events) if event["event"] == "start"), None
    )
    if start is None:
        return "training"
    named: Dict[str, Any] = {
        name: start.get(name) or {}
        for name in ("network", "dataset", "device", "precision", "batch")
    }
    words: List[str] = [
        str(named["network"].get("name", start.get("model", "training"))),
        "on " + str(named["dataset"].get("name", "?")),
        "batch {}".format(named["batch"].get("global", "?")),
        str(named["precision"].get("mode", "")),
        str(named["device"].get("kind", "")),
    ]
    return ", ".join(word for word in words if word)
