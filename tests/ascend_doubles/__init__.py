"""Contract doubles of the Ascend software: test code, which no product module imports.

They compute on the CPU, with the real TensorFlow or torch underneath, and keep the rules by which
the real packages judge a program. Nothing that they produce is a result of an NPU.
"""
