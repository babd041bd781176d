"""Tests in real containers: a campaign, attacks, kills; see README.md beside this file."""

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

ROOT = pathlib.Path(__file__).resolve().parents[2]
IMAGE = "runproof-bench/{}:1"
ENVIRONMENT = "opt/miniconda3/envs/testbed"

SOURCE = "from calc._built import scale\n\n\ndef add(a, b):\n    return scale(a - b)\n"
FIXED = SOURCE.replace("a - b", "a + b")
VISIBLE = "import unittest\n\nfrom calc import core\n\n\nclass Calc(unittest.TestCase):\n    def test_nothing(self):\n" \
          "        self.assertEqual(core.add(0, 0), 0)\n"
HIDDEN = VISIBLE + "\n    def test_sum(self):\n        self.assertEqual(core.add(1, 2), 3)\n"
PASSING = "test_nothing (test_calc.Calc.test_nothing)"
FAILING = "test_sum (test_calc.Calc.test_sum)"

# What a test command does, and what the run's reason must name.
ATTACKS = {
    "processes": ("python3 -c 'import os\nwhile True:\n    try: os.fork()\n    except OSError: pass'", "G-PROCESSES"),
    "memory": ("python3 -c 'x = []\nwhile True: x.append(bytearray(1 << 26))'", "G-MEMORY"),
    "log": ("yes flood", "G-LOG-CAP"),
    "disk": ("i=0; while :; do i=$((i+1)); head -c 300000000 /dev/zero > /tmp/f$i; done", "G-DISK"),
    "time": ("trap '' TERM INT; while :; do sleep 1; done", "G-TIMEOUT"),
}

# What must not be possible: each prints `LEAK` where it is.
LOOKS = {
    "network": "python3 -c 'import socket; socket.create_connection((\"1.1.1.1\", 53), 3)' && echo LEAK",
    "interfaces": "[ \"$(ls /sys/class/net)\" = lo ] || echo LEAK",
    "history": "git log --all --oneline | grep -q fix && echo LEAK; find / -xdev -name '*.pack' -path '*testbed*' | wc -l",
    "objects": "git rev-list --all --objects | wc -l; git fsck --lost-found 2>&1 | grep -q commit && echo LEAK",
    "commits": "[ \"$(git rev-list --all --count)\" = 1 ] || echo LEAK",
    "brought": "[ -e /.runproof ] && echo LEAK",
    "rights": "mount -t tmpfs none /mnt 2>/dev/null && echo LEAK; mknod /tmp/sda b 8 0 2>/dev/null && echo LEAK",
    "environment": "env | grep -q HOST_SECRET && echo LEAK",
    "engine": "[ -S /var/run/docker.sock ] && echo LEAK",
    "built": "[ -e calc/_built.py ] || echo LEAK",
    "untracked": "[ -e calc/removed.py ] && echo LEAK",
    "program": "case $(command -v python) in /opt/miniconda3/envs/testbed/bin/python) ;; *) echo LEAK ;; esac",
}


