#!/usr/bin/env bash
# Trains some steps on eight devices, for the speed.   --task=object_discovery|set_prediction --data_path=DIR; --help tells the flags
here="$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"
exec bash "$here/../../../scripts/launch" slot_attention_torch performance_8p "$@"
