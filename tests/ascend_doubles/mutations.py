"""Rules of the Ascend software that the product would break, and a test that notices each.

As a plugin of pytest (-p tests.ascend_doubles.mutations) it breaks the rule that MUTATION names
before any test is read. As a program it runs one such pytest per rule, each forked from a process
that has imported the frameworks, and prints what was not noticed.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
import sys
import tempfile
import types
from typing import Any, Callable

TORCH, TENSORFLOW = "common.training.torch.", "common.training.tensorflow."
_ADAPTER = "tests/test_doubles_npu_bridge_adapter.py::"
_RUNS = "tests/test_npu_torch_runs.py::"


@dataclasses.dataclass(frozen=True)
class Mutation:
    """Puts `change(original)` in the place of a module's function or value.

    Attributes:
        name: of the mutation; where: "module:name".
        test: pytest's name of the test that must fail.
    """

    name: str
    where: str
    change: Callable[[Any], Any]
    test: str

    def apply(self) -> None:
        """Breaks the rule in this process."""
        module, _, name = self.where.partition(":")
        found = importlib.import_module(module)
        setattr(found, name, self.change(getattr(found, name)))


def apply_chosen() -> None:
    """Breaks the rule that the environment names, if any."""
    for mutation in MUTATIONS:
        if mutation.name == os.environ.get("MUTATION"):
            mutation.apply()


def pytest_sessionstart() -> None:
    """After pytest's and the conftests' own start, before tests are read."""
    apply_chosen()


def _given(values: Callable[[str, Any], Any]) -> Callable[[Any], Any]:
    """Each of NpuOptimizer's parameters changed; None leaves one out."""

    def change(original: Any) -> Any:
        def add(config: Any, parameters: Any) -> None:
            changed = {name: values(name, value) for name, value in parameters.items()}
            original(config, {name: v for name, v in changed.items() if v is not None})

        return add

    return change


def _after(act: Callable[[Any], None]) -> Callable[[Any], Any]:
    """The session's rewriter options changed once the product has set them."""

    def change(original: Any) -> Any:
        def add(config: Any, parameters: Any) -> None:
            original(config, parameters)
            act(config.graph_options.rewrite_options)

        return add

    return change


