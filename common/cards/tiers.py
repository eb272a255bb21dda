"""What the card's `gate` section says: for each tier, which cases run and by which margins."""

from __future__ import annotations

import dataclasses
from typing import Any, Dict, Tuple

from common.core.section import Section

SMOKE, NIGHTLY, RELEASE = "smoke", "nightly", "release"
TIERS = (SMOKE, NIGHTLY, RELEASE)
WHAT_TIERS_ARE = {
    SMOKE: "embedded or generated data on the CPU, minutes",
    NIGHTLY: "short runs on one device, real data where --data_path has it",
    RELEASE: "whole trainings of several seeds on eight devices",
}
DATA_WAIT_MARGIN = 0.05


@dataclasses.dataclass(frozen=True)
class TierRules:
    """One tier of one task.

    Attributes:
        seeds: how many runs each case needs, of seeds 0, 1, …
        metric: what is judged (a cards.Metric); its margin is this tier's.
        chance: what guessing reaches; a reference that would let it pass settles nothing.
        speed_margin: the share of the stored speed that may be missing.
        data_wait_margin: how much larger the share of time spent waiting for data may be.
    """

    tier: str
    cases: Tuple[str, ...]
    seeds: int
    metric: Any
    chance: Any
    speed_margin: float
    data_wait_margin: float

    @property
    def is_release(self) -> bool:
        """Whether margins are the published ones, shown with 95 % confidence."""
        return self.tier == RELEASE


def read_gate(
    section: Section, metric: Any, speed_margin: float, cases: Tuple[str, ...]
) -> Dict[str, TierRules]:
    """Reads a task's `gate` section.

    Args:
        metric, speed_margin: the task's own, which a tier may change.
        cases: the names of the task's cases.

    Raises:
        ZooError: an unknown tier, case or key, a value of the wrong kind.
    """
    found = {
        tier: _tier(section.section(tier), tier, metric, speed_margin, cases)
        for tier in TIERS
        if section.has(tier)
    }
    section.done()
    return found


def _tier(
    section: Section, tier: str, metric: Any, speed_margin: float, cases: Tuple[str, ...]
) -> TierRules:
    named = section.texts("cases")
    for name in named:
        if name not in cases:
            section.fail(
                "cases", "names {!r}; the task's cases are {}".format(name, ", ".join(cases))
            )
    if not named:
        section.fail("cases", "is missing; the task's cases are {}".format(", ".join(cases)))
    rules = TierRules(
        tier,
        named,
        section.positive("seeds", 1),
        _metric(section, metric),
        section.optional("chance", float),
        section.value("speed_margin", float, speed_margin),
        section.value("data_wait_margin", float, DATA_WAIT_MARGIN),
    )
    _check(section, rules)
    section.done()
    return rules


def _metric(section: Section, metric: Any) -> Any:
    """The task's metric with this tier's margin, or another figure that the tier judges by."""
    margin = section.value("margin", float, metric.margin)
    if not section.has("metric"):
        return dataclasses.replace(metric, margin=margin)
    return dataclasses.replace(
        metric,
        name=section.value("metric", str),
        unit=section.value("unit", str, "plain"),
        higher_is_better=section.value("higher_is_better", bool),
        margin=margin,
        success=None,
    )


def _check(section: Section, rules: TierRules) -> None:
    if rules.metric.margin < 0:
        section.fail("margin", "must not be negative")
    for name, value in (
        ("speed_margin", rules.speed_margin),
        ("data_wait_margin", rules.data_wait_margin),
    ):
        if not 0 < value < 1:
            section.fail(name, f"must be between 0 and 1, not {value:g}")
    if rules.is_release and rules.seeds < 2:
        section.fail("seeds", "must be at least 2 at release: one run has no spread")
