"""Broken rules of npu_bridge and of the adapter for TensorFlow."""

from __future__ import annotations

from typing import Tuple

from tests.ascend_doubles.mutations.mutation import Mutation

_DOUBLE = "tests/ascend_doubles/tensorflow/npu_bridge/"
_TESTS = "tests/test_doubles_npu_bridge_{}.py::{}"


def _of_double(
    name: str, file: str, old: str, new: str, tests: Tuple[Tuple[str, str], ...], why: str
) -> Mutation:
    """A mutation of the double; tests are pairs of a part of a file's name and a function."""
    return Mutation(
        name, _DOUBLE + file, old, new, tuple(_TESTS.format(*test) for test in tests), why
    )


def _of_product(
    name: str, file: str, old: str, new: str, tests: Tuple[str, ...], why: str
) -> Mutation:
    """A mutation of the product that the adapter's tests against the double must notice."""
    return Mutation(
        name, file, old, new, tuple(_TESTS.format("adapter", test) for test in tests), why
    )


_OF_THE_DOUBLE = (
    _of_double(
        "any_field_is_read",
        "contract/parameter_map.py",
        "    value = getattr(attribute, field)",
        '    value = getattr(attribute, attribute.WhichOneof("value"))',
        (("options", "test_a_value_in_another_types_field_is_read_as_zero_and_nobody_is_told"),),
        "1.5: only the field of the key's type is read",
    ),
    _of_double(
        "unknown_keys_are_told",
        "contract/parameter_map.py",
        "            PROCESS.unknown.append(name)\n",
        '            PROCESS.log("W", name)\n',
        (("options", "test_keys_that_it_does_not_know_are_passed_over_in_silence"),),
        "1.6: the plugin reads the keys it knows and says nothing of others",
    ),
    _of_double(
        "wrong_jit_compile_is_silent",
        "contract/parameter_map.py",
        '        if name == "jit_compile":',
        '        if name == "":',
        (("options", "test_jit_compile_alone_tells_of_a_wrong_field"),),
        "1.5: jit_compile is the one key with a diagnostic",
    ),
    _of_double(
        "an_abort_is_an_exception",
        "contract/failures.py",
        "class PluginAbort(BaseException):",
        "class PluginAbort(Exception):",
        (
            (
                "options",
                "test_an_illegal_value_is_found_when_the_first_graph_runs_and_no_exception_"
                "handler_sees_it",
            ),
        ),
        "1.6: fatal ends the process",
    ),
    _of_double(
        "no_iterations_are_legal",
        "contract/option_rules.py",
        '    if values["iterations_per_loop"] < 1:',
        '    if values["iterations_per_loop"] < 0:',
        (("options", "test_illegal_values_end_the_process"),),
        "1.6: iterations_per_loop below 1 is fatal",
    ),
    _of_double(
        "both_precision_modes_are_taken",
        "contract/option_rules.py",
        "    if mode is not None and newer:",
        '    if mode is None and newer == "":',
        (("options", "test_every_second_generation_mode_is_taken_alone"),),
        "1.7: precision_mode with precision_mode_v2 is an error",
    ),
    _of_double(
        "the_white_list_is_older",
        "contract/option_rules.py",
        "        if cann.since(1, 12):",
        "        if cann.since(1, 1):",
        (("options", "test_another_mode_is_fatal_from_1_12_on_and_fails_later_before"),),
        "1.1: the white list is from r1.12 on",
    ),
    _of_double(
        "bfloat16_on_a_910a",
        "contract/option_rules.py",
        '    if cann.is_first_generation() and ("bf16"',
        '    if False and ("bf16"',
        (("options", "test_bfloat16_is_an_error_on_a_910a_and_none_on_a_910b"),),
        "1.7: bf16 modes are for A2 and later",
    ),
    _of_double(
        "nothing_set_is_float32",
        "contract/option_rules.py",
        '    return "allow_fp32_to_fp16" if cann.is_first_generation() else '
        '"must_keep_origin_dtype"',
        '    return "must_keep_origin_dtype"',
        (("options", "test_nothing_set_is_not_float32_on_a_910a"),),
        "1.7: nothing set is float16 on a 910A",
    ),
    _of_double(
        "a_mixlist_in_every_mode",
        "contract/option_rules.py",
        "        if not _is_mixed(values):",
        "        if False:",
        (("options", "test_modify_mixlist_needs_a_mixed_mode"),),
        "1.6: modify_mixlist needs a mixed mode",
    ),
    _of_double(
        "a_dump_makes_its_folder",
        "contract/option_rules.py",
        "        if not os.path.isdir(path) or not os.access(path, os.R_OK | os.W_OK):",
        "        if not path:",
        (("options", "test_a_dump_needs_a_folder_that_is_there"),),
        "1.6: dump_path must be there",
    ),
    _of_double(
        "any_dump_step",
        "contract/option_rules.py",
        "    if steps and (not",
        '    if steps == "" and (not',
        (("options", "test_dump_step_is_a_list_of_at_most_a_hundred_steps_and_ranges"),),
        "1.6: the form of dump_step, at most 100 sets",
    ),
    _of_double(
        "lines_of_custom_types_are_not_read",
        "contract/option_files.py",
        "        if not _LINE",
        "        if False and not _LINE",
        (("options", "test_a_line_of_another_form_in_customize_dtypes_is_an_error"),),
        "1.8: the form of customize_dtypes",
    ),
    _of_double(
        "hcom_parallel_was_always_on",
        "contract/keys.py",
        'Key("b", cann.since(1, 10), True)',
        'Key("b", True, True)',
        (("options", "test_hcom_parallel_is_on_by_itself_from_1_10_on"),),
        "1.1: the default changed with r1.10",
    ),
    _of_double(
        "the_import_needs_nothing",
        "contract/cann.py",
        "    if not any(os.environ.get(name) for name in NEEDED):",
        "    if False:",
        (("sessions", "test_the_import_needs_cann"),),
        "1.3: the import needs CANN's libraries",
    ),
    _of_double(
        "sessions_are_not_patched",
        "contract/sessions.py",
        "    if cann.since(1, 9):",
        "    if cann.since(9, 9):",
        (("sessions", "test_from_1_9_on_every_session_of_the_process_is_on_the_npu"),),
        "1.3: from r1.9 on every session is on the NPU",
    ),
    _of_double(
        "sessions_were_always_patched",
        "contract/sessions.py",
        "    if cann.since(1, 9):",
        "    if cann.since(1, 1):",
        (("sessions", "test_up_to_1_8_a_session_without_the_optimizer_is_on_the_host"),),
        "1.3: up to r1.8 a plain session is on the host",
    ),
    _of_double(
        "memory_optimization_always_goes_off",
        "contract/sessions.py",
        "        rewriter.memory_optimization = OFF\n    rewriter.remapping = OFF",
        "    rewriter.memory_optimization = OFF\n    rewriter.remapping = OFF",
        (("sessions", "test_who_adds_the_optimizer_has_to_turn_memory_optimization_off"),),
        "1.4: only where npu_config_proto added the entry",
    ),
    _of_double(
        "later_sessions_change_the_options",
        "contract/ge.py",
        "    if PROCESS.options is not None:",
        "    if False:",
        (
            ("sessions", "test_the_first_npu_sessions_options_hold_for_the_process"),
            ("sessions", "test_init_resource_fixes_the_options"),
        ),
        "1.5: GE is initialised once per process",
    ),
    _of_double(
        "a_host_session_fixes_the_options",
        "contract/sessions.py",
        '        if not self.report["on_npu"]:\n            _refuse_on_host(kinds)\n',
        '        if not self.report["on_npu"]:\n            _refuse_on_host(kinds)\n'
        "            self._open(kinds)\n",
        (("sessions", "test_the_first_npu_sessions_options_hold_for_the_process"),),
        "1.5: the first NPU session counts",
    ),
    _of_double(
        "device_id_before_ascend_device_id",
        "contract/environment.py",
        '    if environment.get("ASCEND_DEVICE_ID"):',
        '    if environment.get("ASCEND_DEVICE_ID") and not environment.get("DEVICE_ID"):',
        (("sessions", "test_the_device_is_the_sessions_then_ascend_device_id_then_device_id"),),
        "1.6: the priority of device numbers",
    ),
    _of_double(
        "the_line_is_always_shown",
        "contract/process.py",
        '        if int(os.environ.get("TF_CPP_MIN_LOG_LEVEL") or 0) <= "IWEF".index(level):',
        "        if level:",
        (("sessions", "test_the_line_is_information_and_hidden_above_level_0"),),
        "1.12: the line is TensorFlow's INFO",
    ),
    _of_double(
        "a_graph_is_compiled_once_for_all_shapes",
        "contract/sessions.py",
        "        key = (id(operations[0].graph), names, _shapes(fed, feeds))",
        "        key = (id(operations[0].graph), names)",
        (("sessions", "test_another_session_and_another_shape_compile_again"),),
        "1.12: another shape is another graph",
    ),
    _of_double(
        "every_fetch_is_compiled_anew",
        "contract/sessions.py",
        "        if key not in self._seen:",
        "        if True:",
        (("sessions", "test_one_line_is_written_per_compiled_graph"),),
        "1.12: one line per compiled graph",
    ),
    _of_double(
        "python_on_the_npu",
        "contract/graph_rules.py",
        '    r"(Eager)?PyFunc(Stateless)?|',
        '    r"NoPyFunc|',
        (("sessions", "test_what_the_npu_lacks_needs_mix_compile_mode"),),
        "1.10: py_func stays on the host or fails",
    ),
    _of_double(
        "functions_are_not_looked_into",
        "contract/graph_rules.py",
        "    types = {operation.type} | _types_in_functions(operation)",
        "    types = {operation.type}",
        (("sessions", "test_what_the_npu_lacks_needs_mix_compile_mode"),),
        "1.10: also in the branches of conditions",
    ),
    _of_double(
        "shapes_need_not_be_static",
        "contract/graph_rules.py",
        "            and not tensor.shape.is_fully_defined()\n",
        "            and tensor.shape.ndims is None\n",
        (("sessions", "test_a_batch_of_unknown_size_is_no_static_shape"),),
        "1.10: static shapes",
    ),
    _of_double(
        "a_loop_is_one_step",
        "contract/sessions.py",
        "        return wanted\n",
        "        return 1\n",
        (("sessions", "test_one_run_is_n_steps_and_gives_the_last_ones_values"),),
        "1.10: one run is N steps",
    ),
    _of_double(
        "one_shot_iterators_loop",
        "contract/sessions.py",
        "        if wanted != 1 and any(",
        "        if wanted == 0 and any(",
        (("sessions", "test_a_one_shot_iterator_is_fatal"),),
        "1.6: a OneShotIterator is fatal",
    ),
    _of_double(
        "any_number_of_iterations",
        "contract/sessions.py",
        "        if given and given != {wanted}:",
        "        if False:",
        (("sessions", "test_the_number_must_be_the_keys"),),
        "1.6: the key equals what set_iteration_per_loop was given",
    ),
    _of_double(
        "loops_without_data_pre_proc",
        "contract/sessions.py",
        '        if not self._options["enable_data_pre_proc"]:',
        "        if False:",
        (("sessions", "test_sunk_steps_need_enable_data_pre_proc"),),
        "1.10: enable_data_pre_proc is needed",
    ),
    _of_double(
        "a_stale_table_needs_a_rank_size",
        "contract/environment.py",
        '        and ("RANK_SIZE" not in environment or',
        "        and (",
        (("ranks", "test_a_rank_table_left_over_makes_one_card_collective"),),
        "1.11: a table left over switches HCCL on",
    ),
    _of_double(
        "table_and_chief_together",
        "contract/environment.py",
        '    if "RANK_TABLE_FILE" in environment and "CM_CHIEF_IP" in environment:',
        "    if False:",
        (("ranks", "test_a_table_and_a_chief_together_are_both_left_unused"),),
        "1.11: neither is used",
    ),
    _of_double(
        "a_chief_beside_rank_size",
        "contract/environment.py",
        'for name in CHIEF) or "RANK_SIZE" in environment:',
        "for name in CHIEF):",
        (("ranks", "test_the_way_to_the_ranks_follows_from_the_environment"),),
        "2.3: RANK_SIZE must not exist",
    ),
    _of_double(
        "ranks_are_known_at_once",
        "estimator/npu/util.py",
        "    return _global_dict.get(key, default)",
        '    return globals().get("_global_dict", {}).get(key, default)',
        (("ranks", "test_rank_functions_of_npu_init_do_not_exist_before_init_resource"),),
        "1.4: NameError before init_resource",
    ),
    Mutation(
        "hccl_outlives_its_session",
        "tests/ascend_doubles/tensorflow/hccl/manage/api.py",
        '    if not any(session["on_npu"] and session["open"] for session in PROCESS.sessions):',
        "    if False:",
        (
            "tests/test_doubles_npu_bridge_ranks.py::"
            "test_hccl_knows_ranks_while_the_first_session_is_open",
        ),
        "1.10: the session must stay open",
    ),
    _of_double(
        "two_rank_sizes",
        "estimator/npu/util.py",
        '        if "RANK_SIZE" in os.environ and "CM_WORKER_SIZE" in os.environ:',
        "        if False:",
        (("ranks", "test_the_rank_size_is_of_one_source"),),
        "1.10: ValueError when both are set",
    ),
    _of_double(
        "a_mean_over_ranks",
        "hccl/hccl_ops.py",
        'REDUCTIONS = ("sum", "prod", "max", "min")',
        'REDUCTIONS = ("sum", "prod", "max", "min", "mean")',
        (("ranks", "test_there_is_no_mean"),),
        "1.10: no mean",
    ),
    _of_double(
        "the_broadcast_is_of_everything",
        "estimator/npu/npu_hook.py",
        "        return _broadcast(tf.trainable_variables(), root_rank)",
        "        return _broadcast(tf.global_variables() + tf.local_variables(), root_rank)",
        (("ranks", "test_the_broadcast_is_of_trainable_variables_alone"),),
        "1.10: trainable variables only",
    ),
    _of_double(
        "ranks_are_numbered_as_they_come",
        "contract/hub.py",
        "        arrived.sort(key=lambda entry: entry[0])\n",
        "",
        (("ranks", "test_a_chief_numbers_ranks_by_device"),),
        "2.3: HCCL assigns ranks",
    ),
    _of_double(
        "gradients_are_added_up",
        "estimator/npu/npu_optimizer.py",
        '    return hccl_ops.allreduce(gradient, "sum") / tf.cast(size, gradient.dtype)',
        '    return hccl_ops.allreduce(gradient, "sum")',
        (("training", "test_gradients_are_averaged_where_the_environment_has_a_rank_size"),),
        "1.10: averaged",
    ),
    _of_double(
        "hccl_is_asked_for_the_size",
        "estimator/npu/util.py",
        '    return int(get_ranksize() if cann.since(1, 11) else os.environ.get("RANK_SIZE") '
        'or "1")',
        "    from npu_bridge.contract.process import PROCESS\n    return PROCESS.size",
        (("training", "test_hccl_is_not_asked_for_the_rank_size"),),
        "1.10: the environment decides while the graph is built",
    ),
    _of_double(
        "gradients_stay_scaled",
        "estimator/npu/npu_loss_scale_optimizer.py",
        "    return gradient / tf.cast(scale, gradient.dtype)",
        "    return gradient",
        (("training", "test_compute_gradients_gives_unscaled_gradients"),),
        "1.9: compute_gradients divides by the scale",
    ),
    _of_double(
        "a_bad_step_is_applied",
        "estimator/npu/npu_loss_scale_optimizer.py",
        "        done = tf.cond(finite, apply, lambda: tf.constant(False))",
        "        done = apply()",
        (("training", "test_a_step_that_overflows_advances_nothing"),),
        "1.9: a skipped step advances nothing",
    ),
    _of_double(
        "good_steps_survive_a_bad_one",
        "estimator/npu/npu_loss_scale_manager.py",
        "        good = tf.where(finite, self._good_steps.read_value() + 1, 0)",
        "        good = self._good_steps.read_value() + tf.cast(finite, tf.int32)",
        (("training", "test_a_bad_step_begins_the_count_of_good_ones_anew"),),
        "1.9: the counter resets on any bad step",
    ),
    _of_double(
        "the_scale_has_no_floor",
        "estimator/npu/npu_loss_scale_manager.py",
        "SMALLEST = 1.0",
        "SMALLEST = 0.0",
        (("training", "test_the_scale_does_not_fall_below_one"),),
        "1.9: floor 1.0",
    ),
    _of_double(
        "one_bad_step_is_enough",
        "estimator/npu/npu_loss_scale_manager.py",
        "decr_every_n_nan_or_inf=2,",
        "decr_every_n_nan_or_inf=1,",
        (("training", "test_the_scale_shrinks_after_two_bad_steps_by_its_default_ratio"),),
        "1.9: the default is 2",
    ),
    _of_double(
        "the_flag_is_shared_by_itself",
        "estimator/npu/npu_loss_scale_optimizer.py",
        "        if not self._is_distributed or cann.shows_inf_and_nan():",
        "        if cann.shows_inf_and_nan():",
        (
            (
                "training",
                "test_is_distributed_always_builds_an_exchange_but_for_chips_with_inf_and_nan",
            ),
        ),
        "1.9: only with is_distributed",
    ),
    _of_double(
        "the_register_knows_of_other_ranks",
        "estimator/npu/npu_loss_scale_optimizer.py",
        "        if not cann.shows_inf_and_nan():",
        "        if False:",
        (
            (
                "training",
                "test_another_ranks_overflow_is_known_if_it_is_shared_or_shows_in_the_average",
            ),
        ),
        "1.9: the register is this device's own",
    ),
)