def _bridge(**changes: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """npu_bridge with some names replaced."""

    def change(original: Any) -> Any:
        def load() -> Any:
            real = original()
            found = types.SimpleNamespace(**vars(real))
            for name, replace in changes.items():
                setattr(found, name, replace(getattr(real, name)))
            return found

        return load

    return change


class _ForgetsAll(dict):
    def __contains__(self, key: Any) -> bool:
        return False


def _without(name: str) -> Callable[[str, Any], Any]:
    return lambda key, value: None if key == name else value


_PARAMETERS = TENSORFLOW + "runtime:_add_npu_optimizer"
_BRIDGE = TENSORFLOW + "minimisation:import_npu_bridge"
MUTATIONS = (
    Mutation(
        "numbers in the field of words",
        _PARAMETERS,
        _given(lambda name, value: str(value) if type(value) is int else value),
        _ADAPTER + "test_every_value_is_in_its_field_and_every_key_is_known",
    ),
    Mutation(
        "memory optimization left on",
        _PARAMETERS,
        _after(lambda rewriter: rewriter.ClearField("memory_optimization")),
        _ADAPTER + "test_sessions_are_on_the_npu_but_for_those_of_the_host",
    ),
    Mutation(
        "precision left unset",
        _PARAMETERS,
        _given(_without("precision_mode")),
        _ADAPTER + "test_the_mode_that_is_asked_for_is_in_force",
    ),
    Mutation(
        "the device is left to the environment",
        _PARAMETERS,
        _given(_without("session_device_id")),
        _ADAPTER + "test_the_device_is_the_one_of_the_rank",
    ),
    Mutation(
        "loops without the data",
        _PARAMETERS,
        _given(_without("enable_data_pre_proc")),
        _ADAPTER + "test_one_run_makes_the_steps_that_were_asked_for",
    ),
    Mutation(
        "relative paths",
        "common.ascend.session:_absolute",
        lambda original: str,
        _ADAPTER + "test_relative_paths_are_those_of_where_the_run_was_started",
    ),
    Mutation(
        "hccls size is believed",
        TENSORFLOW + "runtime:_as_hccl_numbers",
        lambda original: lambda place, npu_init: place,
        _ADAPTER + "test_a_job_of_which_hccl_knows_another_size_is_refused",
    ),
    Mutation(
        "an unset rank size is not noticed",
        TENSORFLOW + "runtime:require_known_identity",
        lambda original: lambda npu_init: None,
        _ADAPTER + "test_ranks_that_nobody_counted_are_refused",
    ),
    Mutation(
        "only trainable variables are broadcast",
        TENSORFLOW + "runtime:broadcast_in_graph",
        lambda original: (
            lambda device, variables: original(
                device, [variable for variable in variables if variable.trainable]
            )
        ),
        _ADAPTER + "test_every_variable_is_broadcast",
    ),
    Mutation(
        "sums are compiled each time",
        TENSORFLOW + "runtime:_SUMS",
        lambda original: _ForgetsAll(),
        _ADAPTER + "test_sums_over_ranks_are_compiled_once",
    ),
    Mutation(
        "gradients are not averaged",
        _BRIDGE,
        _bridge(NPUDistributedOptimizer=lambda real: lambda optimizer: optimizer),
        _ADAPTER + "test_several_ranks_share_gradients_and_overflow",
    ),
    Mutation(
        "the overflow flag is never shared",
        _BRIDGE,
        _bridge(
            NPULossScaleOptimizer=lambda real: (
                lambda opt, manager, is_distributed: real(opt, manager)
            )
        ),
        _ADAPTER + "test_several_ranks_share_gradients_and_overflow",
    ),
    Mutation(
        "the overflow flag is always shared",
        _BRIDGE,
        _bridge(
            NPULossScaleOptimizer=lambda real: (
                lambda opt, manager, is_distributed: real(opt, manager, True)
            )
        ),
        _ADAPTER + "test_one_rank_trains_without_hccl",
    ),
    Mutation(
        "a static scale does not check",
        _BRIDGE,
        _bridge(
            FixedLossScaleManager=lambda real: (
                lambda scale, enable_overflow_check: real(scale, False)
            )
        ),
        _ADAPTER + "test_a_static_scale_checks_for_overflow",
    ),
    Mutation(
        "hf32 is left on",
        TENSORFLOW + "runtime:HF32",
        lambda original: "ANOTHER_VARIABLE",
        _ADAPTER + "test_float32_is_float32_unless_the_user_says_otherwise",
    ),
    Mutation(
        "the arithmetic is not that of the mode",
        TORCH + "runtime:_open_npu",
        lambda original: (
            lambda index, precision: original(
                index, dataclasses.replace(precision, npu_precision_mode="allow_fp32_to_fp16")
            )
        ),
        _RUNS + "test_float32_on_a_910a_is_that_of_a_cpu",
    ),
    Mutation(
        "fused gradients are set to none",
        TORCH + "step:is_npu_fused",
        lambda original: lambda optimizer: False,
        _RUNS + "test_gradients_are_clipped_by_their_norm_in_buffers_that_stay",
    ),
    Mutation(
        "optimizers are taken for granted",
        TORCH + "step:_npu_class",
        lambda original: lambda *_: importlib.import_module("torch_npu.optim").NpuFusedSGD,
        _RUNS + "test_each_package_is_used_by_what_it_has",
    ),
    Mutation(
        "apex gets its scale as a text",
        TORCH + "step:apex_loss_scale",
        lambda original: lambda precision: str(original(precision)),
        _RUNS + "test_apex_takes_a_static_scale",
    ),
    Mutation(
        "npus meet by gloo",
        TORCH + "runtime:BACKENDS",
        lambda original: dict(original, npu="gloo"),
        _RUNS + "test_two_ranks_average_their_gradients_and_skip_together",
    ),
    Mutation(
        "every apex is ascends",
        TORCH + "runtime:_ascend_apex_is_installed",
        lambda original: lambda: True,
        "tests/test_doubles_torch_npu.py::test_ascends_apex_is_known_by_its_fused_optimizer",
    ),
)


def is_noticed(mutation: Mutation) -> bool:
    """Whether its test fails where the rule is broken; prints what pytest said where not."""
    import pytest

    words = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--tb=short", mutation.test]
    with tempfile.TemporaryFile() as told:
        child = os.fork()
        if not child:
            os.environ["MUTATION"] = mutation.name
            os.dup2(told.fileno(), 1)
            os.dup2(told.fileno(), 2)
            code = int(pytest.main([*words, "-p", "tests.ascend_doubles.mutations"]))
            sys.stdout.flush()
            os._exit(code)
        status = os.waitpid(child, 0)[1]
        told.seek(0)
        text = told.read().decode("utf-8", "replace")
    noticed = os.WIFEXITED(status) and os.WEXITSTATUS(status) == 1 and " failed" in text
    verdict = "noticed" if noticed else f"NOT noticed: {text[-3000:]}"
    print(f"{mutation.name}: {verdict}", flush=True)
    return noticed


def main() -> int:
    """Runs the rules that this Python's packages have; returns 1 where one was not noticed."""
    old = sys.version_info < (3, 8)
    if old:  # the double is of torch 1.8.1's packages; torch comes before TensorFlow 1.15
        importlib.import_module("torch")
    importlib.import_module("tensorflow")
    chosen = [one for one in MUTATIONS if old or not one.where.startswith(TORCH)]
    return 0 if sum(map(is_noticed, chosen)) == len(chosen) else 1


if __name__ == "__main__":
    sys.exit(main())
