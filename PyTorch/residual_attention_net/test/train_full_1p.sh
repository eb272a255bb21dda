#!/usr/bin/env bash
# Trains to the published accuracy on one device.   --data_path=DIR; --help tells the flags
here="$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"
exec bash "$here/../../../scripts/launch" residual_attention_net full_1p "$@"
