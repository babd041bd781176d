"""Works on real instances with scripted answers made out of the known fix; see README.md beside this file."""

import argparse
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]


def edits(patch):
    """Yields (path, first old line, last old line, new text of these lines) for each hunk."""
    path, hunk = None, None
    for line in patch.splitlines() + ["diff "]:
        if line.startswith(("diff ", "@@")) and hunk:
            yield path, hunk["first"], hunk["first"] + hunk["old"] - 1, "\n".join(hunk["new"])
            hunk = None
        if line.startswith("+++ "):
            path = line[6:]
        elif line.startswith("@@"):
            hunk = {"first": int(re.match(r"@@ -(\d+)", line).group(1)), "old": 0, "new": []}
        elif hunk and not line.startswith("\\"):
            if line[:1] != "+":
                hunk["old"] += 1
            if line[:1] != "-":
                hunk["new"].append(line[1:])


def block(path, first, last, text):
    return f"FILE: {path}\nLINES: {first}-{last}\nREASONING: the known fix\n```\n{text}\n```\n"


def replies(row):
    known = list(edits(row["patch"]))
    right = "\n".join(block(*edit) for edit in known)
    path, first = known[0][:2]
    wrong = f"FILE: {path}\nLINES: EOF\nREASONING: a guess\n```\n_UNUSED_GUESS = {first}\n```\n"
    return [wrong, right]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("instances")
    parser.add_argument("--repos", required=True)
    parser.add_argument("--ids", required=True, help="comma-separated")
    parser.add_argument("--env", help="folder of prepared environments; a temporary one otherwise")
    parser.add_argument("--bin", default=str(ROOT / "target/release"))
    parser.add_argument("--keep", help="folder to work in and to leave behind")
    args = parser.parse_args()
    binaries = pathlib.Path(args.bin).resolve()
    runproof, stub = binaries / "runproof", binaries / "examples/stub_ollama"
    for needed in (runproof, stub, pathlib.Path(args.instances), pathlib.Path(args.repos)):
        if not needed.exists():
            print(f"SKIPPED: {needed} is not there", file=sys.stderr)
            sys.exit(4)
    rows = {row["instance_id"]: row for row in map(json.loads, open(args.instances))}
    work = pathlib.Path(args.keep or tempfile.mkdtemp(prefix="swebench-"))
    work.mkdir(parents=True, exist_ok=True)
    env = pathlib.Path(args.env).resolve() if args.env else work / "environments"
    failed = 0
    print(f"{'instance':34} {'red':>5} {'attempt 1':>10} {'attempt 2':>10} {'outcome':>10} "
          f"{'solve s':>8} {'replay':>7} {'ms':>7}")
    for name in args.ids.split(","):
        folder = work / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        reference = f"{pathlib.Path(args.instances).resolve()}#{name}"
        subprocess.run([runproof, "prepare", reference, "--env", env, "-q"], cwd=folder, check=True,
                       stdout=subprocess.DEVNULL)
        (folder / "replies.jsonl").write_text("".join(json.dumps({"reply": r}) + "\n" for r in replies(rows[name])))
        server = subprocess.Popen([stub, "replies.jsonl"], cwd=folder, stdout=subprocess.PIPE, text=True)
        address = server.stdout.readline().strip()
        started = time.time()
        solve = subprocess.run(
            [runproof, "solve", reference, "--model", "ollama:llama3.1:8b", "--base-url", address, "--tests", "oracle",
             "--repos", pathlib.Path(args.repos).resolve(), "--env", env, "--context", "65536", "--json", "-q"],
            cwd=folder, capture_output=True, text=True)
        seconds = time.time() - started
        server.kill()
        if not solve.stdout.strip():
            print(f"{name:34} failed: {solve.stderr.strip()}")
            failed += 1
            continue
        outcome = json.loads(solve.stdout)
        # No interface at all, not even loopback: whoever reached for a network would fail.
        replay = subprocess.run(["unshare", "--user", "--map-root-user", "--net", runproof, "replay", "--json"],
                                cwd=folder, capture_output=True, text=True)
        replayed = json.loads(replay.stdout) if replay.stdout.strip() else {"equal": False, "elapsed_us": 0}
        attempts = ["green" if a["green"] else a["end"] for a in outcome["attempts"]] + ["-", "-"]
        good = outcome["outcome"] == "resolved" and attempts[:2] == ["tested", "green"] and replayed["equal"]
        failed += not good
        print(f"{name:34} {'yes' if outcome['attempts'] else 'no':>5} {attempts[0]:>10} {attempts[1]:>10} "
              f"{outcome['outcome']:>10} {seconds:8.1f} {'equal' if replayed['equal'] else 'NOT':>7} "
              f"{replayed['elapsed_us'] / 1000:7.0f}")
        if not good:
            print(json.dumps(outcome, indent=1)[:3000])
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
