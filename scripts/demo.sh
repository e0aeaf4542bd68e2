#!/usr/bin/env bash
# Make a virtual environment, install this checkout, and run `pyloader demo [PATH]`: a dump is split, streamed, learned from.
# Usage: scripts/demo.sh [PATH] [--keep DIR]        PATH: your own text or .jsonl; without it, Python's own library
set -euo pipefail
bin=$("$(dirname "${BASH_SOURCE[0]}")/venv" demo)
export OPENBLAS_NUM_THREADS=${OPENBLAS_NUM_THREADS:-1} # on a busy machine several of them mostly wait for each other
exec "$bin/pyloader" demo "$@"
