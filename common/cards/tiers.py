"""What a task is judged by, and its `gate`: for each tier, which cases run and by which margins."""

from __future__ import annotations

from typing import Iterator, Optional, Tuple

import attrs

from common.core.codec import at_least, between, filled

SMOKE, NIGHTLY, RELEASE = "smoke", "nightly", "release"
TIERS = (SMOKE, NIGHTLY, RELEASE)
WHAT_TIERS_ARE = {
    SMOKE: "embedded or generated data on the CPU, minutes",
    NIGHTLY: "short runs on one device, real data where --data_path has it",
    RELEASE: "whole trainings of several seeds on eight devices",
}
DATA_WAIT_MARGIN = 0.05


@attrs.frozen
class Metric:
    """The figure a task is judged by.

    Attributes:
        margin: how far below a reference still passes.
        success: from which value on a run has succeeded, for networks that fail by seed; None
            where the card names none.
    """

    name: str
    unit: str
    higher_is_better: bool
    margin: float = attrs.field(validator=at_least(0))
    success: Optional[float] = None

    def told(self, value: float) -> str:
        """A value as text: percent with two decimals, a fraction with four."""
        return f"{value:.{self.digits}f}"

    @property
    def digits(self) -> int:
        """Decimals that are worth printing."""
        return 2 if self.unit == "percent" else 4

    def succeeded(self, value: Optional[float]) -> Optional[bool]:
        """Whether a value reaches `success`; without a value it does not; None without it."""
        if self.success is None:
            return None
        if value is None:
            return False
        return value >= self.success if self.higher_is_better else value <= self.success


@attrs.frozen
class TierRules:
    """One tier of one task, complete.

    Attributes:
        seeds: how many runs each case needs, of seeds 0, 1, …
        metric: what is judged; its margin is this tier's.
        chance: what guessing reaches; a reference that would let it pass settles nothing.
        speed_margin: the share of the stored speed that may be missing.
        data_wait_margin: how much larger the share of time spent waiting for data may be.
    """

    tier: str
    cases: Tuple[str, ...]
    seeds: int
    metric: Metric
    chance: Optional[float]
    speed_margin: float
    data_wait_margin: float

    @property
    def is_release(self) -> bool:
        """Whether margins are the published ones, shown with 95 % confidence."""
        return self.tier == RELEASE


@attrs.frozen
class Tier:
    """A tier as the card declares it: what is not there is the task's own.

    Attributes:
        metric: another figure that this tier judges by, with its unit and direction.
    """

    cases: Tuple[str, ...] = attrs.field(validator=filled)
    seeds: int = attrs.field(default=1, validator=at_least(1))
    metric: Optional[str] = None
    unit: Optional[str] = None
    higher_is_better: Optional[bool] = None
    margin: Optional[float] = attrs.field(default=None, validator=at_least(0))
    chance: Optional[float] = None
    speed_margin: Optional[float] = attrs.field(default=None, validator=between(0, 1))
    data_wait_margin: float = attrs.field(default=DATA_WAIT_MARGIN, validator=between(0, 1))

    def mistakes(self) -> Iterator[Tuple[str, str]]:
        """A figure of its own needs a direction, and only such a figure has one."""
        if self.metric is not None and self.higher_is_better is None:
            yield "higher_is_better", "is missing; it must be true or false"
        if self.metric is None and (self.unit, self.higher_is_better) != (None, None):
            yield "metric", "is missing, and its unit or higher_is_better is there"

    def rules(self, tier: str, metric: Metric, speed_margin: float) -> TierRules:
        """The rules of this tier for a task that is judged by `metric`."""
        margin = metric.margin if self.margin is None else self.margin
        if self.metric is None:
            metric = attrs.evolve(metric, margin=margin)
        else:
            better = bool(self.higher_is_better)
            metric = Metric(self.metric, self.unit or "plain", better, margin)
        speed_margin = speed_margin if self.speed_margin is None else self.speed_margin
        return TierRules(
            tier, self.cases, self.seeds, metric, self.chance, speed_margin, self.data_wait_margin
        )
