"""The runtime adapter for TensorFlow: the only module that knows its devices and its versions."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import os
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from common.ascend.environment import HF32
from common.ascend.flags import LOOP, Parameters
from common.core.errors import InfrastructureError, ZooError, first_line
from common.core.terminal import without_chatter
from common.core.text import version_numbers
from common.machine import devices as machine
from common.machine.devices import OpenedDevice
from common.machine.precision import Capabilities, Precision
from common.machine.ranks import LAUNCHED_RANK, Place, find_tensorflow_place
from common.training import devices as shared
from common.training.devices import RunDevice
from common.training.tensorflow import horovod as tf_horovod

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
# npu_bridge tells which graphs reached the NPU in INFO lines; elsewhere these tell nobody anything.
if importlib.util.find_spec("npu_bridge") is None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")

with without_chatter():
    import tensorflow.compat.v1 as tf

tf.disable_eager_execution()
tf.enable_resource_variables()

FRAMEWORK = f"TensorFlow {tf.__version__}"
VERSION = version_numbers(str(tf.__version__))
# The types that the graph rewrite goes by, under their names before and since TensorFlow 2.4:
# always narrow, narrow after a narrow one, narrow between narrow ones; and never narrow. In two of
# them at once an operation would stop the whole rewrite, and nobody would be told.
_REWRITES = {
    "auto_mixed_precision": ("gpu", "float16"),
    "auto_mixed_precision_onednn_bfloat16": ("cpu", "bfloat16"),
}
_LIBRARIES = ("cuda_version", "cudnn_version")
_REWRITE = "TF_AUTO_MIXED_PRECISION_GRAPH_REWRITE_"
REWRITE_LISTS = [
    _REWRITE + name
    for name in (
        ("ALLOWLIST_REMOVE", "INFERLIST_REMOVE", "CLEARLIST_REMOVE", "DENYLIST_ADD")
        if VERSION >= (2, 4)
        else ("WHITELIST_REMOVE", "GRAYLIST_REMOVE", "CLEARLIST_REMOVE", "BLACKLIST_ADD")
    )
]
SUMMED_IN_BFLOAT16 = ("BiasAddGrad",)  # on processors, where 1,024 ones then make 256


# --- devices ---------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class TensorFlowDevice(OpenedDevice):
    """An opened device with this process's place among the ranks.

    `held` keeps open what must stay so.
    """

    place: Place
    npu_parameters: Parameters = dataclasses.field(default_factory=dict)
    held: Tuple[Any, ...] = ()

    @property
    def iterations_per_loop(self) -> int:
        """Training steps that one run of a session makes on the device."""
        return int(self.npu_parameters.get(LOOP, 1))


def choose_run_device(options: Any, default_modes: Mapping[str, str]) -> RunDevice:
    """What a run computes on, by its options; see devices.choose_run_device."""
    return shared.choose_run_device(
        options,
        default_modes,
        "tensorflow",
        "horovodrun",
        lambda kind: find_tensorflow_place(os.environ, kind, options.device_id),
        capabilities,
    )


def capabilities(kind: str, index: int = 0) -> Capabilities:
    """What precision.resolve needs to know of a device.

    Raises:
        ZooError: TensorFlow can't use that kind of device here; says what to install.
    """
    version = str(tf.__version__)
    if kind == "npu":
        import_npu_bridge()
        name = machine.npu_name()
        return Capabilities(version, name, bfloat16=machine.npu_has_bfloat16(name))
    if kind == "gpu":
        name, details = _gpu(index)
        return Capabilities(version, name, tf32=details.get("compute_capability", (0, 0))[0] >= 8)
    rewriter = tf.ConfigProto().graph_options.rewrite_options
    bfloat16 = (
        hasattr(rewriter, "auto_mixed_precision_onednn_bfloat16")
        and machine.cpu_has_bfloat16()
        and os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1") != "0"
    )
    return Capabilities(version, machine.cpu_name(), bfloat16=bfloat16)


def open_device(
    kind: str,
    place: Place,
    precision: Precision,
    npu_parameters: Optional[Parameters] = None,
    timeout_seconds: float = shared.RENDEZVOUS_SECONDS,
) -> TensorFlowDevice:
    """Makes the device this process's own and joins the job's ranks; call before any session.

    Args:
        kind: "npu", "gpu" or "cpu".
        place: from ranks.find_tensorflow_place; local_rank is the device's number.
        precision: from precision.resolve, for the same kind.
        timeout_seconds: how long to wait for the other ranks.

    Raises:
        ZooError: TensorFlow can't use that device here, or Horovod is missing; says what to
            install.
        InfrastructureError: the port is in use, or the other ranks did not come.
    """
    if precision.device_kind != kind:
        raise ValueError(f"a precision for {precision.device_kind} on {kind}")
    if kind == "npu":
        return _open_npu(place, precision, npu_parameters or {})
    device = _open_gpu(place, precision) if kind == "gpu" else _open_cpu(place, precision)
    if place.world_size > 1:
        device = dataclasses.replace(device, held=tf_horovod.join(place, timeout_seconds))
    return device


def _open_cpu(place: Place, precision: Precision) -> TensorFlowDevice:
    if precision.autocast_dtype == "bfloat16":
        keep_in_float32(SUMMED_IN_BFLOAT16)
    about = (machine.cpu_name(), "", f"{cpu_threads()} threads", FRAMEWORK)
    return TensorFlowDevice("cpu", 0, *about, place)


def cpu_threads(environment: Mapping[str, str] = os.environ) -> int:
    """Threads for one operation: OMP_NUM_THREADS, else the cores this process may use."""
    text = environment.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(text) if text.isdigit() and int(text) > 0 else max(1, len(machine.allowed_cores()))


def _open_gpu(place: Place, precision: Precision) -> TensorFlowDevice:
    name, _ = _gpu(place.local_rank)
    switch = getattr(tf.config.experimental, "enable_tensor_float_32_execution", None)
    if switch is not None:
        switch(precision.tf32)
    elif not precision.tf32:
        # NVIDIA's own builds of 1.15 know only the variable that CUDA's libraries read.
        os.environ["NVIDIA_TF32_OVERRIDE"] = "0"
    told = dict(getattr(tf.sysconfig, "get_build_info", dict)())
    cuda, cudnn = (told.get(name, "of unknown version") for name in _LIBRARIES)
    about = (name, machine.gpu_driver(), f"CUDA {cuda} cuDNN {cudnn}", FRAMEWORK)
    return TensorFlowDevice("gpu", place.local_rank, *about, place)


def _gpus() -> List[Any]:
    return list(tf.config.experimental.list_physical_devices("GPU"))


def _gpu(index: int) -> Tuple[str, Dict[str, Any]]:
    """A GPU's name and what TensorFlow tells of it; ZooError where it is not there."""
    there = _gpus()
    shared.require_device("gpu", index, len(there), FRAMEWORK, tf.test.is_built_with_cuda())
    # TensorFlow 1.15 can't tell.
    ask = getattr(tf.config.experimental, "get_device_details", None)
    details = dict(ask(there[index])) if ask is not None else {}
    names = (*machine.detect().gpu_names, *["GPU"] * len(there))  # as far as they are known
    return str(details.get("device_name") or names[index]), details


