#!/usr/bin/env bash
# Measures the accuracy of --pth_path, or of the last run's best weights.   --data_path=DIR; --help tells the flags
here="$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"
exec bash "$here/../../../scripts/launch" residual_attention_net eval_1p "$@"
