"""One Observation view by `headwater view`, by hand-written SQL in DuckDB and by pysof, side by side.

Each round is a process of its own, file to NDJSON, one thread; they take turns, so that a noisy machine is noisy for all.
Told are the medians of five: rows and MB for each second of processor time (user and system, by wait4), and the peak
memory. The rows of all must agree, value for value, in any order.
"""

import argparse
import glob
import gzip
import json
import os
import statistics
import subprocess
import sys
import tempfile
from decimal import Decimal

HERE = os.path.dirname(os.path.abspath(__file__))
VIEW = os.path.join(HERE, "observation.view.json")
WANTED_BYTES = 86_000_000
ROUNDS = 5
# What pysof takes for the whole file would be minutes: it gets the first lines of it.
PYSOF_LINES = 10_000

DUCKDB = r"""
import sys, duckdb
source, target = sys.argv[1:3]
db = duckdb.connect(config={"threads": 1})
db.execute('''
    COPY (
        SELECT id, subject.reference AS subject, status, effectiveDateTime AS effective,
               valueQuantity.value AS value, valueQuantity.unit AS unit,
               c.system AS system, c.code AS code, c.display AS display
        FROM (SELECT *, unnest(code.coding) AS c
              FROM read_json(?, format = 'newline_delimited', maximum_object_size = 67108864, columns = {
                  id: 'VARCHAR', subject: 'STRUCT(reference VARCHAR)', status: 'VARCHAR', effectiveDateTime: 'VARCHAR',
                  valueQuantity: 'STRUCT(value DOUBLE, unit VARCHAR)',
                  code: 'STRUCT(coding STRUCT(system VARCHAR, code VARCHAR, display VARCHAR)[])'}))
    ) TO '%s' (FORMAT json)
''' % target.replace("'", "''"), [source])
"""

PYSOF = r"""
import json, sys, pysof
source, target, view = sys.argv[1:4]
with open(view) as file:
    pysof.process_ndjson_to_file(json.load(file), source, target, "ndjson")
"""

COLUMNS = ["id", "subject", "status", "effective", "value", "unit", "system", "code", "display"]


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--binary", required=True)
    options.add_argument("file", nargs="?")
    options = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = os.path.join(folder, "Observation.ndjson")
        lines = write_source(options.file, source)
        if lines == 0:
            print("skipped: no Observations; name a file, or set HEADWATER_SHARED")
            return
        race(options.binary, folder, source, lines)


def write_source(name, target):
    """The Observations of the file, or of the Synthea files, again and again up to the wanted size; how many there are."""
    shared = os.environ.get("HEADWATER_SHARED", os.path.join(HERE, "../../../shared"))
    names = [name] if name else sorted(glob.glob(os.path.join(shared, "data/synthea/*/Observation.ndjson.gz")))
    lines = []
    for name in names:
        with gzip.open(name, "rb") if name.endswith(".gz") else open(name, "rb") as file:
            lines.extend(line for line in file if line.strip())
    if not lines:
        return 0
    size = written = 0
    with open(target, "wb") as out:
        while size < WANTED_BYTES:
            for line in lines:
                if size >= WANTED_BYTES:
                    break
                line = line.rstrip(b"\r\n") + b"\n"
                out.write(line)
                size += len(line)
                written += 1
    return written


def race(binary, folder, source, lines):
    short = os.path.join(folder, "short.ndjson")
    with open(source, "rb") as file, open(short, "wb") as out:
        for _, line in zip(range(PYSOF_LINES), file):
            out.write(line)
    out = lambda name: os.path.join(folder, name)
    runners = {
        "headwater view": (source, [binary, "view", VIEW, source], out("headwater")),
        "DuckDB, SQL by hand": (source, [sys.executable, "-c", DUCKDB, source, out("duckdb")], out("duckdb")),
        "pysof, first lines": (short, [sys.executable, "-c", PYSOF, short, out("pysof"), VIEW], out("pysof")),
    }
    spent = {name: [] for name in runners}
    for _ in range(ROUNDS):
        for name, (_, command, target) in runners.items():
            spent[name].append(run(command, target))
    expected = rows(out("headwater"))
    assert expected == rows(out("duckdb")), "headwater and DuckDB differ"
    run([binary, "view", VIEW, short], out("headwater-short"))
    assert rows(out("headwater-short")) == rows(out("pysof")), "headwater and pysof differ"
    print(f"{lines} Observations, {os.path.getsize(source) / 1e6:.1f} MB, {len(expected)} rows; all agree row for row")
    print(f"{'':<24}{'rows/CPU s':>12}{'MB/CPU s':>10}{'peak MiB':>10}")
    for name, (read, _, target) in runners.items():
        seconds = statistics.median(seconds for seconds, _ in spent[name])
        peak = max(peak for _, peak in spent[name])
        count = sum(1 for _ in open(target, "rb"))
        print(f"{name:<24}{count / seconds:>12,.0f}{os.path.getsize(read) / 1e6 / seconds:>10.1f}{peak / 1024:>10.0f}")


def run(command, target):
    """Processor seconds and peak KiB of the command; what it says on stdout goes to `target` unless it writes there."""
    writes_itself = target in command
    with open(os.devnull if writes_itself else target, "wb") as out:
        process = subprocess.Popen(command, stdout=out, env={**os.environ, "RAYON_NUM_THREADS": "1"})
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{command[0]} left with {process.returncode}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss


def rows(name):
    """All rows, sorted: numbers by value, absent columns as null."""
    found = []
    with open(name, "rb") as file:
        for line in file:
            row = json.loads(line, parse_float=Decimal, parse_int=Decimal)
            value = row.get("value")
            row["value"] = None if value is None else str(Decimal(value).normalize())
            found.append(json.dumps([row.get(column) for column in COLUMNS]))
    return sorted(found)


if __name__ == "__main__":
    main()