# --- NPU -------------------------------------------------------------------------------------


def import_npu_bridge() -> Any:
    """npu_bridge.npu_init as a module: its star import would shadow tf and os."""
    os.environ.setdefault(HF32, "0")
    try:
        import npu_bridge.npu_init as npu_init
    except (ImportError, OSError) as error:
        advice = (
            "install CANN with its TensorFlow plugin and TensorFlow 1.15, source its set_env.sh"
        )
        raise shared.without_plugin("npu_bridge", error, advice) from error
    return npu_init


def _open_npu(place: Place, precision: Precision, parameters: Parameters) -> TensorFlowDevice:
    npu_init = import_npu_bridge()
    runtime = f"CANN {machine.cann_version() or 'of unknown version'}"
    about = (machine.npu_name(), machine.npu_driver(), runtime, f"{FRAMEWORK} npu_bridge")
    device = TensorFlowDevice("npu", place.local_rank, *about, place, parameters)
    if place.world_size == 1:
        return device
    require_known_identity(npu_init)
    try:
        # The first session fixes the options of the whole process, so it gets training's own.
        held = npu_init.init_resource(config=session_config(device, precision))
        if place.numbered_by_hccl:
            place = _as_hccl_numbers(place, npu_init)
    except (tf.errors.OpError, RuntimeError, ValueError) as error:  # HCCL knows no kinds of errors
        raise InfrastructureError(
            f"HCCL does not start: {first_line(error)}; see the other ranks' logs and each rank's "
            "ascend_log"
        ) from error
    return dataclasses.replace(device, place=place, held=("npu", *held))


