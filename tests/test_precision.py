"""The precision vocabulary: each mode is what it says on each device, or refused with a nearest."""

import dataclasses
from pathlib import Path

import pytest

from common.core.errors import UsageError, ZooError
from common.machine import precision
from common.machine.precision import Capabilities, resolve, with_loss_scale

ROOT = Path(__file__).resolve().parents[1]
CPU = Capabilities("2.13.0+cpu", "a CPU", bfloat16=True)
OLD_CPU = Capabilities("1.8.1", "a CPU", bfloat16=True)
AMPERE = Capabilities("2.13.0+cu130", "NVIDIA A100", bfloat16=True, tf32=True)
VOLTA = Capabilities("1.8.1+cu102", "Tesla V100")
NPU_1 = Capabilities("1.8.1", "Ascend910A", ascend_apex=True)
NPU_1_WITHOUT_APEX = Capabilities("1.8.1", "Ascend910A")
NPU_2 = Capabilities("2.1.0", "Ascend910A")
NPU_A2 = Capabilities("2.1.0", "Ascend910B3", bfloat16=True)


def on(kind, able, mode):
    return resolve(mode, "torch", kind, able)


def test_every_mode_has_a_cell_in_every_column():
    assert {mode.name for mode in precision.MODES} == set(precision.TABLE)
    assert all(set(cells) == set(precision.COLUMNS) for cells in precision.TABLE.values())


def test_no_name_means_two_modes():
    names = [name for mode in precision.MODES for name in (mode.name,) + mode.aliases]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    "name",
    [
        "must_keep_origin_dtype",
        "force_fp32",
        "cube_fp16in_fp32out",
        "allow_fp32_to_fp16",
        "allow_fp32_to_bf16",
        "allow_mix_precision",
        "allow_mix_precision_fp16",
        "allow_mix_precision_bf16",
        "force_fp16",
        "origin",
        "mixed_float16",
        "mixed_bfloat16",
        "fp16",
        "O0",
        "O1",
        "O2",
        "O3",
    ],
)
def test_the_vocabulary_has(name):
    assert precision.canonical_name(name) in precision.TABLE


def test_an_unknown_mode_is_refused_with_the_names_there_are():
    with pytest.raises(UsageError, match="'fp8' is unknown; there are: must_keep_origin_dtype"):
        on("cpu", CPU, "fp8")


@pytest.mark.parametrize("mode", ["must_keep_origin_dtype", "origin", "O0", "force_fp32"])
def test_on_a_cpu_these_are_exactly_float32(mode):
    found = on("cpu", CPU, mode)
    assert (found.arithmetic, found.autocast_dtype, found.scaler) == ("float32", None, None)


@pytest.mark.parametrize(
    "mode", ["allow_mix_precision_bf16", "mixed_bfloat16", "allow_fp32_to_bf16"]
)
def test_on_a_cpu_bfloat16_is_autocast_without_a_scale(mode):
    found = on("cpu", CPU, mode)
    assert (found.autocast_dtype, found.loss_scale_policy) == ("bfloat16", "none")


@pytest.mark.parametrize(
    "version, possible",
    [("1.8.1", False), ("1.9.1", False), ("1.10.0", True), ("1.13.1", True), ("2.0", True)],
)
def test_bfloat16_on_a_cpu_needs_torch_1_10_compared_as_numbers(version, possible):
    able = dataclasses.replace(CPU, framework_version=version)
    if possible:
        assert on("cpu", able, "mixed_bfloat16").autocast_dtype == "bfloat16"
    else:
        with pytest.raises(UsageError, match="needs torch 1.10 or later"):
            on("cpu", able, "mixed_bfloat16")


@pytest.mark.parametrize(
    "mode", ["O1", "O2", "O3", "force_fp16", "allow_mix_precision", "allow_fp32_to_fp16"]
)
@pytest.mark.parametrize(
    "able, nearest", [(CPU, "allow_mix_precision_bf16"), (OLD_CPU, "must_keep_origin_dtype")]
)
def test_float16_on_a_cpu_is_refused_naming_the_nearest_mode(mode, able, nearest):
    with pytest.raises(UsageError) as caught:
        on("cpu", able, mode)
    assert f"--precision_mode {mode} is impossible on cpu (a CPU)" in str(caught.value)
    assert str(caught.value).endswith("nearest possible mode is " + nearest)


