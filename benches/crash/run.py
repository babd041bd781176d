"""Kills a recording run at random moments and checks what is left: `python3 run.py RUNPROOF [TRIALS] [SEED]`.

A run of the scripted model on a small task folder is killed with SIGKILL after a random time. Every event that the
store acknowledged must still be there and verify, the task folder must be untouched, and `solve --resume` must bring
the run to the same canonical root as an undisturbed one.
"""

import hashlib
import json
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

WRONG = "FILE: basket.py\nLINES: 4-4\nREASONING: guess\n```\n        result = price + 1\n```\n"
RIGHT = "FILE: basket.py\nLINES: 4-4\nREASONING: add up\n```\n        result += price\n```\n"
FILES = {
    "task/task.toml": 'id = "total"\ntest_command = "python3 -m unittest -v"\n',
    "task/issue.md": "The total of a basket counts only the last price.\n",
    "task/repo/basket.py": "def total(prices):\n    result = 0\n    for price in prices:\n        result = price\n"
    "    return result\n",
    "task/repo/test_basket.py": "import unittest\nfrom basket import total\n\n\nclass Two(unittest.TestCase):\n"
    "    def test_two(self):\n        self.assertEqual(total([2, 3]), 5)\n",
    "script.jsonl": "".join(json.dumps({"reply": reply}) + "\n" for reply in ("no edit", WRONG, RIGHT)),
}


def digest(folder):
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            found.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return found.hexdigest()


def place():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="crash-"))
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def main():
    program = str(pathlib.Path(sys.argv[1]).resolve())
    trials = int(sys.argv[2]) if len(sys.argv) > 2 else 50
    chance = random.Random(int(sys.argv[3]) if len(sys.argv) > 3 else 1)
    solve = [program, "solve", "task", "--model", "scripted:script.jsonl", "--json", "-q"]

    folder = place()
    started = time.time()
    whole = json.loads(subprocess.run(solve, cwd=folder, capture_output=True, check=True).stdout)
    length = time.time() - started
    print(f"undisturbed: {whole['events']} events in {length:.1f} s, {whole['canonical_root']}")

    before_any, resumed, ended, kept = 0, 0, 0, []
    for trial in range(trials):
        folder = place()
        untouched = digest(folder / "task")
        child = subprocess.Popen(solve, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(chance.uniform(0, length * 1.05))
        child.send_signal(signal.SIGKILL)
        child.wait()
        assert digest(folder / "task") == untouched, f"trial {trial}: the task folder changed"
        log = subprocess.run([program, "log", "--json"], cwd=folder, capture_output=True, text=True)
        rows = [json.loads(line) for line in log.stdout.splitlines()]
        # Without the instance there is nothing to go on with, and nothing that could be lost.
        if not rows or rows[0]["events"] < 2:
            before_any += 1
            continue
        verify = subprocess.run([program, "store", "verify"], cwd=folder, capture_output=True, text=True)
        assert verify.returncode == 0, f"trial {trial}: {verify.stdout} {verify.stderr}"
        kept.append(rows[0]["events"])
        if rows[0]["status"] == "finished":
            ended += 1
            continue
        again = subprocess.run([program, "solve", "task", "--resume", "last", "--model", "scripted:script.jsonl",
                                "--json", "-q"], cwd=folder, capture_output=True, text=True)
        assert again.returncode == 0, f"trial {trial}: {again.stdout} {again.stderr}"
        assert json.loads(again.stdout)["canonical_root"] == whole["canonical_root"], f"trial {trial}: another root"
        replay = subprocess.run([program, "replay"], cwd=folder, capture_output=True, text=True)
        assert replay.returncode == 0, f"trial {trial}: {replay.stdout}"
        assert digest(folder / "task") == untouched, f"trial {trial}: the task folder changed"
        resumed += 1
    print(f"{trials} kills: {before_any} before the instance was recorded, {resumed} resumed to the same root and replayed, "
          f"{ended} after the end; events kept {sorted(kept)}")


if __name__ == "__main__":
    main()
