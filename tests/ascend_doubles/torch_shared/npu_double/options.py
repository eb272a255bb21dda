"""torch.npu.set_option and its relatives: what may be set, to what, and until when."""

from npu_double import machine, report

PRECISION = "ACL_PRECISION_MODE"
KEEP, ALLOW_FP16 = "must_keep_origin_dtype", "allow_fp32_to_fp16"
_ON_OFF = ("enable", "disable")

# None where any text is legal.
KEYS = {
    PRECISION: (ALLOW_FP16, KEEP),
    "ACL_OP_SELECT_IMPL_MODE": ("high_performance", "high_precision"),
    "ACL_OPTYPELIST_FOR_IMPLMODE": None,
    "ACL_OP_DEBUG_LEVEL": tuple(str(number) for number in range(5)),
    "ACL_DEBUG_DIR": None,
    "ACL_OP_COMPILER_CACHE_MODE": ("disable", "enable", "force"),
    "ACL_OP_COMPILER_CACHE_DIR": None,
    "ACL_AICORE_NUM": tuple(str(number) for number in range(1, 33)),
    "MM_BMM_ND_ENABLE": _ON_OFF,
    "NPU_FUZZY_COMPILE_BLACKLIST": None,
}
KEYS_OF_2 = {
    "ACL_OP_DEBUG_OPTION": None,
    "ALLOW_INTERNAL_FORMAT": _ON_OFF,
    "ALLOW_CONV_HF32": _ON_OFF,
    "ALLOW_MATMUL_HF32": _ON_OFF,
}


class Options:
    """The options of this process."""

    def __init__(self):
        self.reset(1)

    def reset(self, generation):
        """Everything as after the import; generation 1 is torch 1.8.1's, 2 torch 2's."""
        self.generation, self.values, self.started, self.jit_compile = generation, {}, False, None

    def set(self, options):
        """torch.npu.set_option.

        Raises:
            TypeError: no dictionary, or a value that is no text.
            ValueError: a key or a value that there is not.
            RuntimeError: the arithmetic, after the first operation.
        """
        if not isinstance(options, dict):
            raise TypeError("npu option must be a dict")
        known = dict(KEYS, **KEYS_OF_2) if self.generation == 2 else KEYS
        for name, value in options.items():
            if name not in known:
                raise ValueError(f"npu option {name!r} is unknown")
            if not isinstance(value, str):
                raise TypeError(f"npu option {name} expects a str, not {value!r}")
            if known[name] is not None and value not in known[name]:
                raise ValueError(f"npu option {name}: {value!r} is none of {known[name]}")
        if PRECISION in options and self.started:
            raise RuntimeError(PRECISION + " was set after the first operation, too late")
        self.values.update(options)
        report.note("set_option", options=dict(options))

    def start(self):
        """The first operation ran: its arithmetic stays."""
        self.started = True

    def precision_mode(self):
        """What is set, else the chip's default."""
        default = KEEP if machine.is_910b1_or_later() else ALLOW_FP16
        return self.values.get(PRECISION, default)

    def compiles_by_shape(self):
        """Whether every new shape costs a compilation (jit_compile)."""
        return not machine.is_910b1_or_later() if self.jit_compile is None else self.jit_compile

    def allows_hf32(self, operation):
        """Whether "CONV" or "MATMUL" reads its inputs in HF32."""
        if self.generation == 1 or not machine.is_910b1_or_later():
            return False
        default = "enable" if operation == "CONV" else "disable"
        return self.values.get(f"ALLOW_{operation}_HF32", default) == "enable"


options = Options()
