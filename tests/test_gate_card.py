"""The card's `gate` section: tiers, cases and margins, and how its errors name what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.cards.model_card import Task, read_card
from common.cards.model_folders import all_cards
from common.cards.tiers import SMOKE, TIERS
from common.core.errors import ZooError
from common.evidence.gate.running import cases_of
from tests.fake_zoo import REPOSITORY
from tests.tiny_zoo import TINY_MODEL

CARD = (TINY_MODEL / "PyTorch" / "tiny_net" / "model.yaml").read_text()
SMOKE_LINE = "smoke: {cases: [smoke], margin: 1.0, chance: 25}"


def task_of(tmp_path: Path, smoke: str = SMOKE_LINE) -> Task:
    folder = tmp_path / "tiny_net"
    folder.mkdir()
    assert SMOKE_LINE in CARD
    (folder / "model.yaml").write_text(CARD.replace(SMOKE_LINE, smoke))
    return read_card(folder / "model.yaml").task(None)


def test_a_tier_has_its_own_margins_and_the_tasks_where_it_names_none(tmp_path: Path) -> None:
    gate = task_of(tmp_path).gate
    assert (gate["smoke"].metric.margin, gate["release"].metric.margin) == (1.0, 0.3)
    assert (gate["smoke"].chance, gate["release"].chance) == (25.0, None)
    assert (gate["smoke"].seeds, gate["release"].seeds) == (1, 3)
    assert gate["smoke"].speed_margin == 0.1


def test_a_tier_may_judge_by_another_figure(tmp_path: Path) -> None:
    rules = task_of(
        tmp_path,
        "smoke: {cases: [smoke], metric: train_loss, margin: 0.1, "
        "higher_is_better: false, speed_margin: 0.3}",
    ).gate["smoke"]
    assert (rules.metric.name, rules.metric.higher_is_better) == ("train_loss", False)
    assert (rules.metric.margin, rules.speed_margin) == (0.1, 0.3)


@pytest.mark.parametrize(
    "line, told",
    [
        ("smoke: {cases: [absent]}", "smoke.cases names 'absent'"),
        ("smoke: {margin: 1.0}", "smoke.cases is missing"),
        ("smoke: {cases: [smoke], margins: 1.0}", "smoke.margins is not a key"),
        ("smoke: {cases: [smoke], margin: -1.0}", "smoke.margin must be at least 0"),
        ("smoke: {cases: [smoke], seeds: 0}", "smoke.seeds must be at least 1"),
        ("smoke: {cases: [smoke], speed_margin: 1.5}", "smoke.speed_margin must be between"),
        ("smoke: {cases: [smoke], data_wait_margin: 0}", "smoke.data_wait_margin must be between"),
        ("smoke: {cases: [smoke], metric: loss}", "smoke.higher_is_better is missing"),
        ("weekly: {cases: [smoke]}", "gate.weekly is not a key"),
        ("smoke: [smoke]", "smoke must be a mapping"),
    ],
)
def test_a_wrong_gate_is_told_with_its_key(tmp_path: Path, line: str, told: str) -> None:
    with pytest.raises(ZooError) as caught:
        task_of(tmp_path, line)
    assert told in str(caught.value) and "model.yaml" in str(caught.value)


def test_a_release_of_one_seed_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "tiny_net"
    folder.mkdir()
    (folder / "model.yaml").write_text(CARD.replace("seeds: 3", "seeds: 1"))
    with pytest.raises(ZooError, match="release.seeds must be at least 2"):
        read_card(folder / "model.yaml")


def test_every_task_of_every_network_is_gated_at_every_tier() -> None:
    for card in all_cards(REPOSITORY):
        for task in card.tasks.values():
            assert set(task.gate) == set(TIERS), f"{card.name}/{task.name}"


EMBEDDED = {"digits", "synthetic_sprites", "synthetic_scenes"}


def test_the_smoke_tier_needs_no_data_of_the_users() -> None:
    for card in all_cards(REPOSITORY):
        for gate_case in cases_of(card, None, SMOKE):
            assert gate_case.case.arguments["dataset"] in EMBEDDED


def test_the_classifiers_are_released_within_0_3_points() -> None:
    margins = {
        card.name: card.task(None).gate["release"].metric
        for card in all_cards(REPOSITORY)
        if card.task(None).metric.name == "accuracy"
    }
    assert {
        name: metric.margin * (100 if metric.unit == "fraction" else 1)
        for name, metric in margins.items()
    } == {"protoattend": pytest.approx(0.3), "residual_attention_net": pytest.approx(0.3)}
