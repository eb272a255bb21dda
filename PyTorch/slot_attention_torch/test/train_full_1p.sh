#!/usr/bin/env bash
# Trains to the published figures on one device.   --task=object_discovery|set_prediction --data_path=DIR; --help tells the flags
here="$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"
exec bash "$here/../../../scripts/launch" slot_attention_torch full_1p "$@"
