"""Numbers as the chip computes them: float16 with its overflow flag, HF32."""

import torch

from npu_double import machine

LARGEST_HALF = 65504.0
_ROUNDED_BITS_OF_HF32 = 12


class Overflow:
    """The float-status register: set where a float16 value was too large (before 910B1)."""

    flag = False


def saturated(values):
    """float32 within float16's range; notes the overflow where the chip has the register.

    A chip since 910B1 lets an overflow become inf instead.
    """
    if machine.is_910b1_or_later():
        return values
    if not bool((values.abs() <= LARGEST_HALF).all()):
        Overflow.flag = True
        return values.clamp(-LARGEST_HALF, LARGEST_HALF)
    return values


def to_half(values):
    """float32 to float16 as the chip does it; without a gradient."""
    return saturated(values).half()


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


def in_hf32(values):
    """float32 with 11 bits of mantissa."""
    half = 1 << (_ROUNDED_BITS_OF_HF32 - 1)
    words = (values.detach().contiguous().view(torch.int32) + half) >> _ROUNDED_BITS_OF_HF32
    return (words << _ROUNDED_BITS_OF_HF32).view(torch.float32)


class ReadAsHf32(torch.autograd.Function):
    """A float32 input of a matrix operation, read in HF32."""

    @staticmethod
    def forward(context, values):
        return in_hf32(values)

    @staticmethod
    def backward(context, gradient):
        return gradient
