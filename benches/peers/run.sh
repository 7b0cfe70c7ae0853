#!/usr/bin/env bash
# `headwater view` beside DuckDB and pysof on one Observation view: whole processes, file to NDJSON, one thread each.
#   benches/peers/run.sh [FILE.ndjson[.gz]]     default: the Observations below $HEADWATER_SHARED, repeated to ~86 MB
# Installs the two peers into target/peers; where that cannot be done it says so and leaves.
set -euo pipefail
cd "$(dirname "$0")/../.."

home="${PEERS_HOME:-target/peers}"
python="$home/bin/python"
skip() {
    echo "skipped: $1"
    exit 0
}

command -v python3 >/dev/null || skip "no python3"
[ -x "$python" ] || python3 -m venv "$home" 2>/dev/null || skip "python3 cannot make a virtual environment"
"$python" -c 'import duckdb, pysof' 2>/dev/null ||
    "$python" -m pip install --quiet --disable-pip-version-check duckdb==1.3.2 pysof==0.2.6 ||
    skip "duckdb and pysof cannot be installed: no network, or no wheel for this machine"
# pysof's wheel brings libraries that want a newer glibc than many systems have: theirs are taken instead.
mend() {
    local libs library own
    libs="$("$python" -c 'import os, sysconfig; print(os.path.join(sysconfig.get_path("platlib"), "pysof.libs"))')"
    for library in "$libs"/*.so.*; do
        own="$(ldconfig -p | awk -v name="$(basename "$library" | sed -E 's/-[0-9a-f]+(\.so)/\1/')" '$1 == name { print $NF; exit }')"
        [ -z "$own" ] || ln -sf "$own" "$library"
    done
}
loads() { "$python" -c 'import pysof._pysof' 2>/dev/null; }
loads || mend
loads || skip "pysof cannot be loaded on this machine"

binary="${HEADWATER_BINARY:-target/release/headwater}"
[ -n "${HEADWATER_BINARY:-}" ] || cargo build --release --bin headwater
"$python" benches/peers/race.py --binary "$binary" "$@"
