"""Rules of the Ascend software, broken one by one: the tests that hold them notice."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, List, Sequence

import pytest

from tests.ascend_doubles.mutations.mutation import Mutation
from tests.ascend_doubles.mutations.runner import Outcomes, Runner

ROOT = Path(__file__).resolve().parents[1]
# The lists by the framework that their tests need, and the mark of such tests.
LISTS = {"tensorflow": "tensorflow", "torch": "pytorch"}


def mutations(framework: str) -> Sequence[Mutation]:
    """A framework's list."""
    name = f"tests.ascend_doubles.mutations.{framework}_list"
    return tuple(importlib.import_module(name).MUTATIONS)


def _cases(marked: bool) -> List[Any]:
    return [
        pytest.param(
            framework,
            mutation,
            id=mutation.name,
            marks=getattr(pytest.mark, mark) if marked else (),
        )
        for framework, mark in LISTS.items()
        for mutation in mutations(framework)
    ]


class Unchanged:
    """The runners by framework, each with what all tests of its list say of an unchanged copy."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._known = folder, {}

    def of(self, framework: str) -> Any:
        """A framework's runner and outcomes; made when they are first asked for."""
        if framework not in self._known:
            runner = Runner(ROOT, self._folder / framework, framework)
            tests = dict.fromkeys(
                test for mutation in mutations(framework) for test in mutation.tests
            )
            self._known[framework] = runner, runner.run(list(tests))
        return self._known[framework]

    def close(self) -> None:
        for runner, _ in self._known.values():
            runner.close()


@pytest.fixture(scope="module")
def unchanged(tmp_path_factory: pytest.TempPathFactory) -> Any:
    runners = Unchanged(tmp_path_factory.mktemp("mutations"))
    yield runners
    runners.close()


@pytest.mark.parametrize("framework, mutation", _cases(marked=False))
def test_a_mutation_fits_its_file_and_names_tests_that_exist(framework, mutation) -> None:
    mutation.check(ROOT)


@pytest.mark.slow
@pytest.mark.parametrize("framework, mutation", _cases(marked=True))
def test_a_broken_rule_is_noticed(framework, mutation, unchanged) -> None:
    runner, before = unchanged.of(framework)
    _require_passing(before, mutation)
    after = runner.run_mutated(mutation)
    missed = [test for test in mutation.tests if "failed" not in after.of(test)]
    assert not missed, f"{mutation.why}: unnoticed by {missed}\n{after.output}"


def _require_passing(before: Outcomes, mutation: Mutation) -> None:
    for test in mutation.tests:
        found = set(before.of(test))
        if found == {"skipped"}:
            pytest.skip(f"{test} is skipped on this stack")
        assert "passed" in found and found <= {"passed", "skipped"}, (
            f"{test}: {sorted(found)}\n{before.output}"
        )