_RUNTIME = "common/training/tensorflow/runtime.py"
_MINIMISATION = "common/training/tensorflow/minimisation.py"
_PARAMETERS = "common/ascend/session_parameters.py"
_OF_THE_PRODUCT = (
    _of_product(
        "numbers_in_the_field_of_words",
        _RUNTIME,
        "        elif isinstance(value, int):\n            npu.parameter_map[name].i = value",
        "        elif isinstance(value, int):\n            npu.parameter_map[name].b = bool(value)",
        ("test_every_value_is_in_its_field_and_every_key_is_known",),
        "1.5: graph_run_mode and others are read from .i",
    ),
    _of_product(
        "words_and_truths_in_the_field_of_numbers",
        _RUNTIME,
        "            npu.parameter_map[name].b = value",
        "            npu.parameter_map[name].i = value",
        ("test_sessions_are_on_the_npu_but_for_those_of_the_host",),
        "1.5: use_off_line in .i means False",
    ),
    _of_product(
        "memory_optimization_left_on",
        _RUNTIME,
        "    rewriter.memory_optimization = rewriter.OFF\n",
        "",
        (
            "test_rewrites_are_off_whatever_the_release",
            "test_sessions_are_on_the_npu_but_for_those_of_the_host",
        ),
        "1.5: who adds NpuOptimizer turns both rewrites off",
    ),
    _of_product(
        "remapping_left_on",
        _RUNTIME,
        "    rewriter.remapping = rewriter.OFF\n",
        "",
        ("test_rewrites_are_off_whatever_the_release",),
        "1.5: who adds NpuOptimizer turns both rewrites off",
    ),
    _of_product(
        "the_optimizers_name_in_small_letters",
        _RUNTIME,
        '    npu.name = "NpuOptimizer"',
        '    npu.name = "npu_optimizer"',
        ("test_rewrites_are_off_whatever_the_release",),
        "1.5: the exact string",
    ),
    _of_product(
        "a_host_session_that_does_not_say_so",
        _RUNTIME,
        '            {"use_off_line": False}\n',
        "            {}\n",
        ("test_sessions_are_on_the_npu_but_for_those_of_the_host",),
        "1.3: staying on the host has to be said",
    ),
    _of_product(
        "precision_left_unset",
        _PARAMETERS,
        '        "precision_mode": precision_mode,\n',
        "",
        ("test_the_mode_that_is_asked_for_is_in_force",),
        "1.7: nothing set is not float32",
    ),
    _of_product(
        "a_misspelt_key",
        _PARAMETERS,
        '        parameters["hcom_parallel"] = True',
        '        parameters["hcom_paralel"] = False',
        ("test_the_first_session_of_several_ranks_has_trainings_options",),
        "1.6: a key that is unknown is passed over",
    ),
    _of_product(
        "relative_paths",
        _PARAMETERS,
        "    return {name: os.path.abspath(path) for name, path in given.items() if path}",
        "    return {name: path for name, path in given.items() if path}",
        ("test_relative_paths_are_those_of_where_the_run_was_started",),
        "1.8: a relative path is the process's",
    ),
    _of_product(
        "hccls_size_is_believed",
        _RUNTIME,
        "    if size != place.world_size:",
        "    if False:",
        ("test_a_job_of_which_hccl_knows_another_size_is_refused",),
        "1.10: N separate trainings, and no error",
    ),
    Mutation(
        "the_first_rank_alone_begins_a_broadcast",
        "TensorFlow/protoattend/split_evaluation.py",
        "        self.passes.fill(running, self.candidates)\n        images",
        "        self.prepare(running)\n        images",
        (
            "TensorFlow/protoattend/tests/test_split_evaluation.py::"
            "test_a_picture_which_the_first_rank_alone_draws_waits_for_no_other_rank",
        ),
        "1.10: every rank runs the same collectives",
    ),
    _of_product(
        "the_device_is_left_to_the_environment",
        _PARAMETERS,
        '        parameters["session_device_id"] = device_index',
        "        pass",
        ("test_the_device_is_the_one_of_the_rank",),
        "1.6: the priority of device numbers",
    ),
    _of_product(
        "the_overflow_flag_is_always_shared",
        _MINIMISATION,
        "manager, is_distributed=many)",
        "manager, is_distributed=True)",
        ("test_one_rank_trains_without_hccl",),
        "1.9: it needs HCCL, even with one rank",
    ),
    _of_product(
        "the_overflow_flag_is_never_shared",
        _MINIMISATION,
        "manager, is_distributed=many)",
        "manager, is_distributed=False)",
        ("test_several_ranks_share_gradients_and_overflow",),
        "1.9: ranks would diverge",
    ),
    _of_product(
        "gradients_are_not_averaged",
        _MINIMISATION,
        "        optimizer = npu_init.NPUDistributedOptimizer(optimizer)",
        "        pass",
        ("test_several_ranks_share_gradients_and_overflow",),
        "1.10: the wrapper averages gradients",
    ),
    _of_product(
        "an_unset_rank_size_is_not_noticed",
        _RUNTIME,
        '    if not os.environ.get("CM_WORKER_SIZE"):\n',
        "    if False:\n",
        ("test_ranks_that_nobody_counted_are_refused",),
        "1.10: a missing RANK_SIZE gives N separate trainings",
    ),
    _of_product(
        "only_trainable_variables_are_broadcast",
        _RUNTIME,
        "    return tf.group(*[variable.assign(_from_first(device, variable)) for variable in "
        "variables])",
        "    return tf.group(*[variable.assign(_from_first(device, variable)) for variable in "
        "variables if variable.trainable])",
        ("test_every_variable_is_broadcast",),
        "1.10: the whole state has to be the same",
    ),
    _of_product(
        "sums_are_means",
        _RUNTIME,
        '        return hccl_ops.allreduce(tensor, "sum")',
        '        return hccl_ops.allreduce(tensor, "mean")',
        ("test_the_mean_of_several_ranks_is_a_mean",),
        "1.10: HCCL has no mean",
    ),
    _of_product(
        "sums_are_compiled_each_time",
        _RUNTIME,
        "    if key not in _SUMS:",
        "    if True:",
        ("test_sums_over_ranks_are_compiled_once",),
        "1.12: another graph is another compilation",
    ),
    _of_product(
        "the_first_session_has_no_options",
        _RUNTIME,
        "    held = npu_init.init_resource(config=session_config(shape, precision))",
        "    held = npu_init.init_resource()",
        ("test_the_first_session_of_several_ranks_has_trainings_options",),
        "1.5: the first session fixes the options",
    ),
    _of_product(
        "the_rank_under_a_chief_is_guessed",
        _RUNTIME,
        "    rank, size = int(npu_init.get_npu_rank_id()),",
        "    rank, size = place.local_rank,",
        ("test_under_a_chief_hccl_tells_the_rank",),
        "2.3: HCCL assigns ranks",
    ),
    _of_product(
        "a_static_scale_does_not_check",
        _MINIMISATION,
        "        return npu_init.FixedLossScaleManager(scale, enable_overflow_check=True)",
        "        return npu_init.FixedLossScaleManager(scale, enable_overflow_check=False)",
        ("test_a_static_scale_checks_for_overflow",),
        "1.9: False disables the check",
    ),
    _of_product(
        "the_scale_is_told_after_the_step",
        _MINIMISATION,
        "    scale = None if manager is None else manager.get_loss_scale() * 1.0\n"
        "    with tf.control_dependencies(list(updates) + ([] if scale is None else [scale])):\n"
        "        train_op = optimizer.apply_gradients(\n"
        "            list(zip(clipped, [variable for _, variable in pairs])), "
        "global_step=global_step\n"
        "        )\n",
        "    with tf.control_dependencies(list(updates)):\n"
        "        train_op = optimizer.apply_gradients(\n"
        "            list(zip(clipped, [variable for _, variable in pairs])), "
        "global_step=global_step\n"
        "        )\n"
        "    with tf.control_dependencies([train_op]):\n"
        "        scale = None if manager is None else manager.get_loss_scale() * 1.0\n",
        ("test_a_step_that_overflows_is_skipped_and_tells_the_scale_it_used",),
        "1.9: the step changes the scale",
    ),
    _of_product(
        "two_bad_steps_for_one",
        _MINIMISATION,
        "decr_every_n_nan_or_inf=1,",
        "decr_every_n_nan_or_inf=2,",
        ("test_a_step_that_overflows_is_skipped_and_tells_the_scale_it_used",),
        "1.9: a scale that falls late costs dead steps",
    ),
    _of_product(
        "loops_without_the_data",
        _PARAMETERS,
        "enable_data_pre_proc=True\n",
        "enable_data_pre_proc=False\n",
        ("test_one_run_makes_the_steps_that_were_asked_for",),
        "1.10: enable_data_pre_proc is one of the four conditions",
    ),
    _of_product(
        "loops_that_are_not_told_to_the_graph",
        _RUNTIME,
        "    return import_npu_bridge().util.set_iteration_per_loop(session, train_op, iterations)",
        "    return train_op",
        ("test_one_run_makes_the_steps_that_were_asked_for",),
        "1.10: set_iteration_per_loop is one of the four conditions",
    ),
)

