"""The model card: what it holds, and how its errors name file, key and what is allowed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Tuple

import pytest

from common.cards.model_card import TIERS, Task, read_card
from common.cards.model_folders import all_cards, find_card, split_name
from common.core.errors import UsageError, ZooError
from common.machine.precision import CANONICAL
from tests.fake_zoo import FAKE_MODEL, REPOSITORY
from tests.tiny_zoo import TINY_MODEL


@pytest.fixture
def card_file(tmp_path):
    folder = tmp_path / "PyTorch" / "fake_net"
    folder.mkdir(parents=True)
    shutil.copy(str(FAKE_MODEL / "PyTorch" / "fake_net" / "model.yaml"), str(folder))
    return folder / "model.yaml"


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_a_value_succeeds_at_the_cards_threshold_in_the_direction_that_is_better(card_file):
    metric = read_card(card_file).task(None).metric
    assert metric.succeeded(96.0) is True and metric.succeeded(95.99) is False
    assert metric.succeeded(None) is False
    edit(card_file, "higher_is_better: true", "higher_is_better: false")
    assert read_card(card_file).task(None).metric.succeeded(95.99) is True
    edit(card_file, ", success: 96", "")
    assert read_card(card_file).task(None).metric.succeeded(99.0) is None


def test_flags_of_one_action_come_before_those_of_all(card_file):
    edit(
        card_file,
        "    paths:",
        "    flags_of:\n      evaluate: {batch_size: test_batch}\n    paths:",
    )
    task = read_card(card_file).task(None)
    assert task.entry_flag("evaluate", "batch_size") == "test_batch"
    assert task.entry_flag("train", "batch_size") == "train_batch_size"
    assert task.entry_flag("evaluate", "device") == "device_type"
    assert task.entry_flag("train", "seed") == "seed"


@pytest.mark.parametrize(
    "old, new, key, allowed",
    [
        ("kind: acc", "kind: accuracy", "tasks.counting.cases.full_1p.kind", "acc, perf, eval"),
        ("kind: acc", "kinds: acc", "tasks.counting.cases.full_1p.kind", "acc, perf, eval"),
        ("ranks: 1\n", "ranks: 0\n", "tasks.counting.cases.full_1p.ranks", "at least 1"),
        ("action: train", "action: finetune", "counting.cases.full_1p.action", "train, evaluate"),
        ("name: fake_net", "name: other", "name", "fake_net"),
        ("default_task: counting", "default_task: x", "default_task", "counting"),
        ("      cpu: {batch", "      tpu: {batch", "performance_1p.on_device.tpu", "npu, gpu, cpu"),
        ("is_better: true", "is_better: 1", "metric.higher_is_better", "true or false"),
        ('[99.5, "-"]', "[99.5]", "published[0].rows[0]", "2 cells"),
        ("speed_margin: 0.1", "speed_margin: 0.1\n    sped: 2", "counting.sped is not", "metric"),
        ("title: Fake Network", "title: a\ntitle: b", "'title' is given twice", "not YAML"),
    ],
)
def test_a_wrong_value_is_told_with_file_key_and_what_is_allowed(card_file, old, new, key, allowed):
    edit(card_file, old, new)
    with pytest.raises(ZooError) as caught:
        read_card(card_file)
    text = str(caught.value)
    assert str(card_file) in text and key in text and allowed in text


def test_several_mistakes_are_told_at_once_each_in_a_short_line(card_file):
    edit(card_file, "batch_size: 64", "batch_size: 1" + "0" * 400)
    edit(card_file, "kind: perf", "kind: " + "x" * 5000)
    edit(card_file, "margin: 0.3", "margin: .nan")
    with pytest.raises(ZooError) as caught:
        read_card(card_file)
    assert [line.split(": ")[1].split(" must")[0] for line in caught.value.lines] == [
        "tasks.counting.metric.margin",
        "tasks.counting.cases.full_1p.batch_size",
        "tasks.counting.cases.performance_1p.kind",
    ]
    assert max(map(len, caught.value.lines)) <= 300


def test_a_new_network_is_one_new_folder(tmp_path):
    shutil.copytree(str(FAKE_MODEL / "PyTorch" / "fake_net"), str(tmp_path / "TensorFlow" / "new"))
    edit(tmp_path / "TensorFlow" / "new" / "model.yaml", "name: fake_net", "name: new")
    assert [card.name for card in all_cards(tmp_path)] == ["new"]


def test_a_network_and_its_task_are_found_by_name_and_else_those_there_are_told(card_file):
    root = card_file.parents[2]
    assert find_card(root, "fake_network_for_tests").name == "fake_net"
    with pytest.raises(UsageError, match="fake_net"):
        find_card(root, "nothing")
    with pytest.raises(ZooError, match="counting"):
        find_card(root, "fake_net").task("dreaming")
    assert split_name("slot_attention/set_prediction") == ("slot_attention", "set_prediction")
    assert split_name("protoattend") == ("protoattend", "")


# --- the cards of this checkout ---


@pytest.mark.parametrize("card", all_cards(REPOSITORY), ids=lambda card: card.name)
def test_every_card_here_has_the_contracts_cases_and_precision_names(card):
    for task in card.tasks.values():
        assert {"full_1p", "full_8p", "performance_1p", "performance_8p", "eval_1p"} <= set(
            task.cases
        )
        assert set(task.precision.values()) <= set(CANONICAL)


# --- The card's `gate` section ---


CARD = (TINY_MODEL / "PyTorch" / "tiny_net" / "model.yaml").read_text()
SMOKE_LINE = "smoke: {cases: [smoke], margin: 1.0, chance: 25}"


def task_of(tmp_path: Path, *changes: Tuple[str, str]) -> Task:
    folder = tmp_path / "tiny_net"
    folder.mkdir()
    text = CARD
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "model.yaml").write_text(text)
    return read_card(folder / "model.yaml").task(None)


def test_a_tier_has_its_own_margins_and_the_tasks_where_it_names_none(tmp_path: Path) -> None:
    other = "metric: train_loss, margin: 0.1, higher_is_better: false, speed_margin: 0.3"
    line = f"smoke: {{cases: [smoke], {other}, chance: 25}}"
    gate = task_of(tmp_path, (SMOKE_LINE, line)).gate
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
        ("smoke: {cases: [smoke], metric: loss}", "smoke.higher_is_better is missing"),
        ("weekly: {cases: [smoke]}", "gate.weekly is not a key"),
        ("smoke: {cases: [smoke]}\n      release: {cases: [smoke]}", "given twice"),
        ("smoke: {cases: [smoke]}", "release.seeds must be at least 2"),
    ],
)
def test_a_wrong_gate_is_told_with_its_key(tmp_path: Path, line: str, told: str) -> None:
    with pytest.raises(ZooError) as caught:
        task_of(tmp_path, (SMOKE_LINE, line), ("seeds: 3", "seeds: 1"))
    assert told in str(caught.value) and "model.yaml" in str(caught.value)


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
