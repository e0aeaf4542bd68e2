#!/usr/bin/env bash
# Make a virtual environment, install this checkout with what its tests need, and run them.
# Usage: scripts/test.sh [all] [PYTEST OPTION...]        all: the tests that need a framework, too
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [[ ${1:-} == all ]]; then
    shift
    packages=(torch==2.13.0 torchdata jax flax optax orbax-checkpoint tensorflow-cpu scikit-learn cyreal==0.2.1)
    packages+=(gymnax==1.0.1 loadax==0.2.1 loaderx==0.1.7) # what the pages of docs/coming-from-*.md come from
    packages+=(lightning accelerate transformers) # the recipes of docs/torch.md
    bin=$(scripts/venv frameworks '[test,polars,hf]' "${packages[@]}")
    exec "$bin/python" -m pytest -q "$@"
fi
bin=$(scripts/venv test '[test]')
exec "$bin/python" -m pytest -q -m "not frameworks" "$@"
