#!/bin/sh
# Makes the environment in the folder $1 from requirements.lock. Safe to run again.
set -eu
venv=$1
python=${PYTHON:-python3}

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "Linnet needs Python 3.11 or newer, and $python is $("$python" --version 2>&1)." >&2
    echo "Remedy: install it, or name it: make PYTHON=python3.11 ..." >&2
    exit 1
}
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv" || {
    echo "Remedy: install the venv module (Debian, Ubuntu: apt install python3-venv)." >&2
    exit 1
}

# On Linux the plain torch wheel brings gigabytes of CUDA. Without an NVIDIA GPU, take the CPU
# build from PyTorch's own index where it can be reached; TORCH_INDEX names another one.
index=${TORCH_INDEX:-}
cpu=https://download.pytorch.org/whl/cpu
if [ -z "$index" ] && ! command -v nvidia-smi >/dev/null 2>&1 &&
    "$python" -c "import urllib.request as u; u.urlopen('$cpu/torch/', timeout=3)" 2>/dev/null; then
    index=$cpu
fi

echo "Installing the pinned packages into $venv (a few minutes the first time) ..."
# pip is silent while it downloads: a line every 20 seconds says how far it is.
pip() {
    (while sleep 20 && kill -0 $$ 2>/dev/null; do
        echo "  ... $(find "$venv/lib" -maxdepth 3 -name "*.dist-info" | wc -l) packages so far"
    done) &
    beat=$! status=0
    "$venv/bin/python" -m pip --quiet --disable-pip-version-check install "$@" || status=$?
    kill "$beat" 2>/dev/null || true
    return "$status"
}
# torch comes with its dependencies, because those of the CUDA build differ from machine to machine;
# torchvision comes from the same index, because it is built against one of the two.
pip ${index:+--extra-index-url "$index"} -c requirements.lock torch torchvision
# Everything else is listed in full: nothing is resolved, so two machines get the same versions.
pip --no-deps -r requirements.lock
pip --no-deps --no-build-isolation -e .
# Compiled once here: every step is a new process, and would pay for it again.
"$venv/bin/python" -m compileall -q -j 0 "$venv/lib" linnet components >/dev/null 2>&1 || true
