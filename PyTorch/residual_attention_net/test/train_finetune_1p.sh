#!/usr/bin/env bash
# Trains on from --pth_path with a new head, on one device.   --data_path=DIR; --help tells the flags
here="$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"
exec bash "$here/../../../scripts/launch" residual_attention_net finetune_1p "$@"