def _as_hccl_numbers(place: Place, npu_init: Any) -> Place:
    """The place with the rank that HCCL gave it."""
    rank, size = int(npu_init.get_npu_rank_id()), int(npu_init.get_npu_rank_size())
    if size != place.world_size:
        raise InfrastructureError(
            f"HCCL has {size} rank(s) and CM_WORKER_SIZE says {place.world_size}, so separate "
            "networks would be trained; start with zoo launch"
        )
    told = os.environ.get(LAUNCHED_RANK)
    if told is not None and told != str(rank):
        raise InfrastructureError(
            f"HCCL numbers this process {rank} and --node_rank makes it {told}; number the "
            "machines as HCCL does, or give --rank_table"
        )
    return dataclasses.replace(place, rank=rank)


def require_known_identity(npu_init: Any) -> None:
    """Raises ZooError where npu_bridge would take each of several ranks for the only one."""
    if os.environ.get("RANK_SIZE"):
        return
    if not os.environ.get("CM_WORKER_SIZE"):
        raise ZooError(
            "neither RANK_SIZE nor CM_WORKER_SIZE is set, so npu_bridge would train separate "
            "networks; start with zoo launch"
        )
    if not hasattr(npu_init.util, "get_ranksize"):
        raise ZooError(
            "this npu_bridge is older than 1.11 and can't start without a rank table; give "
            "--rank_table (zoo ranktable make writes one)"
        )


def _on_npu(device: TensorFlowDevice, precision: Precision) -> Dict[str, Any]:
    """All parameters of this process's sessions on the NPU; the first session fixes them."""
    parameters: Dict[str, Any] = {
        "use_off_line": True,
        "mix_compile_mode": False,
        "graph_run_mode": 1,
        # Always given: unset would mean float16 on an Ascend 910A.
        "precision_mode": str(precision.npu_precision_mode),
    }
    if os.environ.get("ASCEND_DEVICE_ID") != str(device.index):
        parameters["session_device_id"] = device.index
    if device.place.world_size > 1:
        parameters["hcom_parallel"] = True
    return {**parameters, **device.npu_parameters}


def add_npu_optimizer(config: Any, parameters: Mapping[str, Any]) -> None:
    """Has a session compute on the NPU, with these parameters of NpuOptimizer."""
    rewriter = config.graph_options.rewrite_options
    npu = rewriter.custom_optimizers.add()
    npu.name = "NpuOptimizer"
    for name, value in parameters.items():
        # A value in the wrong field is read as that type's zero, and nobody is told.
        if isinstance(value, bool):
            npu.parameter_map[name].b = value
        elif isinstance(value, int):
            npu.parameter_map[name].i = value
        else:
            npu.parameter_map[name].s = tf.compat.as_bytes(value)
    rewriter.remapping = rewriter.OFF
    rewriter.memory_optimization = rewriter.OFF


# --- sessions --------------------------------------------------------------------------------


