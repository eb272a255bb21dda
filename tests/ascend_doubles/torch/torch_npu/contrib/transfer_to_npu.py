"""Double of transfer_to_npu: it only says that it was imported; the product never does."""

import torch
from npu_double import report

torch.transferred_to_npu = True
report.note("transfer_to_npu imported")
