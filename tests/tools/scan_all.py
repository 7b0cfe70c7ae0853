"""Makes rows and scans them: every model under every policy, from generated patients and from folders of real exports.

    scan_all.py --headwater target/release/headwater --work DIR [--patients 10000] [--data NDJSON_DIR…] [--vocabulary ATHENA_DIR]
                [--planted 200] [--report FILE]

For each source it plants canaries, maps the rows without de-identification (policy and guard off: the control, of which the scanner must find what
was planted) and under each policy (of which it must find nothing). Prints one JSON object; exit code 0 if both hold, else 4.
Models that look codes up are left out without `--vocabulary`.
"""

import argparse
import json
import os
import pathlib
import secrets
import shutil
import subprocess
import sys

import scan

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
POLICIES = ["safe-harbor", "limited-data-set"]
# The control finds at least this share of the canaries that reached the rows.
LEAST_CAUGHT = 0.99


def run(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode not in (0, 4):
        # A tool's own words; none of ours has a value in it.
        raise SystemExit(f"{command[0]} {command[1]}: exit code {done.returncode}\n{done.stderr[-2000:]}")
    return done


def main():
    parser = argparse.ArgumentParser(description="Makes rows of every model and policy and scans them.")
    parser.add_argument("--headwater", required=True, type=pathlib.Path)
    parser.add_argument("--work", required=True, type=pathlib.Path, help="an empty or new folder for rows; they are removed behind each scan")
    parser.add_argument("--patients", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=9)
    parser.add_argument("--data", nargs="*", default=[], type=pathlib.Path, help="folders of NDJSON besides the generated patients")
    parser.add_argument("--vocabulary", type=pathlib.Path, help="folder with Athena's CSV files")
    parser.add_argument("--planted", type=int, default=200, help="patients with canaries, of each source")
    parser.add_argument("--report", type=pathlib.Path)
    args = parser.parse_args()
    work = args.work
    work.mkdir(parents=True, exist_ok=True)
    keys = work / "keys"
    keys.mkdir(mode=0o700)
    file = os.open(keys / "pseudonym.key", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(file, "w", encoding="ascii") as key:
        key.write(secrets.token_hex(32) + "\n")
    generated = work / "generated"
    run(args.headwater, "generate", "--patients", args.patients, "--seed", args.seed, "--out", generated)
    models = {"ibd-registry": [], "pcornet-7.0": []}
    if args.vocabulary:
        models["omop-5.4"] = ["--vocabulary", args.vocabulary]
    scans, controls = [], []
    library = scan.Library()
    for number, source in enumerate([generated, *args.data]):
        name = "generated" if number == 0 else source.name
        planted, canaries = work / f"planted-{number}", work / f"canaries-{number}.jsonl"
        run(sys.executable, HERE / "plant.py", source, planted, canaries, "--patients", args.planted)
        truth, canaries = scan.Truth(planted), scan.read_canaries(canaries)
        for model, more in models.items():
            published = [ROOT / "profiles" / model, ROOT / "mappings" / model, *([args.vocabulary / "CONCEPT.csv"] if more else [])]
            rows_of = lambda *more_args: run(args.headwater, "map", "--model", model, "--data", planted, *more, *more_args)
            identified = work / "identified"
            rows_of("--out", identified)
            control = scan.scan_rows(truth, identified, "safe-harbor", identified, published, canaries, library)
            controls.append({"source": name, "model": model, "rows": control["rows"], "seconds": control["seconds"], **control["canaries"]})
            for policy in POLICIES:
                rows = work / "rows"
                rows_of("--out", rows, "--deidentify", policy, "--keys", keys)
                report = scan.scan_rows(truth, rows, policy, identified, published, canaries, library)
                scans.append({"source": name, "model": model, **report})
                shutil.rmtree(rows)
                one = scans[-1]
                print(f"{name:12} {model:13} {policy:17} {one['rows']:>10,} rows  found {one['foundInAll']}  {one['seconds']} s", file=sys.stderr, flush=True)
            shutil.rmtree(identified)
            print(f"{name:12} {model:13} {'control':17} {controls[-1]['rows']:>10,} rows  caught {controls[-1]['caught']} of {controls[-1]['carried']}", file=sys.stderr, flush=True)
        shutil.rmtree(planted)
    carried, caught = sum(one["carried"] for one in controls), sum(one["caught"] for one in controls)
    report = {
        "rows": sum(one["rows"] for one in scans), "cells": sum(one["cells"] for one in scans), "found": sum(one["foundInAll"] for one in scans),
        "canariesInReleasedRows": sum(one["canaries"]["carried"] for one in scans),
        "control": {"rows": sum(one["rows"] for one in controls), "carried": carried, "caught": caught, "share": round(caught / max(carried, 1), 5)},
        "seconds": round(sum(one["seconds"] for one in scans), 1), "scans": scans, "controls": controls,
    }
    text = json.dumps(report, indent=1)
    print(text)
    if args.report:
        args.report.write_text(text + "\n", encoding="utf-8")
    is_clean = report["found"] == 0 and report["canariesInReleasedRows"] == 0
    return 0 if is_clean and carried > 0 and caught >= LEAST_CAUGHT * carried else 4


if __name__ == "__main__":
    sys.exit(main())