@pytest.mark.parametrize(
    "kind, able",
    [
        ("cpu", CPU),
        ("cpu", OLD_CPU),
        ("gpu", AMPERE),
        ("gpu", VOLTA),
        ("npu", NPU_1),
        ("npu", NPU_1_WITHOUT_APEX),
        ("npu", NPU_2),
        ("npu", NPU_A2),
    ],
)
def test_the_nearest_mode_an_error_names_is_possible(kind, able):
    for name in precision.CANONICAL:
        try:
            on(kind, able, name)
        except UsageError as error:
            assert on(kind, able, str(error).rsplit(" ", 1)[1]).requested != name


def test_float32_on_a_gpu_turns_tf32_off():
    assert on("gpu", AMPERE, "must_keep_origin_dtype").tf32 is False


@pytest.mark.parametrize("mode", ["force_fp32", "cube_fp16in_fp32out"])
def test_force_fp32_on_a_gpu_allows_tf32(mode):
    assert on("gpu", AMPERE, mode).tf32 is True


@pytest.mark.parametrize("mode", ["allow_mix_precision", "allow_fp32_to_fp16", "O1", "O2"])
@pytest.mark.parametrize("able", [AMPERE, VOLTA])
def test_mixed_precision_on_a_gpu_is_float16_autocast_with_a_dynamic_scale(mode, able):
    found = on("gpu", able, mode)
    assert found.implementation == "torch autocast float16 + dynamic GradScaler"
    assert (found.autocast_dtype, found.loss_scale) == ("float16", 65536.0)
    assert found.apex_opt_level is None


def test_bfloat16_on_a_gpu_needs_hardware_that_has_it():
    assert on("gpu", AMPERE, "mixed_bfloat16").autocast_dtype == "bfloat16"
    able = dataclasses.replace(AMPERE, bfloat16=False)
    with pytest.raises(UsageError, match="no bfloat16 arithmetic; .* is allow_mix_precision$"):
        on("gpu", able, "mixed_bfloat16")


@pytest.mark.parametrize("mode", ["O3", "force_fp16", "fp16"])
def test_force_fp16_on_a_gpu_casts_the_weights_and_scales_statically(mode):
    found = on("gpu", AMPERE, mode)
    assert found.half_weights
    assert (found.loss_scale_policy, found.loss_scale) == ("static", 128.0)


@pytest.mark.parametrize("level", ["O1", "O2"])
def test_apex_levels_on_an_npu_with_torch_1_are_ascend_apex(level):
    found = on("npu", NPU_1, level)
    assert (found.apex_opt_level, found.autocast_dtype) == (level, None)
    assert found.loss_scale_policy == "dynamic"


def test_apex_levels_without_ascend_apex_name_what_works_without_it():
    with pytest.raises(UsageError, match="apex is not installed; .* is allow_mix_precision$"):
        on("npu", NPU_1_WITHOUT_APEX, "O2")


@pytest.mark.parametrize("mode", ["O1", "O2", "allow_mix_precision"])
def test_mixed_precision_on_an_npu_with_torch_2_is_torch_npu_amp(mode):
    found = on("npu", NPU_2, mode)
    assert (found.autocast_dtype, found.scaler) == ("float16", "torch_npu GradScaler")
    assert found.apex_opt_level is None


@pytest.mark.parametrize("able", [NPU_1, NPU_2])
def test_o3_on_an_npu_is_refused(able):
    with pytest.raises(UsageError, match="Ascend supports apex O1 and O2 only; .* is O2$"):
        on("npu", able, "O3")


def test_bfloat16_on_an_npu_needs_an_a2_and_a_new_torch_npu():
    assert on("npu", NPU_A2, "mixed_bfloat16").autocast_dtype == "bfloat16"
    for able in (NPU_1, NPU_2, dataclasses.replace(NPU_A2, framework_version="1.11.0")):
        with pytest.raises(UsageError, match="is impossible on npu"):
            on("npu", able, "mixed_bfloat16")


