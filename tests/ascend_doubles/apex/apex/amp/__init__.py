"""Double of Ascend's apex.amp: the order of calls, and a static scale that is never checked."""

from apex.amp.handle import scale_loss  # noqa: F401
from apex.amp.initialisation import (  # noqa: F401
    initialize,
    load_state_dict,
    master_params,
    state_dict,
)
