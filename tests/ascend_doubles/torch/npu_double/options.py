"""torch.npu.set_option: what may be set, to what, until when; the machine's devices."""

import os

from npu_double import report

PRECISION = "ACL_PRECISION_MODE"
KEEP, ALLOW_FP16 = "must_keep_origin_dtype", "allow_fp32_to_fp16"
# Those of the product and their values, () where any text is legal.
KEYS = {PRECISION: (ALLOW_FP16, KEEP), "ACL_OP_COMPILER_CACHE_MODE": (), "ACL_OP_DEBUG_LEVEL": ()}


class Options:
    """The options of this process."""

    def __init__(self):
        self.values, self.started = {}, False

    def set(self, options):
        """torch.npu.set_option: TypeError for no text, ValueError for what there is not."""
        for name, value in options.items():
            if name not in KEYS:
                raise ValueError(f"npu option {name!r} is unknown")
            if not isinstance(value, str):
                raise TypeError(f"npu option {name} expects a str, not {value!r}")
            if KEYS[name] and value not in KEYS[name]:
                raise ValueError(f"npu option {name}: {value!r} is none of {KEYS[name]}")
        if PRECISION in options and self.started:
            raise RuntimeError(PRECISION + " was set after the first operation, too late")
        self.values.update(options)
        report.note("set_option", options=dict(options))

    def start(self):
        """The first operation ran: its arithmetic stays."""
        self.started = True

    def precision_mode(self):
        """What is set, else the 910A's default: float16 inside an operator."""
        return self.values.get(PRECISION, ALLOW_FP16)


options = Options()


def device_count():
    """The devices this process may use; ASCEND_DEVICE_ID is not looked at."""
    count = int(os.environ.get("ASCEND_DOUBLE_DEVICES", "8"))
    visible = os.environ.get("ASCEND_RT_VISIBLE_DEVICES", ",".join(map(str, range(count))))
    return len([number for number in visible.split(",") if int(number) < count])


def require_cann():
    """Fails as the import of torch_npu does where set_env.sh was not sourced."""
    for name in ("ASCEND_HOME_PATH", "ASCEND_OPP_PATH"):
        if not os.environ.get(name):
            raise ImportError(f"{name} is not set: source CANN's set_env.sh first")
