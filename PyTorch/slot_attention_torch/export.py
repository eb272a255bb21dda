"""Writes a network for other programs: python -m slot_attention_torch.export --help."""

from common.core.command_line import run_program
from common.training.export_program import export_program

main = export_program("slot_attention_torch", "torch", "ONNX and TorchScript")

if __name__ == "__main__":
    run_program(main)
