#!/usr/bin/env bash
# Trains some steps on one device, for the speed.   --task=object_discovery|set_prediction --data_path=DIR; --help tells the flags
here="$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"
exec bash "$here/../../../scripts/launch" slot_attention_torch performance_1p "$@"
