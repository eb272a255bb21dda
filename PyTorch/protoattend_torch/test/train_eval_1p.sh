#!/usr/bin/env bash
# Measures --checkpoint, or the last run's best weights.   --data_path=DIR; --help tells the flags
here="$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"
exec bash "$here/../../../scripts/launch" protoattend_torch eval_1p "$@"
