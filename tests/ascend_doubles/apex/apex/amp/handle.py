"""amp.scale_loss: the scaled loss, and after its backward pass the unscaled gradients."""

import contextlib

import torch
from npu_double import report
from npu_double.tensors import autocast_to

from apex.amp.scaler import AmpState


@contextlib.contextmanager
def scale_loss(
    loss, optimizers, loss_id=0, model=None, delay_unscale=False, delay_overflow_check=False
):
    """Yields the loss times its scale; the next step() is left out where gradients overflowed."""
    if AmpState.properties is None:
        raise RuntimeError(
            "Invoked 'with amp.scale_loss', but internal Amp state has not been "
            "initialized. model, optimizer = amp.initialize(...) must be called "
            "before 'with amp.scale_loss'."
        )
    scaler = AmpState.scalers[loss_id]
    if not hasattr(optimizers, "_amp_stash"):
        raise RuntimeError("the optimizer did not go through amp.initialize")
    optimizers._amp_stash.make_masters()
    scaler.begin()
    with autocast_to(None):  # without O1's patched functions
        yield loss.float() * scaler.scale
        if delay_unscale:
            return
        _unscale(optimizers, scaler)
        if not delay_overflow_check and scaler.update():
            _skip_once(optimizers, scaler.scale)


@torch.no_grad()
def _unscale(optimizer, scaler):
    stash = optimizer._amp_stash
    masters = {id(master) for _, master in stash.masters}
    plain = [
        weight
        for group in optimizer.param_groups
        for weight in group["params"]
        if id(weight) not in masters and weight.grad is not None
    ]
    halves = [(weight, master) for weight, master in stash.masters if weight.grad is not None]
    scaler.check([weight.grad for weight in plain] + [weight.grad for weight, _ in halves])
    for weight in plain:
        weight.grad.mul_(1.0 / scaler.scale)
    for weight, master in halves:
        unscaled = weight.grad.float() * (1.0 / scaler.scale)
        if master.grad is None:
            master.grad = unscaled
        else:
            master.grad.copy_(unscaled)


def _skip_once(optimizer, scale):
    step = optimizer.step

    def skip(closure=None):
        print(
            f"Gradient overflow.  Skipping step, loss scaler 0 reducing loss scale to {scale}",
            flush=True,
        )
        report.note("step skipped", scale=scale)
        optimizer.step = step

    optimizer.step = skip
