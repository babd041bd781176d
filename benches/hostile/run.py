"""Gives `runproof solve` test commands that attack the machine. See README.md."""

import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time

RUNPROOF = str(pathlib.Path(sys.argv[1]).resolve())
TIMEOUT = sys.argv[2] if len(sys.argv) > 2 else "60"
ONLY = sys.argv[3:]
MARK = str(3_000_000 + os.getpid())

BOMB = """import os, time
while True:
    try:
        os.fork()
    except OSError:
        time.sleep(MARK)
"""
MEMORY = """import os, time
for _ in range(3):
    os.fork()
held = []
while True:
    held.append(b"x" * (64 << 20))
"""
CONNECT = """import socket, sys
try:
    socket.create_connection(("127.0.0.1", PORT), timeout=5)
except OSError as error:
    sys.exit(f"no connection: {error}")
print("connected")
"""
FILES = """import os
for i in range(10_000):
    with open(f"f{i}", "wb") as f:
        f.write(b"x" * 2_000_000)
print("all written")
"""


def attacks(port, home):
    """Name, files, command, the codes of which one must be reported, and what the log must not hold."""
    python = "exec python3 attack.py"
    return [
        ("fork bomb", BOMB, python, ["G-PROCESSES"]),
        ("shell fork bomb", "", "f() { f | f & }; f; sleep MARK", ["G-PROCESSES"]),
        ("daemon", "", "(setsid sh -c 'sleep MARK </dev/null >/dev/null 2>&1 &' &); echo started", ["G-NO-TESTS"]),
        ("endless output", "", "yes", ["G-LOG-CAP"]),
        ("1 GB of log", "", "head -c 1000000000 /dev/zero", ["G-LOG-CAP"]),
        ("write to HOME", "", f"echo x > {home}/escaped; echo x > ~/own && echo wrote", ["G-NO-TESTS"]),
        ("TCP to the host", CONNECT.replace("PORT", str(port)), python, ["G-NO-TESTS"]),
        ("20 GB file", "", "head -c 20000000000 /dev/zero > large", ["G-DISK"]),
        ("20 GB sparse file", "", "truncate -s 20G sparse", ["G-FILE-SIZE"]),
        ("10,000 files of 2 MB", FILES, python, ["G-DISK"]),
        ("all memory", MEMORY, python, ["G-MEMORY"]),
        ("git directory", "", "rm -rf .git; echo x > ../control 2>/dev/null; echo done", ["G-NO-TESTS"]),
        ("hang", "", "trap '' TERM INT HUP; sleep MARK", ["G-TIMEOUT"]),
    ]


def digest_of(folder):
    listing = subprocess.run("find . -type f | sort | xargs sha256sum", shell=True, cwd=folder, capture_output=True)
    return listing.stdout


def main():
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    listener.settimeout(0.05)
    home = pathlib.Path.home()
    place = pathlib.Path(tempfile.mkdtemp())
    wrong = 0
    print(f"user {os.getuid()}, at most {TIMEOUT} s each")
    for name, program, command, codes in attacks(listener.getsockname()[1], home):
        if ONLY and name not in ONLY:
            continue
        folder = place / name.replace(" ", "-").replace(",", "")
        repository = folder / "task/repo"
        repository.mkdir(parents=True)
        command = command.replace("MARK", MARK)
        (repository / "code.py").write_text("value = 1\n")
        (repository / "attack.py").write_text(program.replace("MARK", MARK))
        (folder / "task/issue.md").write_text("The value should be 2.\n")
        (folder / "task/task.toml").write_text(f'id = "hostile"\ntest_command = {json.dumps(command)}\n')
        (folder / "script.jsonl").write_text('{"reply": "nothing"}\n')
        before = digest_of(folder / "task")
        started = time.time()
        run = subprocess.run([RUNPROOF, "solve", "task", "--model", "scripted:script.jsonl", "--timeout", TIMEOUT,
                              "--red-runs", "1", "--json", "-q"], cwd=folder, capture_output=True, text=True)
        seconds = time.time() - started
        faults = []
        try:
            outcome = json.loads(run.stdout)
            reason = outcome.get("reason", "")
        except ValueError:
            reason = run.stderr.strip() or run.stdout
        if not any(code in reason for code in codes):
            faults.append(f"not {' or '.join(codes)}")
        left = subprocess.run(["pgrep", "-f", MARK], capture_output=True, text=True).stdout.split()
        if left:
            faults.append(f"{len(left)} processes left")
        if (home / "escaped").exists() or (home / "own").exists():
            faults.append("wrote to HOME")
        if digest_of(folder / "task") != before:
            faults.append("changed the task")
        if list((folder / ".runproof").glob("work*/*")):
            faults.append("left a worktree")
        try:
            listener.accept()
            faults.append("reached the host")
        except TimeoutError:
            pass
        wrong += bool(faults)
        print(f"{name:22} {seconds:6.1f} s  exit {run.returncode}  {reason}  {'; '.join(faults) or 'contained'}")
        shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(place, ignore_errors=True)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