def session_config(device: TensorFlowDevice, precision: Precision, on_host: bool = False) -> Any:
    """The tf.ConfigProto of every session of this process.

    Args:
        on_host: for work that must not be on an NPU or GPU.
    """
    config = tf.ConfigProto(allow_soft_placement=True)
    if device.kind == "npu":
        host: Dict[str, Any] = {"use_off_line": False}
        add_npu_optimizer(config, host if on_host else _on_npu(device, precision))
        return config
    if device.kind == "cpu":
        config.intra_op_parallelism_threads = config.inter_op_parallelism_threads = cpu_threads()
    if on_host or device.kind == "cpu":
        config.device_count["GPU"] = 0
    else:
        config.gpu_options.visible_device_list = str(device.index)
        config.gpu_options.allow_growth = True
    # The rewrite that a mode stands for; "off" is said to the others.
    rewriter, asked = config.graph_options.rewrite_options, (device.kind, precision.autocast_dtype)
    for name, wanted in _REWRITES.items():
        if hasattr(rewriter, name):
            setattr(rewriter, name, rewriter.ON if asked == wanted else rewriter.OFF)
    return config


def keep_in_float32(operations: Sequence[str]) -> None:
    """Keeps operations of these types in float32 when a graph is rewritten to a narrower one.

    For the rewrites on GPUs and processors; on an NPU modify_mixlist does it. Call
    before the process's first session: the lists are read once. What the environment gives already
    is added to.
    """
    for name in REWRITE_LISTS:
        known = [entry for entry in os.environ.get(name, "").split(",") if entry]
        os.environ[name] = ",".join(dict.fromkeys([*known, *operations]))


def open_session(device: TensorFlowDevice, precision: Precision, on_host: bool = False) -> Any:
    """A tf.Session on the current default graph, for this device and precision."""
    return tf.Session(config=session_config(device, precision, on_host))


def seed_everything(seed: int) -> None:
    """Seeds whatever gives variables of the default graph their first values; call it first."""
    shared.seed_python_and_numpy(seed)
    with contextlib.suppress(ImportError):
        # Keras 2.9 and later draw initialisers' seeds from a generator of their own.
        import tf_keras

        tf_keras.utils.set_random_seed(seed)
    tf.set_random_seed(seed)


def can_call_the_host(device: TensorFlowDevice) -> bool:
    """Whether Python functions and clocks may be in the graph of a training step."""
    return device.kind != "npu"


def has_slow_gradients(device: TensorFlowDevice) -> bool:
    """Whether convolutions go by TensorFlow 1's own kernels, whose gradients are slow.

    They do on processors, but for builds that have oneDNN (MKL) inside.
    """
    if device.kind != "cpu" or VERSION >= (2,):
        return False
    from tensorflow.python import pywrap_tensorflow

    return not pywrap_tensorflow.IsMklEnabled()


def keep_host_memory() -> None:
    """Lets TensorFlow 1 keep the host memory that tensors leave free; call before any session.

    It gives that back to the system otherwise, and having it cleared again can take a tenth of a
    training step. What the user's environment says of it holds.
    """
    if VERSION < (2,):
        os.environ.setdefault("TF_CPU_ALLOCATOR_USE_BFC", "1")


def looped_on_device(device: TensorFlowDevice, session: Any, train_op: Any) -> Any:
    """The operation that makes iterations_per_loop training steps in one run of the session.

    On an NPU the device itself loops; the operation is then to be fetched in place of train_op, and
    what else is fetched is of the last step. Elsewhere, and for 1, it is train_op.

    Args:
        session: the one that trains, its variables initialised.
    """
    iterations = device.iterations_per_loop
    if device.kind != "npu" or iterations == 1:
        return train_op
    return import_npu_bridge().util.set_iteration_per_loop(session, train_op, iterations)


def memory_peak(device: TensorFlowDevice) -> int:
    """The most memory used so far, in bytes: the accelerator's where it tells, else the host's."""
    if device.kind == "gpu" and hasattr(tf.config.experimental, "get_memory_info"):
        with contextlib.suppress(ValueError, RuntimeError):
            # The only one that this process's sessions see.
            return int(tf.config.experimental.get_memory_info("GPU:0")["peak"])
    return shared.process_memory_peak()
