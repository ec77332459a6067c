#!/usr/bin/env bash
# Installs the lowest versions that pyproject.toml admits and runs a smoke test with them: `make lowest`.
# The lowest torch comes with its CUDA libraries, some gigabytes; TORCH=2.13.0 tries another version.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
venv=.venv-lowest
"${PYTHON:-python3}" -m venv --clear "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check uv
"$venv/bin/uv" pip compile --quiet --no-header --no-annotate --resolution lowest-direct \
    --python "$venv/bin/python" --extra store --extra plot --extra parquet --extra odb pyproject.toml \
    > "$venv/lowest.txt"
if [ -n "${TORCH:-}" ]; then
    sed -i "/^nvidia-\|^triton=\|^torch=/d" "$venv/lowest.txt"
    echo "torch==$TORCH" >> "$venv/lowest.txt"
fi
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    --requirement "$venv/lowest.txt" --editable . pytest pytest-xdist hypothesis scipy
# NumPy itself ignores this warning of older binaries, but pytest makes it an error.
OMP_NUM_THREADS=1 "$venv/bin/python" -m pytest -n 2 -W "ignore:numpy.ndarray size changed" \
    tests/cli tests/formats tests/test_assimilation.py --deselect \
    tests/formats/gridded/test_analysis.py::test_compliance_checker_finds_nothing
