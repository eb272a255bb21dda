"""The figures of this network: masks over their images, and the curves of a training."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from common.core.errors import ZooError
from common.evidence.figures.colors import PALETTE, web_color
from common.evidence.figures.figure import new_figure
from common.evidence.figures.line_chart import finish
from common.evidence.figures.sheet import Column, Tile, sheet
from residual_attention_net.attention import AttentionView, ModuleMasks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIDE = 160  # pixels of a tile
MASK_COLOURS = "RdYlBu_r"
DARKEST = 0.3
SMOOTHED_SHARE, LEAST_WINDOW = 40, 5
WIDTH, PANEL = 900, 110  # pixels; the height for one share
LOSS, RATE, OTHER = PALETTE[0], PALETTE[4], PALETTE[6]
SPLIT_COLOURS = {"validation": PALETTE[1], "test": PALETTE[2]}

Event = Mapping[str, Any]


# --- attention masks -------------------------------------------------------------------------


def attention_figure(view: AttentionView) -> Figure:
    """For every image: the image, then each module's mask over it and by itself.

    A module's masks share one scale of colours, whose ends its title tells, so that images compare.
    """
    rows: List[List[Optional[Tile]]] = []
    titles: List[str] = []
    kept = view.modules[0].strongest.shape[1]
    for number, image in enumerate(view.images):
        over = [overlaid(image, one.enlarged[number], *value_range(one)) for one in view.modules]
        alone = [coloured(one.mean[number], *value_range(one)) for one in view.modules]
        rows += [[Tile(shown(image))] + list(map(Tile, over)), [None] + list(map(Tile, alone))]
        titles += [view.captions[number], "mean of\nall channels"]
        for place in range(kept):
            rows.append([None] + [channel_tile(module, number, place) for module in view.modules])
            titles.append("one channel,\n0 to 1")
    columns = [Column("image")] + [Column(module_title(module)) for module in view.modules]
    title = f"{view.title}; masks from blue (low) to red (high)"
    return sheet(rows, columns, titles, title, block=2 + kept, side=SIDE)


def channel_tile(module: ModuleMasks, number: int, place: int) -> Tile:
    """One of the single channels of an image's mask, with its range below."""
    mask = module.strongest[number, place]
    channel = module.strongest_channels[number, place]
    words = f"channel {channel}: {mask.min():.2f} to {mask.max():.2f}"
    return Tile(coloured(mask, 0, 1), words)


def module_title(module: ModuleMasks) -> str:
    """What stands above a module's masks: its size, and the ends of its colours."""
    low, high = told_apart(value_range(module))
    size = f"{module.size} x {module.size}, {module.channel_count} channels"
    return f"{module.name}\n{size}\n{low} to {high}"


def told_apart(values: Sequence[float]) -> List[str]:
    """Ascending numbers, rounded to so many digits that those of the range are seen."""
    span = values[-1] - values[0]
    digits = 2 if span <= 0 else min(6, max(2, 1 + math.ceil(-math.log10(span))))
    return [f"{value:.{digits}f}" for value in values]


def value_range(module: ModuleMasks) -> Tuple[float, float]:
    """The ends of a module's colour scale: those of its channel means, never a single point."""
    low, high = float(module.mean.min()), float(module.mean.max())
    return (low, high) if high - low > 1e-6 else (low - 1e-3, high + 1e-3)


