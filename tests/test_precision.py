"""The precision vocabulary: each mode is what it says on each device, or refused with a nearest."""

from pathlib import Path

import pytest

from common.core.errors import UsageError
from common.machine.precision import (
    ALIASES,
    CANONICAL,
    TABLE,
    Capabilities,
    Precision,
    default_mode,
    resolve,
    with_loss_scale,
)

ROOT = Path(__file__).resolve().parents[1]
MIX = "allow_mix_precision"
ABLE = {
    "cpu": ("torch", "cpu", Capabilities("2.13.0+cpu", "a CPU", bfloat16=True)),
    "old cpu": ("torch", "cpu", Capabilities("1.8.1", "a CPU", bfloat16=True)),
    "ampere": ("torch", "gpu", Capabilities("2.13.0", "A100", bfloat16=True, tf32=True)),
    "volta": ("torch", "gpu", Capabilities("1.8.1+cu102", "Tesla V100")),
    "npu 1": ("torch", "npu", Capabilities("1.8.1", "Ascend910A", ascend_apex=True)),
    "npu 1 plain": ("torch", "npu", Capabilities("1.8.1", "Ascend910A")),
    "npu 2": ("torch", "npu", Capabilities("2.1.0", "Ascend910A")),
    "npu A2": ("torch", "npu", Capabilities("2.1.0", "Ascend910B3", bfloat16=True)),
    "npu A2 old": ("torch", "npu", Capabilities("1.11.0", "Ascend910B3", bfloat16=True)),
    "tf npu": ("tensorflow", "npu", Capabilities("1.15.0", "Ascend910A")),
    "tf npu A2": ("tensorflow", "npu", Capabilities("1.15.0", "Ascend910B3", bfloat16=True)),
    "tf gpu": ("tensorflow", "gpu", Capabilities("2.21.0", "NVIDIA A100", tf32=True)),
    "tf cpu": ("tensorflow", "cpu", Capabilities("2.21.0", "a CPU", bfloat16=True)),
    "tf plain cpu": ("tensorflow", "cpu", Capabilities("2.21.0", "a CPU")),
    "tf old cpu": ("tensorflow", "cpu", Capabilities("1.15.0", "a CPU")),
}


def on(device, mode):
    framework, kind, able = ABLE[device]
    return resolve(mode, framework, kind, able)


def test_every_mode_is_somewhere_in_every_column_and_no_name_means_two():
    assert all(set(modes) == set(ALIASES) for modes in TABLE.values())
    assert len(CANONICAL) == sum(1 + len(aliases) for aliases in ALIASES.values())


PLAIN, HALF = ("float32", None, "none", None), ("float16 autocast", "float16", "dynamic", None)
BRAIN = ("bfloat16 autocast", "bfloat16", "none", None)


@pytest.mark.parametrize(
    "device, modes, expected",
    [
        ("cpu", "must_keep_origin_dtype origin O0 force_fp32", PLAIN),
        ("cpu", "allow_mix_precision_bf16 mixed_bfloat16 allow_fp32_to_bf16", BRAIN),
        ("ampere", "O0", PLAIN),
        ("ampere", "allow_mix_precision allow_mix_precision_fp16 allow_fp32_to_fp16 O1 O2", HALF),
        ("volta", "mixed_float16 O1", HALF),
        ("ampere", "mixed_bfloat16", BRAIN),
        ("ampere", "O3 force_fp16 fp16", ("float16 weights", None, "static", None)),
        ("npu 1", "O0", (*PLAIN[:3], "must_keep_origin_dtype")),
        ("npu 1", "O1", ("float16 apex O1", None, "dynamic", "allow_fp32_to_fp16")),
        ("npu 2", "O1 O2 allow_mix_precision", (*HALF[:3], "allow_fp32_to_fp16")),
        ("npu A2", "mixed_bfloat16", (*BRAIN[:3], "must_keep_origin_dtype")),
        ("tf npu", "origin O0", (*PLAIN[:3], "must_keep_origin_dtype")),
        ("tf npu", "allow_mix_precision_fp16 O1 O2", ("mixed float16", None, "dynamic", MIX)),
        ("tf npu", "fp16", ("float16", None, "dynamic", "force_fp16")),
        ("tf npu A2", "mixed_bfloat16", ("mixed bfloat16", None, "none", MIX + "_bf16")),
        ("tf gpu", "allow_fp32_to_fp16 O2", ("float16 graph rewrite", "float16", "dynamic", None)),
        ("tf cpu", "mixed_bfloat16", ("bfloat16 graph rewrite", "bfloat16", "none", None)),
    ],
)
def test_a_mode_is_this_arithmetic(device, modes, expected):
    for mode in modes.split():
        found = on(device, mode)
        assert (
            found.arithmetic,
            found.autocast_dtype,
            found.loss_scale_policy,
            found.npu_precision_mode,
        ) == expected, mode


