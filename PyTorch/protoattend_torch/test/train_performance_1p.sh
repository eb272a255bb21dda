#!/usr/bin/env bash
# Trains some steps on one device, for the speed.   --data_path=DIR; --help tells the flags
here="$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"
exec bash "$here/../../../scripts/launch" protoattend_torch performance_1p "$@"
