"""Residual Attention Network (Wang et al., CVPR 2017), known upstream as 3d_attention_net."""