@pytest.mark.parametrize(
    "device, mode, told",
    [
        ("cpu", "fp8", "'fp8' is unknown; there are: must_keep_origin_dtype"),
        ("cpu", "O2", "O2 is impossible on cpu .a CPU.*mode is allow_mix_precision_bf16$"),
        ("old cpu", "O2", "mode is must_keep_origin_dtype$"),
        ("old cpu", "mixed_bfloat16", "needs torch 1.10 or later"),
        ("volta", "mixed_bfloat16", "torch 1.10.*is allow_mix_precision$"),
        ("npu 1 plain", "O2", "apex is not installed; .* is allow_mix_precision$"),
        ("npu 1", "O3", "Ascend supports apex O1 and O2 only; .* is O2$"),
        ("npu 2", "mixed_bfloat16", "no bfloat16 arithmetic"),
        ("npu A2 old", "mixed_bfloat16", "torch_npu 2.1 or later"),
        ("npu 2", "force_fp32", "is impossible on npu"),
        ("npu 2", "allow_fp32_to_bf16", "is impossible on npu"),
        ("tf npu", "mixed_bfloat16", "Ascend910A.*no bfloat16 .* is allow_mix_precision$"),
        ("tf old cpu", "mixed_bfloat16", "TensorFlow 2.10 .* is must_keep_origin_dtype$"),
        ("tf plain cpu", "mixed_bfloat16", "AVX512_BF16 .* is must_keep_origin_dtype$"),
        ("tf gpu", "O3", "keeps float32 weights"),
    ],
)
def test_what_can_not_be_is_refused_with_the_reason_and_the_nearest(device, mode, told):
    with pytest.raises(UsageError, match=told):
        on(device, mode)


@pytest.mark.parametrize("device", sorted(ABLE))
def test_the_nearest_mode_an_error_names_is_possible(device):
    for name in CANONICAL:
        try:
            found = on(device, name)
        except UsageError as error:
            found = on(device, str(error).rsplit(" ", 1)[1])
        allowed = {"must_keep_origin_dtype", "allow_fp32_to_fp16"}
        assert "npu" not in device or "tf" in device or found.npu_precision_mode in allowed


@pytest.mark.parametrize("device", ["ampere", "tf gpu"])
def test_tf32_is_decided_and_never_left_to_the_framework(device):
    assert on(device, "must_keep_origin_dtype").tf32 is False
    assert on(device, "force_fp32").tf32 is True


def test_half_weights_and_apex_say_so():
    assert on("ampere", "O3").half_weights and on("ampere", "O3").loss_scale == 128.0
    assert on("npu 1", "O2").apex_opt_level == "O2" and on("npu 2", "O2").apex_opt_level is None
    assert on("ampere", "O2").implementation == "torch autocast float16 + dynamic GradScaler"


# --- the scale of the loss ---


@pytest.mark.parametrize(
    "mode, text, policy, scale, told",
    [
        ("O2", "none", "none", None, "none"),
        ("O0", "none", "none", None, "none"),
        ("O2", "128", "static", 128.0, "static 128"),
        ("O2", "dynamic", "dynamic", 65536.0, "dynamic"),
    ],
)
def test_a_loss_scale_replaces_the_policy(mode, text, policy, scale, told):
    found = with_loss_scale(on("ampere", mode), text)
    assert (found.loss_scale_policy, found.loss_scale) == (policy, scale)
    assert found.as_record() == {"mode": mode, "arithmetic": found.means, "loss_scale": told}


def test_the_default_is_the_cards_and_float32_where_it_says_nothing():
    assert default_mode({"npu": "O2"}, "npu") == "O2"
    assert default_mode({"npu": "O2"}, "cpu") == "must_keep_origin_dtype"


@pytest.mark.parametrize(
    "device, mode, text, told",
    [
        *[
            ("ampere", "O2", text, "at least 1, dynamic or none")
            for text in ("0.5", "nan", "", "a")
        ],
        ("cpu", "O0", "128", "would change nothing"),
        ("ampere", "O0", "128", "would change nothing"),
    ],
)
def test_a_loss_scale_that_means_nothing_is_refused(device, mode, text, told):
    with pytest.raises(UsageError, match=told):
        with_loss_scale(on(device, mode), text)


def test_a_static_scale_says_whether_overflow_is_checked():
    apex, autocast = (with_loss_scale(on(device, "O2"), "128") for device in ("npu 1", "ampere"))
    assert apex.implementation.endswith("128, overflow never checked")
    assert autocast.implementation.endswith("128, overflow checked")


# --- the page ---


def test_the_page_tells_every_mode_by_all_its_names_on_every_device():
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in (ROOT / "docs/precision.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("| `")
    ]
    names, ways = rows[: len(ALIASES)], rows[len(ALIASES) :]
    assert {row[0].strip("`"): row[1] for row in names} == {
        mode: ", ".join(f"`{alias}`" for alias in aliases) or "–"
        for mode, aliases in ALIASES.items()
    }
    assert [row[0].strip("`") for row in ways] == list(ALIASES)
    for mode, *cells in ways:
        for cell, modes in zip(cells, TABLE.values()):
            way = modes[mode.strip("`")]
            if way.obstacle:
                assert cell.startswith(f"impossible: {way.obstacle}")
            else:
                assert cell.partition(" (with")[0] == Precision(**vars(way)).implementation
            assert all(f"`{other}`" in cell for other in way.nearest)
