"""What pictures and pages say of a decision, in the same words."""

from __future__ import annotations

from protoattend.gallery.explained import Explained


def percent(share: float) -> str:
    """A share in percent; never 0 % or 100 % of what is more than nothing or less than all."""
    text = f"{100 * share:.0f} %"
    if text in ("0 %", "100 %") and 0 < share < 1:
        text = f"{100 * share:.1f} %"
    return {"0.0 %": "< 0.1 %", "100.0 %": "> 99.9 %"}.get(text, text)


def outcome(decision: Explained) -> str:
    """Whether a decision is right, and the true label where it is wrong."""
    if decision.right is None:
        return "label not known"
    return "right" if decision.right else f"wrong, label {decision.label}"