_ENVIRONMENT = "common/launch/rank_environment.py"
_LAUNCH_TESTS = "tests/test_rank_environment.py::"
_OF_THE_LAUNCHER = (
    Mutation(
        "a_table_left_over_for_one_rank",
        _ENVIRONMENT,
        '        return values, CM_VARIABLES + ("RANK_TABLE_FILE",)',
        "        return values, CM_VARIABLES",
        (_LAUNCH_TESTS + "test_one_rank_loses_rank_table_and_cm_variables",),
        "1.11: a stale table makes one card collective",
    ),
    Mutation(
        "a_rank_size_beside_the_chief",
        _ENVIRONMENT,
        '    return values, ("RANK_TABLE_FILE",) + HCCL_IDENTITY',
        '    return values, ("RANK_TABLE_FILE",)',
        (_LAUNCH_TESTS + "test_tensorflow_without_a_rank_table_has_cm_variables_and_no_rank",),
        "2.3: RANK_ID and RANK_SIZE must not exist",
    ),
    Mutation(
        "the_proof_is_hidden",
        _ENVIRONMENT,
        '    values["TF_CPP_MIN_LOG_LEVEL"] = "0"',
        '    values["TF_CPP_MIN_LOG_LEVEL"] = user.get("TF_CPP_MIN_LOG_LEVEL", "0")',
        (_LAUNCH_TESTS + "test_the_log_level_is_low_enough_to_prove_the_device_whatever_was_left",),
        "1.12: the line is hidden above level 0",
    ),
    Mutation(
        "the_chief_is_always_on_device_0",
        _ENVIRONMENT,
        "str(place.device_id - place.local_rank)",
        '"0"',
        (_LAUNCH_TESTS + "test_the_chief_is_on_the_first_ranks_device",),
        "2.3: CM_CHIEF_DEVICE is the chief's device on its server",
    ),
    Mutation(
        "a_pods_name_is_left",
        _ENVIRONMENT,
        'PLUGIN_LEFTOVERS = ("POD_NAME", "TF_CONFIG")',
        'PLUGIN_LEFTOVERS = ("TF_CONFIG",)',
        (_LAUNCH_TESTS + "test_the_plugin_takes_no_rank_for_a_pods_or_another_roles",),
        "1.11: the identity comes from POD_NAME or RANK_ID",
    ),
    Mutation(
        "any_devices_work_together",
        "common/ascend/device_numbers.py",
        "    if len(logical) < 2 or not npu_is_910a(chip):",
        "    if True:",
        ("tests/test_device_numbers.py::test_other_devices_of_a_910a_are_refused",),
        "2.1: 1, 2, 4 or 8 devices, 2 or 4 of them in one half",
    ),
    Mutation(
        "a_table_left_over_for_a_process_that_is_alone",
        "common/machine/ranks.py",
        "    if size == 1 and table:",
        "    if False:",
        ("tests/test_ranks.py::test_wrong_numbers_are_refused",),
        "1.11: a stale table makes one card collective",
    ),
)

MUTATIONS = _OF_THE_DOUBLE + _OF_THE_PRODUCT + _OF_THE_LAUNCHER
