#!/usr/bin/env bash
# Trains to the published accuracy on eight devices.   --data_path=DIR; --help tells the flags
here="$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"
exec bash "$here/../../../scripts/launch" residual_attention_net full_8p "$@"
