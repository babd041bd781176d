"""Runs real instances × arms × seeds against a stand-in for a model and compares the figures; see README.md."""

import argparse
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import mixture

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path(__file__).resolve().parent
ARMS = ["patch", "direct-1", "direct-6", "direct-6+fallback"]
# Of the smaller campaigns.
FEW = ["patch", "direct-6"]
# Tests that take a second or two, and print the same each time: those of pydata__xarray-5131 print random numbers.
IDS = """django__django-15790 django__django-15851 django__django-16046 django__django-16408 django__django-16873
mwaskom__seaborn-3010 pallets__flask-4045 pallets__flask-5063 pylint-dev__pylint-6506 pylint-dev__pylint-7993
pytest-dev__pytest-8365 pytest-dev__pytest-9359 sphinx-doc__sphinx-10325 sphinx-doc__sphinx-7975 sphinx-doc__sphinx-8595
sphinx-doc__sphinx-8721 sympy__sympy-13043 sympy__sympy-14396 sympy__sympy-21847 sympy__sympy-24909""".split()


class Campaign:
    """One campaign in a folder of its own."""

    def __init__(self, args, name, rows, kinds, arms, seeds):
        self.args, self.rows, self.kinds, self.arms, self.seeds = args, rows, kinds, arms, seeds
        self.folder = args.work / name
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        (self.folder / "lite.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (self.folder / "profile.toml").write_text(f'name = "campaign"\nseeds = {seeds}\n')
        (self.folder / "answers.json").write_text(json.dumps(mixture.answers(rows, kinds)))

    def __enter__(self):
        command = [sys.executable, str(HERE / "server.py"), str(self.folder / "answers.json")]
        self.server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.address = self.server.stdout.readline().strip()
        return self

    def __exit__(self, *_):
        self.server.kill()

    def command(self, *more):
        return [self.args.bin, "bench", "lite.jsonl", "--arms", ",".join(self.arms),
                "--seeds", ",".join(map(str, self.seeds)), "--tests", "oracle", "--red-runs", "1",
                "--model", "ollama:weak", "--fallback", "ollama:strong", "--fallback-after",
                str(mixture.FALLBACK_AFTER), "--jobs", str(self.args.jobs), "--repos", str(self.args.repos),
                "--env", str(self.args.env), "--profile", "profile.toml", "--json", *more]

    def environment(self):
        return {**os.environ, "OLLAMA_HOST": self.address}

    def start(self, *more):
        log = open(self.folder / "log", "ab")
        return subprocess.Popen(self.command(*more), cwd=self.folder, env=self.environment(), stderr=log,
                                stdout=subprocess.PIPE, text=True)

    def finish(self, *more):
        started = time.time()
        process = self.start(*more)
        out, _ = process.communicate()
        self.seconds = time.time() - started
        if process.returncode != 0:
            sys.exit(f"bench ended with {process.returncode}:\n{(self.folder / 'log').read_text()[-3000:]}")
        return json.loads(out)

    def finished(self):
        """How many runs have ended; the store may not be there yet."""
        log = subprocess.run([self.args.bin, "log", "--json"], cwd=self.folder, capture_output=True, text=True)
        return sum('"finished"' in line and '"solve"' in line for line in log.stdout.splitlines())

    def check(self):
        """Returns the exit code of the second rung and what it says of each criterion."""
        done = subprocess.run([self.args.bin, "check", "lite", "--rung", "274177", "--json"], cwd=self.folder,
                              capture_output=True, text=True)
        return done.returncode, done.stdout or done.stderr


def compare(campaign, summary):
    """Compares every figure of a summary with the mixture; returns the differences."""
    wrong = []
    for arm in summary["arms"]:
        wanted = mixture.expected(campaign.rows, campaign.kinds, arm["arm"])
        found = {"of": arm["of"], "done": arm["done"], "resolved": arm["resolved"], "resolved_at": arm["resolved_at"]}
        want = {"of": len(campaign.rows), "done": len(campaign.rows), "resolved": len(wanted["resolved"]),
                "resolved_at": wanted["resolved_at"]}
        if "codes" in arm:
            found["codes"] = {code: count for code, count in arm["codes"].items() if code in known()}
            want["codes"] = wanted["codes"]
        if found != want:
            wrong.append(f"{arm['arm']} seed {arm['seed']}: {found}, by construction {want}")
        print(f"  {arm['arm']:18} seed {arm['seed']:<5} {arm['resolved']} of {arm['of']}, by attempt {arm['resolved_at']}")
    return wrong


def known():
    """The codes of the answers that the mixture knows to be refused."""
    return {"E-PROTECTED", "E-HISTORY", "E-NOOP", "E-NOEDIT", "E-REPEAT"}


def whole(args, name, rows, arms):
    with Campaign(args, name, rows, mixture.MIXTURE, arms, args.seeds) as campaign:
        summary = campaign.finish()
        print(f"{name}: {len(rows)} instances × {len(arms)} arms × {len(args.seeds)} seeds in {campaign.seconds:.0f} s")
        wrong = compare(campaign, summary)
        code, text = campaign.check()
        print(f"  274177: exit {code}, root {summary['canonical_root']}")
        return wrong + ([] if code == 0 else [f"274177 is not reached: {text[:2000]}"]), summary["canonical_root"]


def killed(args, rows, root):
    """Kills the campaign twice, after a third and two thirds, and goes on."""
    with Campaign(args, "killed", rows, mixture.MIXTURE, args.few, args.seeds) as campaign:
        all_runs = len(rows) * len(args.few) * len(args.seeds)
        for share in (1, 2):
            process = campaign.start(*(["--resume"] if share > 1 else []))
            while campaign.finished() < all_runs * share // 3:
                if process.poll() is not None:
                    sys.exit(f"it ended by itself:\n{(campaign.folder / 'log').read_text()[-3000:]}")
                time.sleep(1)
            process.send_signal(signal.SIGKILL)
            process.wait()
            print(f"killed: with {campaign.finished()} of {all_runs} runs ended")
        summary = campaign.finish("--resume")
        wrong = compare(campaign, summary)
        print(f"  root {summary['canonical_root']}")
        return wrong + ([] if summary["canonical_root"] == root else ["killed and resumed, it has another root"])


def worse(args, rows):
    """The second rung must fail where the answers are worse."""
    with Campaign(args, "worse", rows, mixture.WORSE, args.few, args.seeds) as campaign:
        summary = campaign.finish()
        print(f"worse: {len(rows)} instances × {len(args.few)} arms × {len(args.seeds)} seeds in {campaign.seconds:.0f} s")
        wrong = compare(campaign, summary)
        code, text = campaign.check()
        print(f"  274177: exit {code}")
        rungs = json.loads(text)["rungs"] if code in (0, 1, 5) else []
        verdicts = {criterion["name"]: criterion["verdict"] for rung in rungs for criterion in rung["criteria"]}
        fails = code != 0 and verdicts.get("direct-threshold") == "failed"
        fails = fails and verdicts.get("instances-paired") == verdicts.get("direct-above-patch") == "passed"
        return wrong + ([] if fails else [f"274177 should fail at its threshold: exit {code} {text[:2000]}"])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("instances")
    parser.add_argument("--repos", required=True, type=pathlib.Path)
    parser.add_argument("--env", required=True, type=pathlib.Path, help="folder of prepared environments")
    parser.add_argument("--ids", default=",".join(IDS))
    parser.add_argument("--seeds", default="42,137,9001", type=lambda text: [int(seed) for seed in text.split(",")])
    parser.add_argument("--small", type=int, default=6, help="instances of the campaigns that are killed and made worse")
    parser.add_argument("--few", default=FEW, type=lambda text: text.split(","), help="arms of these campaigns")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--parts", default="whole,killed,worse")
    parser.add_argument("--bin", default=str(ROOT / "target/release/runproof"))
    parser.add_argument("--keep", dest="work", type=pathlib.Path, help="folder to work in and to leave behind")
    args = parser.parse_args()
    for needed in (args.bin, args.instances, args.repos, args.env):
        if not pathlib.Path(needed).exists():
            print(f"SKIPPED: {needed} is not there", file=sys.stderr)
            sys.exit(4)
    args.bin, args.repos, args.env = (str(pathlib.Path(path).resolve()) for path in (args.bin, args.repos, args.env))
    args.work = (args.work or pathlib.Path(tempfile.mkdtemp(prefix="campaign-"))).resolve()
    ids = args.ids.split(",")
    rows = [row for row in map(json.loads, open(args.instances)) if row["instance_id"] in ids]
    rows.sort(key=lambda row: row["instance_id"])
    missing = set(ids) - {row["instance_id"] for row in rows}
    if missing or len({mixture.issue(row) for row in rows}) < len(rows):
        sys.exit(f"not there: {sorted(missing)}, or two issues begin with the same line")
    parts, wrong = args.parts.split(","), []
    small = rows[::max(1, len(rows) // args.small)][:args.small]
    root = None
    if "whole" in parts:
        found, root = whole(args, "whole", rows, ARMS)
        wrong += found
    if "killed" in parts:
        if root is None or (small, args.few) != (rows, ARMS):
            found, root = whole(args, "uninterrupted", small, args.few)
            wrong += found
        wrong += killed(args, small, root)
    if "worse" in parts:
        wrong += worse(args, small)
    for line in wrong:
        print(f"WRONG: {line}")
    print("all figures are the mixture's" if not wrong else f"{len(wrong)} differences")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
