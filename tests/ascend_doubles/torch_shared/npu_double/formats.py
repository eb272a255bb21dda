"""The chip's own memory formats, by their numbers."""

from torch import nn

from npu_double.options import options
from npu_double.tensors import NpuTensor

NCHW, ND, NC1HWC0, FRACTAL_Z, FRACTAL_NZ = 0, 2, 3, 4, 29
KNOWN = (NCHW, ND, NC1HWC0, FRACTAL_Z, FRACTAL_NZ)


def lay_out(module):
    """Gives the parameters of a layer the formats that .to("npu") does on jit-compiling chips."""
    if not options.compiles_by_shape():
        return
    if isinstance(module, nn.modules.batchnorm._BatchNorm):
        for weight in module._parameters.values():
            if weight is not None:
                weight._npu_format = NC1HWC0
    elif isinstance(module, nn.Conv2d) and module.groups == 1:
        module.weight._npu_format = FRACTAL_Z
    elif isinstance(module, nn.Linear) and options.values.get("MM_BMM_ND_ENABLE") == "disable":
        module.weight._npu_format = FRACTAL_NZ


def get_npu_format(value):
    """The format's number; a copy that state_dict or .cpu() makes is a plain one again."""
    if not isinstance(value, NpuTensor):
        raise RuntimeError(
            "Expected npu tensor, please check whether the input tensor device is correct."
        )
    return value.__dict__.get("_npu_format", NCHW if value.dim() == 4 else ND)


def npu_format_cast(value, acl_format):
    """The same values in another format."""
    if acl_format not in KNOWN:
        raise RuntimeError(f"there is no format {acl_format}")
    get_npu_format(value)
    result = value.clone()
    result._npu_format = acl_format
    return result
