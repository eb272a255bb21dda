"""scripts/lib/smoke_cases.py: what quickstart runs is read from the model cards."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import attrs
import pytest

from common.cards.model_card import read_card

CHECKOUT = Path(__file__).resolve().parent.parent
CARD = CHECKOUT / "PyTorch" / "residual_attention_net" / "model.yaml"


@pytest.fixture(scope="module")
def smoke_cases():
    path = CHECKOUT / "scripts" / "lib" / "smoke_cases.py"
    specification = importlib.util.spec_from_file_location("smoke_cases", str(path))
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module.smoke_cases


def with_cases(card, *names):
    """The card with one task whose cases have these names."""
    task = card.tasks[card.default_task]
    case = task.cases[card.smoke_case]
    cases = {name: attrs.evolve(case, name=name) for name in names}
    return attrs.evolve(card, tasks={task.name: attrs.evolve(task, cases=cases)})


def test_the_smoke_case_comes_first_and_then_those_named_after_it(smoke_cases):
    card = with_cases(read_card(CARD), "smoke_export", "full_1p", "smoke_eval", "smoke")
    task = "residual_attention_net/classification "
    assert smoke_cases(card) == [task + "smoke", task + "smoke_eval", task + "smoke_export"]


def test_a_task_without_the_smoke_case_has_none(smoke_cases):
    assert smoke_cases(with_cases(read_card(CARD), "full_1p", "smoke_eval")) == []
