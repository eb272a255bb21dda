#!/usr/bin/env bash
# Trains to the published figures on eight devices.   --data_path=DIR; --help tells the flags
here="$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"
exec bash "$here/../../../scripts/launch" protoattend_torch full_8p "$@"
