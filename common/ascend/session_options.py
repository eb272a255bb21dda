"""What a run may ask of the NPU session beside its precision."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class NpuOptions:
    """Choices that hold for every session of a process: the first one fixes them.

    Attributes:
        mix_compile_mode: operations that the NPU lacks run on the host, in the same graph.
        customize_dtypes, modify_mixlist: files that pin operations' types; "" for none.
        iterations_per_loop: training steps that one run of the session makes.
        profiling_folder: where the device writes its profile; "" for none.
        data_dump_folder, data_dump_step: where operations' inputs and outputs are written, at
            which steps, such as "0|5|10-20".
        overflow_dump_folder: where operations that overflow are written.
        autotune_folder: where the tuner of operations works; "" tunes nothing.
    """

    mix_compile_mode: bool = False
    customize_dtypes: str = ""
    modify_mixlist: str = ""
    iterations_per_loop: int = 1
    profiling_folder: str = ""
    data_dump_folder: str = ""
    data_dump_step: str = ""
    overflow_dump_folder: str = ""
    autotune_folder: str = ""


PLAIN = NpuOptions()
