"""The card's `gate` section: tiers, cases and margins, and how its errors name what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.cards.model_card import TIERS, Task, read_card
from common.cards.model_folders import all_cards
from common.core.errors import ZooError
from tests.fake_zoo import REPOSITORY
from tests.tiny_zoo import TINY_MODEL

CARD = (TINY_MODEL / "PyTorch" / "tiny_net" / "model.yaml").read_text()
SMOKE_LINE = "smoke: {cases: [smoke], margin: 1.0, chance: 25}"


def task_of(tmp_path: Path, old: str, new: str) -> Task:
    folder = tmp_path / "tiny_net"
    folder.mkdir()
    assert old in CARD
    (folder / "model.yaml").write_text(CARD.replace(old, new))
    return read_card(folder / "model.yaml").task(None)


def test_a_tier_has_its_own_margins_and_the_tasks_where_it_names_none(tmp_path: Path) -> None:
    other = "metric: train_loss, margin: 0.1, higher_is_better: false, speed_margin: 0.3"
    gate = task_of(tmp_path, SMOKE_LINE, f"smoke: {{cases: [smoke], {other}, chance: 25}}").gate
    smoke, release = gate["smoke"], gate["release"]
    assert (smoke.metric.name, smoke.metric.higher_is_better) == ("train_loss", False)
    assert (smoke.metric.margin, smoke.speed_margin) == (0.1, 0.3)
    assert (smoke.chance, smoke.seeds) == (25.0, 1)
    assert (release.metric.margin, release.chance, release.seeds) == (0.3, None, 3)
    assert release.speed_margin == 0.1


@pytest.mark.parametrize(
    "line, told",
    [
        ("smoke: {cases: [absent]}", "smoke.cases names 'absent'"),
        ("smoke: {cases: [smoke], margins: 1.0}", "smoke.margins is not a key"),
        ("smoke: {cases: [smoke], margin: -1.0}", "smoke.margin must be at least 0"),
        ("smoke: {cases: [smoke], metric: loss}", "smoke.higher_is_better is missing"),
        ("weekly: {cases: [smoke]}", "gate.weekly is not a key"),
        ("smoke: {cases: [smoke]}\n      release: {cases: [smoke]}", "given twice"),
    ],
)
def test_a_wrong_gate_is_told_with_its_key(tmp_path: Path, line: str, told: str) -> None:
    with pytest.raises(ZooError) as caught:
        task_of(tmp_path, SMOKE_LINE, line)
    assert told in str(caught.value) and "model.yaml" in str(caught.value)


def test_a_release_of_one_seed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ZooError, match="release.seeds must be at least 2"):
        task_of(tmp_path, "seeds: 3", "seeds: 1")


def test_every_task_is_gated_at_every_tier_and_the_smoke_tier_needs_no_data_of_the_users() -> None:
    embedded = {"digits", "synthetic_sprites", "synthetic_scenes"}
    for card in all_cards(REPOSITORY):
        for task in card.tasks.values():
            assert set(task.gate) == set(TIERS), f"{card.name}/{task.name}"
            if task.metric.name == "accuracy":
                metric = task.gate["release"].metric
                scale = 100 if metric.unit == "fraction" else 1
                assert metric.margin * scale == pytest.approx(0.3)
            cases = [task.cases[name] for name in task.gate["smoke"].cases]
            assert {case.arguments["dataset"] for case in cases} <= embedded