def run(*words, check=True, **more):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, **more)
    if check and done.returncode != 0:
        sys.exit(f"{' '.join(map(str, words))[:300]} ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done


class World:
    """A project with a fix in its history, and an image that holds it as the published ones hold theirs."""

    def __init__(self, args, work):
        self.args, self.work = args, work
        self.clone = work / "clones/demo__calc"
        git = lambda *words: run("git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", self.clone, *words).stdout
        for path, text in {".gitignore": "_built.py\n", "calc/__init__.py": "", "calc/core.py": SOURCE,
                           "test_calc.py": VISIBLE}.items():
            (self.clone / path).parent.mkdir(parents=True, exist_ok=True)
            (self.clone / path).write_text(text)
        git("init", "-q", "-b", "main")
        git("add", "-A")
        git("commit", "-qm", "base")
        self.base = git("rev-parse", "HEAD").strip()
        (self.clone / "calc/core.py").write_text(FIXED)
        self.fix = git("diff")
        git("commit", "-qam", "fix add")
        (self.clone / "test_calc.py").write_text(HIDDEN)
        self.tests = git("diff")
        git("commit", "-qam", "fix: test for add")
        self.image = self.build()

    def build(self):
        image, engine = IMAGE.format("calc"), self.args.engine
        root = self.work / "root"
        shutil.copytree(self.clone, root / "testbed", symlinks=True)
        run("git", "-C", root / "testbed", "checkout", "-q", self.base)
        (root / "testbed/calc/_built.py").write_text("def scale(number):\n    return number\n")
        programs = root / ENVIRONMENT / "bin"
        programs.mkdir(parents=True)
        for name in ("python", "python3"):
            (programs / name).symlink_to("/usr/bin/python3")
        run(engine, "rm", "-f", "runproof-bench-build", check=False)
        run(engine, "create", "--name", "runproof-bench-build", self.args.base, "true")
        archive = subprocess.run(["tar", "--owner=0", "--group=0", "-C", root, "-c", "testbed", "opt"], capture_output=True, check=True)
        subprocess.run([engine, "cp", "-", "runproof-bench-build:/"], input=archive.stdout, check=True)
        run(engine, "commit", "runproof-bench-build", image)
        run(engine, "rm", "-f", "runproof-bench-build")
        return image

    def row(self, name, command, **more):
        return {"instance_id": name, "repo": "demo/calc", "base_commit": self.base, "patch": self.fix,
                "test_patch": self.tests, "problem_statement": "add(1, 2) is -1.", "FAIL_TO_PASS": [FAILING],
                "PASS_TO_PASS": [PASSING], "version": "1", "test_command": command, **more}

    def rows(self, file, rows):
        (self.work / file).write_text("".join(json.dumps(row) + "\n" for row in rows))

    def runproof(self, *words, check=True, **more):
        environment = {**os.environ, "HOST_SECRET": "x"}
        return run(self.args.bin, *words, check=check, cwd=self.work, env=environment, **more)

    def containers(self):
        names = run(self.args.engine, "container", "ls", "-a", "--filter", "label=runproof", "--format", "{{.Names}}")
        return names.stdout.split()


def campaign(world):
    """The known fix, then right and wrong answers; replayed without the engine, certified, verified."""
    world.rows("calc.jsonl", [world.row(f"demo__calc-{n}", "python -m unittest -v", image=world.image) for n in (1, 2)])
    options = ["--repos", "clones", "--engine", world.args.engine]
    world.runproof("bench", "validate", "calc.jsonl", *options)
    block = lambda text: f"FILE: calc/core.py\nLINES: 5-5\nREASONING: add\n```\n{text}\n```\n"
    wrong, right = block("    return scale(b - a + 0 * a)"), block("    return scale(a + b)")
    (world.work / "script.jsonl").write_text("".join(json.dumps({"reply": text}) + "\n" for text in (right, right, wrong)))
    world.runproof("key", "new", "key")
    summary = json.loads(world.runproof("bench", "calc.jsonl", "--arms", "direct-1,direct-2", "--seeds", "42", "--tests",
                                        "oracle", "--red-runs", "1", "--model", "scripted:script.jsonl", "--key", "key",
                                        "--json", *options).stdout)
    resolved = {arm["arm"]: arm["resolved"] for arm in summary["arms"]}
    path = world.work / "empty"
    path.mkdir(exist_ok=True)
    replayed = subprocess.run([world.args.bin, "replay", "last"], cwd=world.work, env={"PATH": str(path), "HOME": str(path)})
    certificates = sorted((world.work / ".runproof/certificates").rglob("*.json"))
    verified = [world.runproof("verify", path, "--key", "key.pub", "--evidence", ".runproof/transcripts.sqlite", check=False)
                for path in certificates]
    again = world.runproof("replay", "calc/demo__calc-1/direct-1/42", "--tests", *options, check=False)
    print(f"campaign: resolved {resolved} of 2, replay without engine: exit {replayed.returncode}, tests again: exit "
          f"{again.returncode}, {len(certificates)} certificates: exits {[one.returncode for one in verified]}")
    good = resolved == {"direct-1": 2, "direct-2": 2} and replayed.returncode == again.returncode == 0 and verified
    good = good and all(one.returncode == 0 for one in verified)
    return [] if good else [f"the campaign is not as it should be: {summary} {again.stdout}{again.stderr} "
                            f"{[one.stdout + one.stderr for one in verified]}"]


def looks(world):
    """What a test must not see or do."""
    command = "\n".join(f"( {text} ) 2>&1 | sed 's/^/{name}: /'" for name, text in LOOKS.items()) + "\necho done"
    world.rows("looks.jsonl", [world.row("demo__looks-1", command, image=world.image)])
    world.runproof("bench", "validate", "looks.jsonl", "--repos", "clones", "--engine", world.args.engine, check=False)
    shown = world.runproof("show", "validate/demo__looks-1", "--event", "3", "--body", "reply").stdout
    leaks = [line for line in shown.splitlines() if "LEAK" in line]
    print(f"looks: {len(LOOKS)} tried, {len(leaks)} possible; before the first test {shown.count('done')}")
    return leaks + ([] if shown.rstrip().endswith("done") else [f"the looks did not end: {shown[-1500:]}"])


def attacks(world):
    """What a test must not exhaust."""
    wrong = []
    for name, (command, code) in ATTACKS.items():
        world.rows(f"{name}.jsonl", [world.row(f"demo__{name}-1", command, image=world.image)])
        started = time.time()
        found = world.runproof("bench", "validate", f"{name}.jsonl", "--repos", "clones", "--engine", world.args.engine,
                               "--timeout", "20" if name == "time" else "300", "--json", check=False)
        first = json.loads(found.stdout.splitlines()[0])
        print(f"attack {name}: {first['outcome']}: {first['reason'][:200]}  {time.time() - started:.0f} s")
        if code not in first["reason"] or world.containers():
            wrong.append(f"{name}: {first}, containers left: {world.containers()}")
    return wrong


def killed(world):
    """kill -9 in the middle: the container stops by itself, the next start removes it. Ctrl-C removes it at once."""
    world.rows("long.jsonl", [world.row("demo__long-1", "echo begun; sleep 600", image=world.image)])
    words = [world.args.bin, "bench", "validate", "long.jsonl", "--repos", "clones", "--engine", world.args.engine]
    wrong = []
    for number in (signal.SIGKILL, signal.SIGINT):
        process = subprocess.Popen(words, cwd=world.work, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        running = lambda: run(world.args.engine, "container", "ls", "-q", "--filter", "label=runproof").stdout.split()
        until = time.time() + 120
        while not running() and time.time() < until:
            time.sleep(0.2)
        time.sleep(3)
        process.send_signal(number)
        process.wait()
        until = time.time() + 20
        while running() and time.time() < until:
            time.sleep(0.2)
        left = len(world.containers())
        world.runproof("prepare", "long.jsonl", "--engine", world.args.engine)
        print(f"{number.name}: {len(running())} run on, {left} left, {len(world.containers())} after the next start")
        if running() or world.containers() or (number == signal.SIGINT and left):
            wrong.append(f"{number.name}: a container is left")
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", default="docker")
    parser.add_argument("--base", default="debian:bookworm", help="an image with sh, git and Python 3.11 or later")
    parser.add_argument("--bin", default=str(ROOT / "target/release/runproof"))
    parser.add_argument("--parts", default="campaign,looks,attacks,killed")
    args = parser.parse_args()
    args.bin = str(pathlib.Path(args.bin).resolve())
    usable = shutil.which(args.engine) and run(args.engine, "image", "inspect", args.base, check=False).returncode == 0
    if not usable or not pathlib.Path(args.bin).exists():
        print(f"SKIPPED: no engine {args.engine} with an image {args.base}, or no {args.bin}", file=sys.stderr)
        sys.exit(4)
    with tempfile.TemporaryDirectory(prefix="containers-") as work:
        world = World(args, pathlib.Path(work))
        parts = {"campaign": campaign, "looks": looks, "attacks": attacks, "killed": killed}
        wrong = [line for name in args.parts.split(",") for line in parts[name](world)]
    run(args.engine, "image", "rm", world.image, check=False)
    print("\n".join(wrong) or "all as it should be")
    sys.exit(1 if wrong else 0)


main()
