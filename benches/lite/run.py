"""A synthetic full campaign over the published instances of SWE-bench Lite, up to 65537; see README.md beside this file."""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import synthetic

ROOT = pathlib.Path(__file__).resolve().parents[2]
SEEDS = (42, 137, 9001)
GUESS = f'FILE: {synthetic.STATE}\nLINES: 1-1\nREASONING: a guess\n```\nSTATE = "changed"\n```\n'
REPAIR = f'FILE: {synthetic.STATE}\nLINES: 1-1\nREASONING: the repair\n```\nSTATE = "repaired"\n```\n'
GIT = '#!/bin/sh\n# Follows refs/replace, where the synthetic base commits are.\nunset GIT_NO_REPLACE_OBJECTS\nexec "{}" "$@"\n'


class Bench:
    def __init__(self, binary, work):
        self.binary, self.work = binary, work
        self.env = {**os.environ, "PATH": f"{work / 'bin'}:{os.environ['PATH']}"}

    def __call__(self, *args, expect=0, quiet=False):
        """Runs the program, says how long it took, and stops unless its exit code is the expected one."""
        started = time.time()
        done = subprocess.run([self.binary, *map(str, args)], cwd=self.work, env=self.env, capture_output=True, text=True)
        if not quiet:
            print(f"{time.time() - started:8.1f} s  exit {done.returncode}  runproof {' '.join(map(str, args))[:90]}", flush=True)
        if expect is not None and done.returncode != expect:
            sys.exit(f"expected exit {expect}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
        return done


    def rows(self):
        return [json.loads(line) for line in self("log", "--json", quiet=True).stdout.splitlines()]


def rows_of(path, number):
    raw = path.read_bytes()
    if path.suffix == ".zst":
        raw = subprocess.run(["zstd", "-dc", path], capture_output=True, check=True).stdout
    rows = [json.loads(line) for line in raw.splitlines()]
    if number is None:
        return rows
    # Spread over the repositories, which stand one after another.
    return [rows[at * len(rows) // number] for at in range(number)]


def build(run, rows):
    shutil.rmtree(run.work, ignore_errors=True)
    (run.work / "bin").mkdir(parents=True)
    git = run.work / "bin/git"
    git.write_text(GIT.format(shutil.which("git")))
    git.chmod(0o755)
    synthetic.repositories(rows, run.work / "repos")
    lines = [json.dumps({**row, "test_command": synthetic.COMMAND.format(id=row["instance_id"])}) for row in rows]
    (run.work / "instances.jsonl").write_text("\n".join(lines) + "\n")
    (run.work / "script.jsonl").write_text("".join(json.dumps({"reply": text}) + "\n" for text in (GUESS, REPAIR)))
    run("key", "new", "k")


def record(run, jobs, profile):
    """The campaign, and for each instance a certificate and a re-execution."""
    model = ("--model", "scripted:script.jsonl")
    common = ("--arms", "patch,direct-6", "--seeds", ",".join(map(str, SEEDS)), "--tests", "oracle", "--red-runs", 1,
              "--repos", "repos", "--profile", profile, "--name", "lite", "--quiet", "--json", *model)
    resume = ("--resume",) if (run.work / ".runproof").exists() else ()
    found = json.loads(run("bench", "instances.jsonl", "--jobs", jobs, *common, *resume).stdout)
    for arm in found["arms"]:
        print(f"    {arm['arm']:9} seed {arm['seed']:5}  resolved {arm['resolved']} of {arm['of']}  by attempt {arm['resolved_at']}")
    listed = run.rows()
    direct = [row for row in listed if row["name"].startswith("lite/") and row["name"].endswith(f"/direct-6/{SEEDS[0]}")]
    (run.work / "certificates").mkdir(exist_ok=True)
    started = time.time()
    for row in direct:
        certificate = run.work / "certificates" / f"{row['id']}.dsse.json"
        if not certificate.exists():
            run("certify", row["id"], "--key", "k", "-o", certificate, quiet=True)
    print(f"{time.time() - started:8.1f} s  {len(direct)} certificates")
    started = time.time()
    again = {row["name"] for row in listed if row["kind"] == "reexecution"}
    for row in direct:
        if f"{row['name']} again" not in again:
            run("replay", row["id"], "--live", 3, *model, quiet=True)
    print(f"{time.time() - started:8.1f} s  {len(direct)} re-executions, 3 times each")
    return direct


def pin(run, profile, count):
    """A profile for a part of the instances, with the digest that `check` finds."""
    def write(digest):
        text = f'name = "part"\n[data_set]\nname = "a part of SWE-bench Lite"\ncount = {count}\ndigest = "{digest}"\n'
        (run.work / profile).write_text(text)

    write("sha256:" + "0" * 64)
    done = json.loads(run("check", "lite", "--rung", "65537", "--json", "--profile", profile, expect=None).stdout)
    reason = next(c["reason"] for rung in done["rungs"] for c in rung["criteria"] if c["name"] == "data-set-complete")
    write(reason.rsplit(" ", 1)[1])


def judge(run, tamper, direct, profile):
    """65537 with everything there, certified and verified; then with one thing wrong at a time."""
    store = run.work / ".runproof/transcripts.sqlite"
    counted = ("--certificates", "certificates", "--key", "k.pub")
    check = ("check", "lite", "--rung", "65537", "--json", "--profile", profile, *counted)
    criteria = {one["name"]: one for rung in json.loads(run(*check).stdout)["rungs"] for one in rung["criteria"]}
    for one in criteria.values():
        print(f"    {one['verdict']:7} {one['name']:18} {one['reason'][:120]}")
    run("certify", "lite", "--key", "k", "--certificates", "certificates", "--profile", profile, "-o", "campaign.dsse.json",
        "--force")
    run("verify", "campaign.dsse.json", "--key", "k.pub", "--evidence", store, "--certificates", "certificates",
        "--profile", profile)
    run("store", "verify")
    run("store", "merge", "merged.sqlite", store, "--force", "--quiet")
    print(f"    {store.stat().st_size:,} bytes recorded, {(run.work / 'merged.sqlite').stat().st_size:,} merged")

    harmed, one = run.work / "harmed.sqlite", direct[len(direct) // 2]
    other = next(row["id"] for row in run.rows() if row["name"] == one["name"].replace(f"/{SEEDS[0]}", f"/{SEEDS[2]}"))
    certificate = run.work / "certificates" / f"{one['id']}.dsse.json"

    def fails(what, criterion, *words):
        done = run(*(words or check), "--store", harmed, expect=1)
        found = [c for rung in json.loads(done.stdout)["rungs"] for c in rung["criteria"] if c["name"] == criterion]
        if found[0]["verdict"] != "failed":
            sys.exit(f"{what}: {criterion} is {found[0]}")
        print(f"    {what}: {criterion}: {found[0]['reason'][:120]}")

    shutil.copy(store, harmed)
    run("store", "gc", "--run", one["id"], "--store", harmed)
    fails("one instance missing", "data-set-complete")
    shutil.copy(store, harmed)
    subprocess.run([tamper, harmed, "twice", one["id"]], check=True)
    # With all runs of the store, since those of the campaign are known by their ids.
    fails("one instance twice", "data-set-complete", "check", "--runs", "all", *check[2:])
    shutil.copy(store, harmed)
    subprocess.run([tamper, harmed, "reply", other], check=True)
    fails("one run not replaying", "every-run-replays")
    shutil.copy(store, harmed)
    whole = certificate.read_bytes()
    at = whole.rindex(b'"sig":"') + 20
    certificate.write_bytes(whole[:at] + (b"B" if whole[at:at + 1] == b"A" else b"A") + whole[at + 1:])
    fails("one certificate invalid", "runs-certified")
    certificate.write_bytes(whole)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", type=pathlib.Path, help="the published rows, JSONL, also .zst")
    parser.add_argument("--instances", type=int, help="so many of them; then the profile is made for them")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "target/release/runproof")
    parser.add_argument("--keep", type=pathlib.Path, help="folder to work in and to go on in")
    args = parser.parse_args()
    for needed in (args.bin, args.bin.parent / "examples/tamper", args.rows):
        if not needed.exists():
            print(f"SKIPPED: {needed} is not there", file=sys.stderr)
            sys.exit(4)
    work = (args.keep or pathlib.Path(tempfile.mkdtemp(prefix="lite-"))).resolve()
    run, tamper = Bench(args.bin.resolve(), work), args.bin.resolve().parent / "examples/tamper"
    rows = rows_of(args.rows, args.instances)
    if not (work / "k").exists():
        build(run, rows)
    profile = "swe-bench-lite"
    direct = record(run, args.jobs, profile)
    if args.instances:
        profile = "part.toml"
        pin(run, profile, len(rows))
    judge(run, tamper, direct, profile)


if __name__ == "__main__":
    main()