@pytest.mark.parametrize("able", [NPU_1, NPU_2, NPU_A2])
def test_every_possible_mode_on_an_npu_sets_acl_precision_mode(able):
    allowed = {"must_keep_origin_dtype", "allow_fp32_to_fp16"}
    for name in precision.CANONICAL:
        try:
            found = on("npu", able, name)
        except UsageError:
            continue
        assert found.npu_precision_mode in allowed, name


def test_true_float32_on_an_npu_is_said_to_the_device():
    assert on("npu", NPU_1, "O0").npu_precision_mode == "must_keep_origin_dtype"


@pytest.mark.parametrize("mode", ["force_fp32", "allow_fp32_to_bf16"])
def test_what_torch_npu_has_no_option_for_is_refused(mode):
    with pytest.raises(UsageError, match="is impossible on npu"):
        on("npu", NPU_2, mode)


def test_an_unknown_framework_is_refused():
    with pytest.raises(UsageError, match="no precision mode is known for caffe"):
        resolve("O0", "caffe", "gpu", AMPERE)


def test_the_default_is_the_cards_and_float32_where_it_says_nothing():
    card = {"npu": "O2", "gpu": "allow_mix_precision"}
    assert precision.default_mode(card, "npu") == "O2"
    assert precision.default_mode(card, "cpu") == "must_keep_origin_dtype"


@pytest.mark.parametrize("mode", ["O2", "O0"])
def test_no_loss_scale_can_be_asked_for_in_every_mode(mode):
    found = with_loss_scale(on("gpu", AMPERE, mode), "none")
    assert (found.loss_scale_policy, found.loss_scale) == ("none", None)
    assert found.as_record()["loss_scale"] == "none"


def test_a_loss_scale_replaces_the_policy():
    found = with_loss_scale(on("gpu", AMPERE, "O2"), "128")
    assert (found.loss_scale_policy, found.loss_scale) == ("static", 128.0)
    assert with_loss_scale(found, "dynamic").loss_scale == 65536.0


@pytest.mark.parametrize("text", ["0", "-1", "0.5", "nan", "inf", "big", ""])
def test_a_loss_scale_that_is_no_number_of_at_least_1_is_refused(text):
    with pytest.raises(UsageError, match="at least 1, dynamic or none"):
        with_loss_scale(on("gpu", AMPERE, "O2"), text)


@pytest.mark.parametrize(
    "kind, able, mode", [("cpu", CPU, "O0"), ("cpu", CPU, "mixed_bfloat16"), ("gpu", AMPERE, "O0")]
)
def test_a_loss_scale_where_nothing_is_scaled_is_refused(kind, able, mode):
    with pytest.raises(UsageError, match="would change nothing"):
        with_loss_scale(on(kind, able, mode), "128")


def test_a_static_scale_says_whether_overflow_is_checked():
    apex = with_loss_scale(on("npu", NPU_1, "O2"), "128")
    autocast = with_loss_scale(on("gpu", AMPERE, "O2"), "128")
    assert apex.implementation.endswith("128, overflow never checked")
    assert autocast.implementation.endswith("128, overflow checked")


def test_a_record_holds_mode_arithmetic_and_policy():
    found = with_loss_scale(on("gpu", AMPERE, "O2"), "128")
    assert found.as_record() == {
        "mode": "O2",
        "arithmetic": "torch autocast float16",
        "loss_scale": "static 128",
    }


def test_the_page_is_what_the_table_says():
    assert (ROOT / precision.PAGE).read_text(encoding="utf-8") == precision.page()


def test_check_fails_where_the_page_has_drifted(monkeypatch):
    assert precision.main(["--check"]) == 0
    monkeypatch.setattr(precision, "_NOTES", "something else")
    with pytest.raises(ZooError, match="--write"):
        precision.main(["--check"])


def test_every_mode_and_alias_is_on_the_page():
    assert all(f"`{name}`" in precision.page() for name in precision.CANONICAL)


