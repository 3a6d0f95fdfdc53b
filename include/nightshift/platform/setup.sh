#!/bin/sh
# Makes .venv from the locked requirements; `make setup` runs it from the root of the project.
set -eu

fits='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'

choose_python() {
    if [ -n "${PYTHON:-}" ]; then set -- "$PYTHON"; else set -- python3.12 python3.11 python3.13 python3; fi
    for candidate in "$@"; do
        # A name on the PATH is not enough: version managers leave names that run nothing.
        "$candidate" -c "$fits" 2>/dev/null || continue
        fitting=$candidate
        if "$candidate" -c 'import venv, ensurepip' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    if [ -n "${fitting:-}" ]; then
        echo "$fitting cannot make virtual environments: it has no ensurepip." >&2
        echo "On Debian and Ubuntu: apt-get install python3-venv (or python3.12-venv, like the version)." >&2
    else
        echo "no Python 3.11, 3.12 or 3.13 found${PYTHON:+ (PYTHON is $PYTHON)}." >&2
        echo "Install one, or name one: PYTHON=/path/to/python3.12 make setup" >&2
    fi
    exit 1
}

if ! .venv/bin/python -c "$fits" 2>/dev/null; then
    python=$(choose_python)
    echo "making .venv with $("$python" --version)"
    rm -rf .venv
    "$python" -m venv .venv
fi

# uv is one of the locked requirements: its lines, with their hashes, are enough to install it first.
lock=.venv/uv-requirements.txt
awk '/^uv==/ { on = 1 } on { print } on && !/\\$/ { exit }' requirements.txt >"$lock"
wanted=$(sed -n 's/^uv==\([^ ]*\).*/uv \1/p' "$lock")
case "$(.venv/bin/uv --version 2>/dev/null || true) " in
"$wanted "*) ;;
*) .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r "$lock" ;;
esac

echo "installing the locked requirements"
.venv/bin/uv pip sync --quiet --python .venv/bin/python --compile-bytecode requirements.txt
.venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps --build-constraints requirements-build.txt --editable .

echo "preparing Spark's class archive"
.venv/bin/python -m nightshift.spark_local archive || echo "Spark will start without it, some seconds slower"
