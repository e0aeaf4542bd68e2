#!/usr/bin/env bash
# Make a virtual environment, install this checkout with what its tests need, and run them.
# Usage: scripts/test.sh [all] [PYTEST OPTION...]        all: the tests that need a framework, too
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [[ ${1:-} == all ]]; then
    shift
    bin=$(scripts/venv frameworks '[test,polars,hf]' torch==2.13.0 jax flax optax orbax-checkpoint scikit-learn cyreal==0.2.1)
    exec "$bin/python" -m pytest -q "$@"
fi
bin=$(scripts/venv test '[test]')
exec "$bin/python" -m pytest -q -m "not frameworks" "$@"