TF_NPU = Capabilities("1.15.0", "Ascend910A")
TF_NPU_A2 = Capabilities("1.15.0", "Ascend910B3", bfloat16=True)
TF_GPU = Capabilities("2.21.0", "NVIDIA A100", tf32=True)
TF_CPU = Capabilities("2.21.0", "a CPU", bfloat16=True)
TF_OLD_CPU = Capabilities("1.15.0", "a CPU")


def in_tensorflow(kind, able, mode):
    return resolve(mode, "tensorflow", kind, able)


@pytest.mark.parametrize(
    "mode, value",
    [
        ("origin", "must_keep_origin_dtype"),
        ("O0", "must_keep_origin_dtype"),
        ("cube_fp16in_fp32out", "force_fp32"),
        ("allow_fp32_to_fp16", "allow_fp32_to_fp16"),
        ("mixed_float16", "allow_mix_precision"),
        ("allow_mix_precision_fp16", "allow_mix_precision"),
        ("fp16", "force_fp16"),
        ("O2", "allow_mix_precision"),
    ],
)
def test_npu_bridge_gets_the_first_generations_name(mode, value):
    assert in_tensorflow("npu", TF_NPU, mode).npu_precision_mode == value


@pytest.mark.parametrize(
    "mode, value",
    [("mixed_bfloat16", "allow_mix_precision_bf16"), ("allow_fp32_to_bf16", "allow_fp32_to_bf16")],
)
def test_npu_bridge_has_bfloat16_on_the_second_generation_only(mode, value):
    assert in_tensorflow("npu", TF_NPU_A2, mode).npu_precision_mode == value
    with pytest.raises(UsageError, match="Ascend910A.*no bfloat16 .* is allow_mix_precision$"):
        in_tensorflow("npu", TF_NPU, mode)


@pytest.mark.parametrize(
    "mode, policy",
    [
        ("O0", "none"),
        ("allow_fp32_to_fp16", "none"),
        ("allow_mix_precision", "dynamic"),
        ("force_fp16", "dynamic"),
    ],
)
def test_float16_that_gradients_pass_through_is_scaled_on_an_npu(mode, policy):
    assert in_tensorflow("npu", TF_NPU, mode).loss_scale_policy == policy


@pytest.mark.parametrize("mode", ["allow_mix_precision", "allow_fp32_to_fp16", "O1", "O2"])
def test_mixed_precision_in_tensorflow_on_a_gpu_is_a_graph_rewrite(mode):
    found = in_tensorflow("gpu", TF_GPU, mode)
    assert found.implementation == "TensorFlow graph rewrite float16 + dynamic loss scale"
    assert found.autocast_dtype == "float16"


@pytest.mark.parametrize("mode, tf32", [("O0", False), ("force_fp32", True)])
def test_tf32_is_decided_in_tensorflow_too(mode, tf32):
    assert in_tensorflow("gpu", TF_GPU, mode).tf32 is tf32


def test_bfloat16_in_tensorflow_on_a_cpu_needs_processor_and_version():
    assert in_tensorflow("cpu", TF_CPU, "mixed_bfloat16").autocast_dtype == "bfloat16"
    with pytest.raises(UsageError, match="TensorFlow 2.10 .* is must_keep_origin_dtype$"):
        in_tensorflow("cpu", TF_OLD_CPU, "mixed_bfloat16")
    with pytest.raises(UsageError, match="AVX512_BF16 .* is must_keep_origin_dtype$"):
        in_tensorflow("cpu", dataclasses.replace(TF_CPU, bfloat16=False), "mixed_bfloat16")


@pytest.mark.parametrize(
    "kind, able",
    [("npu", TF_NPU), ("npu", TF_NPU_A2), ("gpu", TF_GPU), ("cpu", TF_CPU), ("cpu", TF_OLD_CPU)],
)
def test_the_nearest_mode_an_error_of_tensorflow_names_is_possible(kind, able):
    for name in precision.CANONICAL:
        try:
            in_tensorflow(kind, able, name)
        except UsageError as error:
            in_tensorflow(kind, able, str(error).rsplit(" ", 1)[1])
