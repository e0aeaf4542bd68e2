#!/usr/bin/env bash
# Make a virtual environment, install this checkout, and run `pyloader demo [PATH]`: a dump is split, streamed, learned from.
# Usage: scripts/demo.sh [PATH] [--keep DIR]        PATH: your own text or .jsonl; without it, Python's own library
set -euo pipefail
bin=$("$(dirname "${BASH_SOURCE[0]}")/venv" demo)
exec "$bin/pyloader" demo "$@"
