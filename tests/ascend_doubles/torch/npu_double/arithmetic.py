"""Numbers as the 910A computes them: float16 with its overflow flag."""

import torch

PRECISION, ALLOW_FP16 = "ACL_PRECISION_MODE", "allow_fp32_to_fp16"
options = {PRECISION: ALLOW_FP16}  # the 910A's default: float16 inside an operator

LARGEST_HALF = 65504.0


class Overflow:
    """The float-status register: set where a float16 value was too large."""

    flag = False


def to_half(values):
    """float32 to float16 as the chip does it, saturated; without a gradient."""
    if not bool((values.abs() <= LARGEST_HALF).all()):
        Overflow.flag = True
        values = values.clamp(-LARGEST_HALF, LARGEST_HALF)
    return values.half()


def overflowed(gradients):
    """Whether the register or a gradient tells of an overflow."""
    return Overflow.flag or not all(bool(torch.isfinite(one).all()) for one in gradients)


class ToHalf(torch.autograd.Function):
    """float32 to float16, and the gradient back."""

    @staticmethod
    def forward(context, values):
        return to_half(values)

    @staticmethod
    def backward(context, gradient):
        return gradient.float()


class ToFloat(torch.autograd.Function):
    """float16 to float32, and the gradient back, which may overflow."""

    @staticmethod
    def forward(context, values):
        return values.float()

    @staticmethod
    def backward(context, gradient):
        return to_half(gradient)


class ReadAsHalf(torch.autograd.Function):
    """A float32 input of a matrix operation, read in float16."""

    @staticmethod
    def forward(context, values):
        return to_half(values).float()

    @staticmethod
    def backward(context, gradient):
        return gradient


class GradientReadAsHalf(torch.autograd.Function):
    """A float32 result whose gradient the matrix operation reads in float16."""

    @staticmethod
    def forward(context, values):
        return values.clone()

    @staticmethod
    def backward(context, gradient):
        return to_half(gradient).float()
