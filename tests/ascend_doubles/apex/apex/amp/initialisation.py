"""amp.initialize, its state, and the master weights of O2."""

import torch
from npu_double import report
from npu_double.tensors import State, is_npu_tensor, mark
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from apex.amp.scaler import AmpState, LossScaler

_LEVELS = {"O0": 1.0, "O1": "dynamic", "O2": "dynamic", "O3": 1.0}


class Stash:
    """What amp keeps on an optimizer."""

    def __init__(self, opt_level, optimizer):
        self.opt_level, self.masters, self.optimizer = opt_level, None, optimizer

    def make_masters(self):
        """float32 copies of float16 parameters, at the first scale_loss."""
        if self.masters is not None:
            return
        self.masters = []
        optimizer = self.optimizer
        for group in optimizer.param_groups:
            for number, weight in enumerate(group["params"]):
                if weight.dtype != torch.float16:
                    continue
                master = mark(nn.Parameter(weight.detach().float().cpu()))
                group["params"][number] = master
                self.masters.append((weight, master))
                if weight in optimizer.state:
                    optimizer.state[master] = optimizer.state.pop(weight)
        if self.masters:
            # Casts the state to the masters' type.
            torch.optim.Optimizer.load_state_dict(optimizer, optimizer.state_dict())


def initialize(
    models,
    optimizers=None,
    enabled=True,
    opt_level="O1",
    cast_model_type=None,
    patch_torch_functions=None,
    keep_batchnorm_fp32=None,
    master_weights=None,
    loss_scale=None,
    cast_model_outputs=None,
    num_losses=1,
    verbosity=1,
    dynamic_init_scale=2.0**16,
    scale_growth_factor=2.0,
    scale_backoff_factor=0.5,
    scale_window=2000,
    min_loss_scale=None,
    max_loss_scale=2.0**24,
    combine_grad=None,
    combine_ddp=None,
    ddp_replica_count=4,
    user_cast_preferred=None,
    check_combined_tensors=None,
):
    """Prepares models and optimizers; once, on the NPU, in float32, before DDP."""
    if not enabled:
        return models if optimizers is None else (models, optimizers)
    if opt_level not in _LEVELS:
        raise RuntimeError(f"Unexpected optimization level {opt_level}.")
    if AmpState.properties is not None:
        raise RuntimeError("amp.initialize was called a second time")
    scale = _checked_scale(_LEVELS[opt_level] if loss_scale is None else loss_scale)
    _check_model(models)
    AmpState.properties = opt_level
    report.note("amp.initialize", opt_level=opt_level, loss_scale=scale)
    limits = (min_loss_scale, max_loss_scale)
    settings = (dynamic_init_scale, scale_growth_factor, scale_backoff_factor, scale_window)
    AmpState.scalers = [LossScaler(scale, *settings, *limits) for _ in range(num_losses)]
    _cast(models, opt_level, keep_batchnorm_fp32)
    if optimizers is None:
        return models
    _prepare(optimizers, opt_level)
    return models, optimizers


def _checked_scale(loss_scale):
    if isinstance(loss_scale, str) and loss_scale != "dynamic":
        raise ValueError(f"loss_scale must be a number or the string 'dynamic', not {loss_scale!r}")
    return loss_scale if loss_scale == "dynamic" else float(loss_scale)


def _check_model(model):
    if isinstance(model, DistributedDataParallel):
        raise RuntimeError(
            "Incoming model is an instance of DistributedDataParallel. Parallel "
            "wrappers should only be applied to the model(s) AFTER the model(s) "
            "have been returned from amp.initialize."
        )
    for name, weight in model.named_parameters():
        if not is_npu_tensor(weight):
            raise RuntimeError(
                f"Found param {name} on the CPU; move the model to the NPU before amp.initialize"
            )
        if weight.is_floating_point() and weight.dtype != torch.float32:
            raise RuntimeError(
                f"Found param {name} with type {weight.dtype}, expected float32; don't "
                "call .half() "
                "before amp.initialize"
            )


def _cast(model, opt_level, keep_batchnorm_fp32):
    if opt_level == "O1":
        # Its patched functions stay for good: the white list in float16, the black in float32.
        State.autocast_dtype = torch.float16
    if opt_level not in ("O2", "O3"):
        return
    keep = opt_level == "O2" if keep_batchnorm_fp32 is None else keep_batchnorm_fp32
    for module in model.modules():
        if not (keep and isinstance(module, nn.modules.batchnorm._BatchNorm)):
            for weight in module._parameters.values():
                if weight is not None:
                    weight.data = weight.data.half()
    forward = model.forward

    def cast_forward(*arguments, **named):
        outputs = forward(*_to(arguments, torch.float16), **_to(named, torch.float16))
        return _to(outputs, torch.float32)

    model.forward = cast_forward
    if opt_level == "O2":
        model._register_state_dict_hook(_in_float32)


def _in_float32(module, state, prefix, local_metadata):
    for name, value in state.items():
        if value.dtype == torch.float16:
            state[name] = value.float()
    return state


def _to(value, dtype):
    if isinstance(value, torch.Tensor):
        return value.to(dtype) if value.is_floating_point() else value
    if isinstance(value, dict):
        return {name: _to(part, dtype) for name, part in value.items()}
    if isinstance(value, (tuple, list)):
        return type(value)(_to(part, dtype) for part in value)
    return value


def _prepare(optimizer, opt_level):
    if hasattr(optimizer, "_amp_stash"):
        raise RuntimeError("A given optimizer should only be passed through amp.initialize once.")
    stash = optimizer._amp_stash = Stash(opt_level, optimizer)
    if opt_level != "O2":
        return
    step, zero_grad = optimizer.step, optimizer.zero_grad

    def step_and_copy(closure=None):
        stash.make_masters()
        result = step()
        with torch.no_grad():
            for weight, master in stash.masters:
                weight.copy_(master)
        return result

    def zero_all(set_to_none=False):
        stash.make_masters()
        zero_grad(set_to_none)
        for weight, _ in stash.masters:
            if weight.grad is not None:
                weight.grad.zero_()

    optimizer.step, optimizer.zero_grad = step_and_copy, zero_all


def master_params(optimizer):
    """The parameters that the optimizer steps."""
    for group in optimizer.param_groups:
        yield from group["params"]


def state_dict():
    """The scales, as NVIDIA's apex gives them."""
    return {
        f"loss_scaler{number}": {"loss_scale": scaler.scale, "unskipped": scaler.unskipped}
        for number, scaler in enumerate(AmpState.scalers)
    }


def load_state_dict(state):
    """Restores them."""
    for number, scaler in enumerate(AmpState.scalers):
        part = state[f"loss_scaler{number}"]
        scaler.scale, scaler.unskipped = part["loss_scale"], part["unskipped"]
