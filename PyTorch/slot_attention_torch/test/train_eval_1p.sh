#!/usr/bin/env bash
# Measures --checkpoint_dir, or the last run's best weights.   --task=object_discovery|set_prediction --data_path=DIR; --help tells the flags
here="$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"
exec bash "$here/../../../scripts/launch" slot_attention_torch eval_1p "$@"
