#!/usr/bin/env bash
# Trains a few epochs on one device, for the speed.   --data_path=DIR; --help tells the flags
here="$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"
exec bash "$here/../../../scripts/launch" residual_attention_net performance_1p "$@"
