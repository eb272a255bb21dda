"""Broken rules of torch_npu, apex and the adapter for torch."""

from __future__ import annotations

from tests.ascend_doubles.mutations.mutation import Mutation

DOUBLE = "tests/ascend_doubles/torch_shared/npu_double/"
APEX = "tests/ascend_doubles/apex/apex/"
ADAPTER = "common/training/torch/runtime.py"
STEP = "common/training/torch/step.py"
GRADIENTS = "common/training/torch/gradients.py"
TORCH_NPU = "tests/test_doubles_torch_npu.py::"
APEX_TESTS = "tests/test_doubles_apex.py::"
RUNS = "tests/test_npu_torch_runs.py::"
RUNTIME = "tests/test_torch_runtime.py::"

MUTATIONS = (
    # The doubles: every rule that they keep.
    Mutation(
        name="any_moment_is_early_enough_for_set_device",
        file=DOUBLE + "tensors.py",
        old=('    if State.device_index is None:\n        raise RuntimeError("torch.npu'),
        new=('    if False:\n        raise RuntimeError("torch.npu'),
        tests=(TORCH_NPU + "test_set_device_comes_before_the_first_tensor",),
        why="3.2: set_device comes before any tensor",
    ),
    Mutation(
        name="ascend_device_id_is_read",
        file=DOUBLE + "device.py",
        old="    return State.device_index or 0\n",
        new=('    import os\n\n    return int(os.environ.get("ASCEND_DEVICE_ID", 0))\n'),
        tests=(TORCH_NPU + "test_visible_devices_are_counted_and_ascend_device_id_is_not_read",),
        why="2.4: torch_npu does not read ASCEND_DEVICE_ID",
    ),
    Mutation(
        name="the_import_needs_no_cann",
        file=DOUBLE + "machine.py",
        old="        if not os.environ.get(name):",
        new="        if False:",
        tests=(TORCH_NPU + "test_the_import_needs_cann",),
        why="2.4: torch_npu checks two variables of CANN at import",
    ),
    Mutation(
        name="tensors_of_two_devices_mix",
        file=DOUBLE + "tensors.py",
        old="    if strays:",
        new="    if False:",
        tests=(TORCH_NPU + "test_a_cpu_input_of_a_model_on_the_npu_is_an_error",),
        why="3.1: operands are on one device",
    ),
    Mutation(
        name="unknown_options_are_taken",
        file=DOUBLE + "options.py",
        old=("            if name not in known:\n                raise ValueError"),
        new=(
            "            if name not in known:\n"
            "                continue\n"
            "                raise ValueError"
        ),
        tests=(TORCH_NPU + "test_an_unknown_option_and_an_illegal_value_are_errors",),
        why="3.2: set_option's keys",
    ),
    Mutation(
        name="option_values_of_any_type",
        file=DOUBLE + "options.py",
        old="if not isinstance(value, str):",
        new="if False:",
        tests=(TORCH_NPU + "test_option_values_are_texts",),
        why="3.2: set_option's values are strings",
    ),
    Mutation(
        name="float32_is_float32_by_default",
        file=DOUBLE + "options.py",
        old="default = KEEP if machine.is_910b1_or_later() else ALLOW_FP16",
        new="default = KEEP",
        tests=(
            TORCH_NPU + "test_the_default_arithmetic_depends_on_the_chip",
            TORCH_NPU + "test_float32_on_a_910a_is_float16_unless_the_option_says_otherwise",
        ),
        why="3.2: before 910B1 convolutions compute in float16 by default",
    ),
    Mutation(
        name="options_may_come_late",
        file=DOUBLE + "options.py",
        old="if PRECISION in options and self.started:",
        new="if False:",
        tests=(TORCH_NPU + "test_the_arithmetic_is_fixed_by_the_first_operation",),
        why="3.2: the arithmetic is set before the first operation",
    ),
    Mutation(
        name="hf32_on_every_chip",
        file=DOUBLE + "options.py",
        old="if self.generation == 1 or not machine.is_910b1_or_later():",
        new="if self.generation == 1:",
        tests=(TORCH_NPU + "test_hf32_does_nothing_on_a_910a",),
        why="3.2: HF32 is 910B's",
    ),
    Mutation(
        name="products_in_hf32_by_default",
        file=DOUBLE + "options.py",
        old='default = "enable" if operation == "CONV" else "disable"',
        new='default = "enable"',
        tests=(TORCH_NPU + "test_hf32_is_on_for_convolutions_and_off_for_matrix_products",),
        why="3.2: ALLOW_MATMUL_HF32 is off by default",
    ),
    Mutation(
        name="shapes_cost_nothing",
        file=DOUBLE + "options.py",
        old=(
            "        return not machine.is_910b1_or_later() if self.jit_compile is "
            "None else self.jit_compile"
        ),
        new="        return False",
        tests=(TORCH_NPU + "test_every_new_shape_is_compiled_on_a_910a",),
        why="3.2: jit_compile is on by default on a 910A",
    ),
    Mutation(
        name="float16_overflows_to_inf_on_a_910a",
        file=DOUBLE + "arithmetic.py",
        old=("    if machine.is_910b1_or_later():\n        return values\n"),
        new="    return values\n",
        tests=(
            TORCH_NPU + "test_float16_overflow_saturates_and_sets_the_flag_on_a_910a",
            TORCH_NPU + "test_a_saturated_overflow_is_seen_by_the_flag_alone",
        ),
        why="3.4: on a 910A overflow is a flag",
    ),
    Mutation(
        name="bfloat16_on_every_chip",
        file=DOUBLE + "amp.py",
        old="if dtype == torch.bfloat16 and not machine.is_910b1_or_later():",
        new="if False:",
        tests=(TORCH_NPU + "test_bfloat16_needs_a_910b1",),
        why="3.4: bfloat16 only on 910B1 and later",
    ),
    Mutation(
        name="old_autocast_takes_a_type",
        file=DOUBLE + "amp.py",
        old=(
            "    def __init__(self, enabled=True):\n"
            "        super().__init__(torch.float16, enabled)"
        ),
        new=(
            "    def __init__(self, enabled=True, dtype=torch.float16):\n"
            "        super().__init__(dtype, enabled)"
        ),
        tests=(TORCH_NPU + "test_autocast_of_torch_1_8_takes_no_type",),
        why="3.4: autocast of 1.8.1 has no dtype",
    ),
    Mutation(
        name="enabled_sits_before_dynamic",
        file=DOUBLE + "amp.py",
        old=("        dynamic=True,\n        enabled=True,\n"),
        new=("        enabled=True,\n        dynamic=True,\n"),
        tests=(TORCH_NPU + "test_dynamic_sits_before_enabled",),
        why="3.4: dynamic before enabled",
    ),
    Mutation(
        name="a_constant_scale_is_checked",
        file=DOUBLE + "amp.py",
        old="self._overflow = self._dynamic and self._check(gradients)",
        new="self._overflow = self._check(gradients)",
        tests=(TORCH_NPU + "test_a_scaler_that_is_not_dynamic_checks_nothing",),
        why="3.4: dynamic=False checks nothing",
    ),
    Mutation(
        name="the_scaler_takes_cpu_tensors",
        file=DOUBLE + "amp.py",
        old="        if not is_npu_tensor(outputs):\n",
        new="        if False:\n",
        tests=(TORCH_NPU + "test_the_scaler_takes_npu_tensors_only",),
        why="3.4: it only accepts NPU tensors",
    ),
    Mutation(
        name="the_scaler_always_shares_its_flag",
        file=DOUBLE + "amp.py",
        old="return hccl.any_rank(flag) if self._shares_flag else flag",
        new="return hccl.any_rank(flag)",
        tests=(TORCH_NPU + "test_ranks_share_the_flag_if_the_group_was_there_at_the_first_scale",),
        why="3.4: only if dist was initialised before the first scale()",
    ),
    Mutation(
        name="any_fused_optimizer_suits_a_scaler",
        file=DOUBLE + "amp.py",
        old="            if not getattr(optimizer, self.flag_of_fused, False):",
        new="            if False:",
        tests=(TORCH_NPU + "test_the_scaler_needs_its_own_generations_fused_optimizer",),
        why="3.6: the flag's name differs between generations",
    ),
    Mutation(
        name="set_to_none_is_taken",
        file=DOUBLE + "fused_sgd.py",
        old="        if set_to_none:\n",
        new="        if False:\n",
        tests=(
            TORCH_NPU + "test_the_fused_optimizer_refuses_set_to_none",
            APEX_TESTS + "test_the_fused_optimizer_refuses_set_to_none",
        ),
        why="3.6: set_to_none=True is a ValueError",
    ),
    Mutation(
        name="late_gradients_are_stepped",
        file=DOUBLE + "fused_sgd.py",
        old="                if id(weight) in flattened:",
        new="                if weight.grad is not None:",
        tests=(TORCH_NPU + "test_what_has_no_gradient_when_it_flattens_is_left_out_for_good",),
        why="3.6: what has no gradient at the flattening is left out",
    ),
    Mutation(
        name="replaced_gradients_go_unnoticed",
        file=DOUBLE + "fused_sgd.py",
        old=(
            "            if (\n"
            "                weight.data_ptr() != data\n"
            "                or weight.grad is None\n"
            "                or weight.grad.data_ptr() != gradient\n"
            "            ):\n"
        ),
        new="            if False:\n",
        tests=(TORCH_NPU + "test_replacing_what_was_flattened_is_loud",),
        why="3.6: replacing p.data or p.grad breaks it",
    ),
    Mutation(
        name="state_may_be_loaded_late",
        file=DOUBLE + "fused_sgd.py",
        old=("        if self._combined is not None:\n            raise"),
        new=("        if False:\n            raise"),
        tests=(TORCH_NPU + "test_state_is_loaded_before_the_first_step",),
        why="3.6: load checkpoints before the first step",
    ),
    Mutation(
        name="cpu_parameters_are_fused",
        file=DOUBLE + "fused_sgd.py",
        old="if not is_npu_tensor(weight) or weight.dtype not in",
        new="if weight.dtype not in",
        tests=(TORCH_NPU + "test_the_fused_optimizer_takes_float_parameters_on_the_npu_only",),
        why="3.6: NPU tensors at construction",
    ),
    Mutation(
        name="hccl_takes_cpu_tensors",
        file=DOUBLE + "hccl.py",
        old="    if not State.backward_depth and not all",
        new="    if False and not all",
        tests=(TORCH_NPU + "test_hccl_takes_npu_tensors_only",),
        why="3.5: hccl needs NPU tensors",
    ),
    Mutation(
        name="every_collective_casts",
        file=DOUBLE + "hccl.py",
        old="if name not in _CASTING or value.dtype not in _CAST:",
        new="if value.dtype not in _CAST:",
        tests=(TORCH_NPU + "test_hccl_of_torch_1_8_casts_for_two_collectives_only",),
        why="3.5: 1.8.1 casts for all_reduce and reduce only",
    ),
    Mutation(
        name="ddp_finds_its_device",
        file=DOUBLE + "hccl.py",
        old="            if not device_ids or len(device_ids) != 1:",
        new="            if False:",
        tests=(TORCH_NPU + "test_ddp_needs_a_model_on_the_npu_and_its_number",),
        why="3.5: DDP(model, device_ids=[local])",
    ),
    Mutation(
        name="hccl_before_set_device",
        file=DOUBLE + "hccl.py",
        old="    if State.device_index is None:",
        new="    if False:",
        tests=(TORCH_NPU + "test_hccl_needs_a_device_first",),
        why="3.5: set_device, then init_process_group",
    ),
    Mutation(
        name="batch_norm_counts_in_int64",
        file=DOUBLE + "patches.py",
        old="value = value.int()",
        new="value = value.long()",
        tests=(TORCH_NPU + "test_batch_norm_counts_in_int32_in_torch_1_8",),
        why="3.3: num_batches_tracked is int32 in 1.8.1",
    ),
    Mutation(
        name="the_3_0_packages_have_optimizers",
        file="tests/ascend_doubles/torch_npu_1/torch_npu/__init__.py",
        old="if _build() >= (5, 0, 1):",
        new="if _build() >= (3, 0, 1):",
        tests=(TORCH_NPU + "test_optimizers_and_profiler_came_with_the_5_0_packages",),
        why="3.1: torch_npu.optim appears in 5.0.rc1",
    ),
    Mutation(
        name="a_static_scale_of_apex_is_checked",
        file=APEX + "amp/scaler.py",
        old=("        if not self.dynamic:\n            return\n"),
        new="",
        tests=(APEX_TESTS + "test_a_static_scale_never_checks_an_overflow",),
        why="4: a static loss_scale never checks overflow",
    ),
    Mutation(
        name="apex_always_shares_its_flag",
        file=APEX + "amp/scaler.py",
        old="self.overflow = hccl.any_rank(flag) if self.shares_flag else flag",
        new="self.overflow = hccl.any_rank(flag)",
        tests=(APEX_TESTS + "test_ranks_share_the_flag_if_the_group_was_there_at_initialise",),
        why="4: only if dist was initialised when amp.initialize ran",
    ),
    Mutation(
        name="apex_after_ddp",
        file=APEX + "amp/initialisation.py",
        old="    if isinstance(model, DistributedDataParallel):",
        new="    if False:",
        tests=(APEX_TESTS + "test_initialise_comes_before_ddp",),
        why="4: amp.initialize, then DDP",
    ),
    Mutation(
        name="apex_takes_texts_for_scales",
        file=APEX + "amp/initialisation.py",
        old='if isinstance(loss_scale, str) and loss_scale != "dynamic":',
        new="if False:",
        tests=(APEX_TESTS + "test_a_text_is_no_loss_scale_but_dynamic",),
        why="4: strings must be converted to float",
    ),
    Mutation(
        name="apex_twice",
        file=APEX + "amp/initialisation.py",
        old=(
            "    if AmpState.properties is not None:\n"
            '        raise RuntimeError("amp.initialize was'
        ),
        new=('    if False:\n        raise RuntimeError("amp.initialize was'),
        tests=(APEX_TESTS + "test_initialise_is_called_once",),
        why="4: call once",
    ),
    Mutation(
        name="apex_scale_settings_at_the_end",
        file=APEX + "amp/initialisation.py",
        old=(
            "    dynamic_init_scale=2.0**16,\n"
            "    scale_growth_factor=2.0,\n"
            "    scale_backoff_factor=0.5,\n"
            "    scale_window=2000,\n"
            "    min_loss_scale=None,\n"
            "    max_loss_scale=2.0**24,\n"
        ),
        new=(
            "    min_loss_scale=None,\n"
            "    max_loss_scale=2.0**24,\n"
            "    dynamic_init_scale=2.0**16,\n"
            "    scale_growth_factor=2.0,\n"
            "    scale_backoff_factor=0.5,\n"
            "    scale_window=2000,\n"
        ),
        tests=(APEX_TESTS + "test_initialise_has_the_scales_settings_before_the_smallest_scale",),
        why="4: the scale's parameters come before min_loss_scale",
    ),
    Mutation(
        name="fused_sgd_steps_without_amp",
        file=APEX + "optimizers/npu_fused_sgd.py",
        old='if stash is None or stash.opt_level not in ("O1", "O2"):',
        new="if False:",
        tests=(
            APEX_TESTS + "test_the_fused_optimizer_fails_without_amp",
            APEX_TESTS + "test_the_fused_optimizer_fails_at_level_o0",
        ),
        why="3.6: apex's fused optimizer needs amp O1 or O2",
    ),
    Mutation(
        name="nvidias_apex_has_npu_optimizers",
        file=APEX + "optimizers/__init__.py",
        old="if IS_ASCEND:",
        new="if True:",
        tests=(APEX_TESTS + "test_nvidias_apex_has_no_npu_fused_sgd",),
        why="4: NVIDIA's apex has no NpuFusedSGD",
    ),
    # The product: what would break a rule.
    Mutation(
        name="the_arithmetic_is_not_set",
        file=ADAPTER,
        old=('torch_npu.npu.set_option({"ACL_PRECISION_MODE": str(precision.npu_precision_mode)})'),
        new="pass",
        tests=(
            RUNS + "test_float32_on_a_910a_is_that_of_a_cpu",
            RUNTIME + "test_opening_an_npu_sets_the_device_and_then_its_arithmetic",
        ),
        why="8.6: nothing set is not float32",
    ),
    Mutation(
        name="the_device_is_not_set",
        file=ADAPTER,
        old="    torch_npu.npu.set_device(index)\n",
        new="",
        tests=(RUNS + "test_mixed_precision_moves_every_weight_and_keeps_close_to_float32",),
        why="3.2: set_device in every process",
    ),
    Mutation(
        name="hf32_is_left_on",
        file=ADAPTER,
        old="        torch_npu.npu.conv.allow_hf32 = precision.tf32\n",
        new="",
        tests=(RUNS + "test_float32_on_a_910b_is_that_of_a_cpu",),
        why="3.2: ALLOW_CONV_HF32 is on by default",
    ),
    Mutation(
        name="versions_are_compared_as_texts",
        file=STEP,
        old="autocast(dtype=dtype) if torch_version() >= (1, 11) else autocast()",
        new='autocast(dtype=dtype) if str(torch.__version__) >= "1.11" else autocast()',
        tests=(RUNS + "test_the_optimizer_is_the_one_that_the_package_has",),
        why="3.1: version tests must be numeric",
    ),
    Mutation(
        name="the_scaler_never_checks",
        file=GRADIENTS,
        old="GradScaler(dynamic=True, **arguments)",
        new="GradScaler(dynamic=False, **arguments)",
        tests=(
            RUNS + "test_an_overflow_is_skipped_seen_and_halves_a_dynamic_scale",
            RUNS + "test_a_static_scale_of_the_scaler_is_checked_all_the_same",
        ),
        why="3.4: dynamic=False checks nothing",
    ),
    Mutation(
        name="fused_gradients_are_set_to_none",
        file=STEP,
        old=(
            "        if not (is_npu_fused(self.optimizer) or "
            "self._precision.apex_opt_level is not None):"
        ),
        new="        if True:",
        tests=(RUNS + "test_gradients_keep_their_buffers_in_a_fused_optimizer",),
        why="3.6: no set_to_none=True",
    ),
    Mutation(
        name="fused_gradients_are_zeroed_too_early",
        file=STEP,
        old="        elif self._has_gradients():",
        new="        else:",
        tests=(RUNS + "test_mixed_precision_moves_every_weight_and_keeps_close_to_float32",),
        why="3.6: what has no gradient at the first zero_grad is left out",
    ),
    Mutation(
        name="the_fused_clip_gets_no_norm_type",
        file=GRADIENTS,
        old="(self._max_norm, 2.0)",
        new="(self._max_norm)",
        tests=(RUNS + "test_gradients_are_clipped_by_their_norm",),
        why="3.6: clip_grad_norm_fused_(max_norm, norm_type)",
    ),
    Mutation(
        name="apex_after_ddp_in_the_adapter",
        file=STEP,
        old="            model,\n",
        new="            _distributed(model, device) if world_size > 1 else model,\n",
        tests=(
            RUNS + "test_two_ranks_under_apex_skip_together",
            RUNTIME + "test_apex_comes_after_the_process_group_and_before_ddp",
        ),
        why="4: amp.initialize, then DDP",
    ),
    Mutation(
        name="apex_gets_its_scale_as_a_text",
        file=GRADIENTS,
        old='return "dynamic" if dynamic else float(precision.loss_scale or 1.0)',
        new='return "dynamic" if dynamic else str(precision.loss_scale or 1.0)',
        tests=(
            RUNS + "test_apex_takes_a_static_scale",
            RUNTIME + "test_apex_gets_its_loss_scale_as_a_number_or_dynamic",
        ),
        why="4: a number, not a string",
    ),
    Mutation(
        name="masters_are_not_restored",
        file=GRADIENTS,
        old="            self._take_over()\n",
        new="",
        tests=(RUNS + "test_apexs_float32_weights_are_part_of_a_checkpoint",),
        why="4: O2's float32 weights are in no state_dict",
    ),
    Mutation(
        name="ddp_without_its_device",
        file=STEP,
        old='        arguments["device_ids"] = [device.index]\n',
        new="        pass\n",
        tests=(RUNS + "test_two_ranks_average_their_gradients_and_skip_together",),
        why="3.5: DDP(model, device_ids=[local])",
    ),
    Mutation(
        name="npus_meet_by_gloo",
        file=ADAPTER,
        old='"npu": "hccl"',
        new='"npu": "gloo"',
        tests=(
            RUNS + "test_two_ranks_average_their_gradients_and_skip_together",
            RUNTIME + "test_the_backend_of_a_device",
        ),
        why="3.5: backend hccl",
    ),
    Mutation(
        name="every_apex_is_ascends",
        file=ADAPTER,
        old='    return hasattr(apex.optimizers, "NpuFusedSGD")',
        new="    return True",
        tests=(APEX_TESTS + "test_nvidias_apex_has_no_npu_fused_sgd",),
        why="4: NVIDIA's apex has no NpuFusedSGD",
    ),
    Mutation(
        name="optimizers_are_taken_for_granted",
        file=STEP,
        old=(
            "    try:\n"
            "        import torch_npu.optim\n"
            "    except ImportError:\n"
            "        return torch.optim.SGD\n"
        ),
        new=("    import torch_npu.optim\n\n"),
        tests=(RUNS + "test_the_optimizer_is_the_one_that_the_package_has",),
        why="3.1: torch_npu.optim only from 5.0.rc1",
    ),
    Mutation(
        name="statistics_of_all_ranks_in_16_bits",
        file="PyTorch/residual_attention_net/distributed.py",
        old="values = inputs.float() if inputs.dtype in _SIXTEEN_BITS else inputs",
        new="values = inputs",
        tests=(
            "PyTorch/residual_attention_net/tests/test_distributed.py::"
            "test_synchronised_batch_norm_of_16_bits_keeps_statistics_that_16_bits_can_not_hold",
        ),
        why="4: O2 keeps batch norm in float32",
    ),
    Mutation(
        name="bytes_travel_as_int64",
        file="PyTorch/residual_attention_net/shared_checkpoint.py",
        old="torch.tensor([len(content)], dtype=torch.int32, device=device)",
        new="torch.tensor([len(content)], dtype=torch.int64, device=device)",
        tests=(RUNS + "test_checkpoints_are_sent_in_a_type_that_hccl_of_torch_1_8_has",),
        why="3.5: 1.8.1 broadcasts no int64",
    ),
    Mutation(
        name="counts_travel_by_cpu",
        file="PyTorch/residual_attention_net/distributed.py",
        old="total = torch.tensor(list(values), dtype=torch.float32, device=device)",
        new="total = torch.tensor(list(values), dtype=torch.float32)",
        tests=(RUNS + "test_ranks_add_up_and_compare_by_what_hccl_has",),
        why="3.5: hccl needs NPU tensors",
    ),
    Mutation(
        name="the_last_batch_is_smaller",
        file="PyTorch/residual_attention_net/session.py",
        old='pad_last=session.device.kind != "cpu"',
        new="pad_last=False",
        tests=(RUNS + "test_the_program_compiles_each_operation_of_a_batch_once",),
        why="3.2: a new shape is a compilation on a 910A",
    ),
    Mutation(
        name="checkpoints_are_saved_from_the_npu",
        file="PyTorch/residual_attention_net/checkpoint.py",
        old='return value.detach().to("cpu", copy=True)',
        new="return value.detach()",
        tests=(RUNS + "test_the_program_saves_from_the_cpu_and_leaves_the_formats_alone",),
        why="3.3: move to the CPU before saving",
    ),
    Mutation(
        name="channels_last_on_an_npu",
        file=ADAPTER,
        old='    return kind == "gpu"\n',
        new='    return kind != "cpu"\n',
        tests=(
            RUNTIME + "test_channels_last_never_pays_on_an_npu",
            RUNS + "test_the_program_saves_from_the_cpu_and_leaves_the_formats_alone",
        ),
        why="3.3: no channels_last on an NPU",
    ),
)