def coloured(mask: np.ndarray, low: float, high: float) -> np.ndarray:
    """A mask (H, W) as uint8 (H, W, 3): blue where it is low or lower, red where it is high."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    scale = ScalarMappable(Normalize(low, high, clip=True), MASK_COLOURS)
    return np.asarray(scale.to_rgba(mask, bytes=True))[..., :3]


def overlaid(image: np.ndarray, mask: np.ndarray, low: float, high: float) -> np.ndarray:
    """The mask (H, W) in colours, as bright as the image uint8 (H, W, C) is: uint8 (H, W, 3)."""
    grey = shown(image).mean(axis=-1, keepdims=True) / 255.0
    return (coloured(mask, low, high) * (DARKEST + (1 - DARKEST) * grey)).astype(np.uint8)


def shown(image: np.ndarray) -> np.ndarray:
    """An image of 1 to 4 channels as uint8, (H, W, 3)."""
    return image[..., :3] if image.shape[-1] >= 3 else np.repeat(image[..., :1], 3, axis=-1)


# --- curves ----------------------------------------------------------------------------------


def training_curves(events: Sequence[Event]) -> Figure:
    """Loss per step, raw and smoothed, accuracy where it was measured, and the learning rate.

    Args:
        events: those of a run, from common.runs.events.effective_events.

    Raises:
        ZooError: not one training step among them.
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
    figure = new_figure(WIDTH, int(PANEL * (1 + sum(heights))))
    panels = figure.subplots(len(heights), 1, sharex=True, gridspec_kw={"height_ratios": heights})
    _draw_loss(panels[0], steps)
    if evaluations:
        _draw_accuracy(panels[1], evaluations)
    places, rates = series(steps, "learning_rate")
    panels[-1].plot(places, rates, color=web_color(RATE), linewidth=1.5)
    panels[-1].set_ylim(bottom=0)
    panels[-1].set_ylabel("learning rate")
    panels[-1].set_xlabel(
        "optimizer step ({:,} in {} epochs)".format(steps[-1]["step"], steps[-1].get("epoch", "?"))
    )
    for panel in panels:
        finish(figure, panel, run_in_words(events))
    figure.align_ylabels(panels)
    return figure


def _draw_loss(axes: Axes, steps: Sequence[Event]) -> None:
    places, losses = series(steps, "loss")
    finite, color = np.isfinite(losses), web_color(LOSS)
    axes.plot(places[finite], losses[finite], color=color, alpha=0.3, label="each step")
    window = max(LEAST_WINDOW, int(finite.sum()) // SMOOTHED_SHARE)
    if finite.sum() > window:
        mean = smoothed(losses[finite], window)
        axes.plot(places[finite], mean, color=color, linewidth=1.8, label=f"mean of {window} steps")
    for number, place in enumerate(places[~finite][:10]):
        name = "" if number else f"not finite, first at step {int(place):,}"
        axes.axvline(place, color=web_color(PALETTE[2]), linestyle=":", label=name)
    axes.set_ylabel("training loss")


def _draw_accuracy(axes: Axes, evaluations: Sequence[Event]) -> None:
    progress = [event for event in evaluations if event.get("role") == "progress"]
    if progress:
        places = [event["step"] for event in progress]
        values = [float(event["metrics"]["accuracy"]) for event in progress]
        axes.plot(
            places,
            values,
            color=web_color(SPLIT_COLOURS["validation"]),
            marker="o" if len(places) <= 50 else "",
            markersize=4,
            label=f"validation: best {np.nanmax(values):.2f} %",
        )
    for event in evaluations:
        if event.get("role") != "progress":
            accuracy, of_best = float(event["metrics"]["accuracy"]), event.get("role") == "best"
            weights = "weights best on validation" if of_best else "final weights"
            axes.axhline(
                accuracy,
                color=web_color(SPLIT_COLOURS.get(event["split"], OTHER)),
                linewidth=1.2,
                linestyle=":" if of_best else "--",
                label=f"{event['split']}, {weights}: {accuracy:.2f} %",
            )
    axes.set_ylabel("accuracy (%)")


def series(events: Sequence[Event], name: str) -> Tuple[np.ndarray, np.ndarray]:
    """The steps and the values of a field, both float64; what is no number becomes NaN."""

    def number(value: Any) -> float:
        try:
            return float(value)
        except (TypeError, ValueError):
            return math.nan

    values = np.array([number(event.get(name)) for event in events], np.float64)
    return np.array([event["step"] for event in events], np.float64), values


def smoothed(values: np.ndarray, window: int) -> np.ndarray:
    """The centred mean over `window` values, no more than there are; over fewer at both ends."""
    ones = np.ones(window)
    return np.convolve(values, ones, "same") / np.convolve(np.ones(len(values)), ones, "same")


def run_in_words(events: Sequence[Event]) -> str:
    """What was trained on what, and how, as its last start says."""
    starts = [event for event in events if event["event"] == "start"]
    start: Event = starts[-1] if starts else {}

    def told(field: str, key: str) -> Any:
        return (start.get(field) or {}).get(key)

    on = f" on {told('dataset', 'name')}" if told("dataset", "name") else ""
    words = [
        f"{told('network', 'name') or start.get('model', 'training')}{on}",
        f"batch {told('batch', 'global')}" if told("batch", "global") else "",
        told("precision", "mode"),
        told("device", "kind"),
    ]
    return ", ".join(str(word) for word in words if word)
