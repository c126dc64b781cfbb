#!/bin/sh
# Make .venv and install this package, editable, with all it needs; where that is done already, do nothing.
#
#   sh tools/setup_env.sh [EXTRA]         with the packages of that extra of setup.cfg
#   sh tools/setup_env.sh --find-python   print the Python that .venv would be made from
#
# Needs a Python and the package index, nothing else: no compiler, no Java, no root.
# uv is used where it runs or can be installed, since it takes seconds where pip takes minutes.
set -eu
CDPATH='' cd -- "$(dirname -- "$0")/.."
trap 'exit 130' INT

fail() {
    printf 'setup: %s\n' "$*" >&2
    exit 1
}

# Print the path of interpreter $1 if it is new enough. Only running it tells:
# pyenv has a shim for every version that any of its environments has, and most of them fail.
python_at() {
    "$1" -c 'import sys; sys.version_info < (3, 12) and sys.exit(1); print(sys.executable)' 2>/dev/null </dev/null
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        python_at "$PYTHON" && return
        version=$("$PYTHON" -V 2>&1 </dev/null) || fail "PYTHON=$PYTHON does not run. Name a Python 3.12 or newer."
        fail "PYTHON=$PYTHON is $version. Name a Python 3.12 or newer."
    fi
    for minor in 14 13 12; do
        python_at "python3.$minor" && return
    done
    for minor in 14 13 12; do
        for python in "${PYENV_ROOT:-${HOME:-}/.pyenv}/versions/3.$minor".*[0-9]/bin/python; do
            python_at "$python" && return
        done
    done
    python_at python3 && return
    fail "no Python 3.12 or newer found: not python3.14 to python3.12 nor python3 on the PATH, not among pyenv's versions." \
        "Install one, or name one: make ... PYTHON=/path/to/python3.12"
}

# .venv/unfinished is there while .venv is made, and becomes .venv/made-in, which holds the folder:
# the scripts in a .venv that was moved point to where it was. A .venv without either is somebody's own, and welcome.
venv_is_usable() {
    [ ! -e .venv/unfinished ] && python_at .venv/bin/python >/dev/null &&
        [ "$(cat .venv/made-in 2>/dev/null || pwd)" = "$(pwd)" ]
}

make_venv() {
    python=$(find_python)
    echo "setup: making .venv from $python"
    rm -rf .venv
    mkdir .venv
    pwd >.venv/unfinished
    "$python" -m venv .venv || uv venv --allow-existing --python "$python" .venv ||
        fail "$python cannot make a virtual environment. Install its venv module (Debian, Ubuntu: python3-venv) or uv," \
            "or name another Python: make ... PYTHON=/path/to/python3.12"
    mv .venv/unfinished .venv/made-in
}

# Print the uv to use; fail where there is none and none can be installed.
find_uv() {
    for uv in uv .venv/bin/uv; do
        "$uv" --version >/dev/null 2>&1 && echo "$uv" && return
    done
    .venv/bin/python -m pip install --quiet uv >&2 && echo .venv/bin/uv
}

install() {
    if uv=$(find_uv) && "$uv" pip install --python .venv/bin/python --editable "$1"; then
        return
    fi
    echo "setup: uv did not do it, pip is next: this takes minutes" >&2
    .venv/bin/python -m pip install --editable "$1"
}

# A stamp is a copy of what an installation was made from, written when it is complete.
declared() {
    cat setup.cfg pyproject.toml
}

case ${1:-} in
--find-python) find_python && exit ;;
-*) fail "usage: sh tools/setup_env.sh [EXTRA | --find-python]" ;;
esac
extra=${1:-}
venv_is_usable || make_venv
if [ "$(declared)" != "$(cat ".venv/installed${extra:+-$extra}" 2>/dev/null)" ]; then
    echo "setup: installing splade-lucene${extra:+[$extra]} into .venv"
    install ".${extra:+[$extra]}" || fail "the installation failed; the lines above say why. Run the same again to go on."
    declared >.venv/installed
    [ -z "$extra" ] || declared >".venv/installed-$extra"
fi
