"""Runs deploy/slurm on a Slurm of one node and compares with a single machine; see README.md beside this file."""

import argparse
import contextlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy/slurm"
SHARDS = 3
PROGRAMS = ("slurmctld", "slurmd", "sbatch", "squeue", "sinfo", "munged")

# Tests that print no times: then every run is equal to the byte wherever it happens.
TIMELESS = ("python3 -m unittest -v >\\\"$TMPDIR/log\\\" 2>&1; code=$?; "
            "sed 's/ in [0-9.]*s$/ in 0.000s/' \\\"$TMPDIR/log\\\"; exit $code")
WRONG = "FILE: basket.py\nLINES: 4-4\nREASONING: a guess\n```\n        result = price + 1\n```\n"
RIGHT = "FILE: basket.py\nLINES: 4-4\nREASONING: add up\n```\n        result += price\n```\n"
BASKET = "def total(prices):\n    result = 0\n    for price in prices:\n        result = price\n    return result\n"
TEST = ("import unittest\nfrom basket import total\n\n\nclass Two(unittest.TestCase):\n"
        "    def test_{n}(self):\n        self.assertEqual(total([2, {n}]), {n} + 2)\n")

CONF = """\
ClusterName=bench
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={work}/munge/socket
CredType=cred/munge
StateSaveLocation={work}/state
SlurmdSpoolDir={work}/spool
SlurmctldPidFile={work}/slurmctld.pid
SlurmdPidFile={work}/slurmd.pid
SlurmctldLogFile={work}/slurmctld.log
SlurmdLogFile={work}/slurmd.log
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def free_ports(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@contextlib.contextmanager
def slurm(work):
    """A Slurm with its own munge, all of it in one folder, for as long as the block lasts."""
    munge = work / "munge"
    munge.mkdir()
    (work / "state").mkdir()
    (work / "spool").mkdir()
    key = munge / "key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    host = socket.gethostname().split(".")[0]
    conf = work / "slurm.conf"
    conf.write_text(CONF.format(host=host, work=work, ports=free_ports(2)))
    env = {**os.environ, "SLURM_CONF": str(conf)}
    commands = [["munged", "--foreground", "--force", f"--key-file={key}", f"--socket={munge}/socket",
                 f"--pid-file={munge}/pid", f"--log-file={munge}/log", f"--seed-file={munge}/seed"],
                ["slurmctld", "-D", "-f", conf], ["slurmd", "-D", "-f", conf, "-N", host]]
    started = []
    try:
        for command in commands:
            log = open(work / f"{command[0]}.out", "w")
            started.append(subprocess.Popen(command, env=env, stdout=log, stderr=log))
            time.sleep(1)
        for _ in range(60):
            state = subprocess.run(["sinfo", "-h", "-o", "%T"], env=env, capture_output=True, text=True)
            if state.stdout.strip() in ("idle", "mixed", "allocated"):
                break
            time.sleep(1)
        else:
            sys.exit(f"Slurm does not come up: {state.stdout} {state.stderr}; see the logs in {work}")
        yield env
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            process.wait()


def place_tasks(folder, count):
    """Hand-made tasks, wrong at first and right after feedback."""
    for number in range(3, 3 + count):
        task = folder / f"tasks/task{number}"
        (task / "repo").mkdir(parents=True)
        (task / "task.toml").write_text(f'id = "task{number}"\ntest_command = "{TIMELESS}"\nlog_parser = "unittest"\n')
        (task / "issue.md").write_text("The total of a basket counts only the last price.\n")
        (task / "repo/basket.py").write_text(BASKET)
        (task / "repo/test_basket.py").write_text(TEST.format(n=number))


def place_script(folder):
    (folder / "script.jsonl").write_text("".join(json.dumps({"reply": reply}) + "\n" for reply in (WRONG, RIGHT)))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "target/release/runproof")
    parser.add_argument("--tasks", type=int, default=6)
    parser.add_argument("--keep", type=pathlib.Path, help="folder to work in and to leave behind")
    parser.add_argument("--instances", help="a campaign on these instead of hand-made tasks, with the options after --")
    parser.add_argument("options", nargs="*", help="options of runproof bench for --instances")
    args = parser.parse_args()
    lacking = [program for program in PROGRAMS if not shutil.which(program)]
    if lacking or not args.bin.exists() or os.getuid() != 0:
        why = f"no {', '.join(lacking)} (Debian: slurm-wlm, munge)" if lacking else f"{args.bin} or root is missing"
        print(f"SKIPPED: {why}", file=sys.stderr)
        sys.exit(4)
    work = (args.keep or pathlib.Path(tempfile.mkdtemp(prefix="slurm-"))).resolve()
    work.mkdir(parents=True, exist_ok=True)
    runproof = args.bin.resolve()
    campaign = [args.instances, *args.options, "--name", "c"] if args.instances else [
        "tasks", "--name", "c", "--arms", "patch,direct-6", "--seeds", "42,137", "--tests", "oracle", "--red-runs", "1",
        "--model", "scripted:script.jsonl", "--profile", "profile.toml"]
    (work / "profile.toml").write_text("seeds = [42, 137]\n")
    place_script(work)
    profile = [] if args.instances else ["--profile", "profile.toml"]
    if not args.instances:
        place_tasks(work, args.tasks)

    def program(*words, expect=(0,)):
        done = subprocess.run([runproof, *map(str, words)], cwd=work, capture_output=True, text=True)
        if done.returncode not in expect:
            sys.exit(f"runproof {' '.join(map(str, words))}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done.stdout

    program("key", "new", "k")
    with slurm(work) as env:
        env["RUNPROOF"] = str(runproof)

        def submit(*words):
            done = subprocess.run(["sbatch", "--parsable", *words], cwd=work, env=env, capture_output=True, text=True)
            if done.returncode:
                sys.exit(f"sbatch {words}: {done.stderr}")
            return done.stdout.strip()

        started = time.time()
        array = submit(f"--array=1-{SHARDS}", "--cpus-per-task=1", DEPLOY / "array.sbatch", *campaign)
        last = submit(f"--dependency=afterany:{array}", "--cpus-per-task=1", DEPLOY / "certify.sbatch", "c", "k")
        while subprocess.run(["squeue", "-h", "-j", f"{array},{last}"], env=env, capture_output=True, text=True).stdout.strip():
            time.sleep(1)
        print(f"{time.time() - started:7.1f} s  array {array} of {SHARDS} shards, then job {last}")
        # Once more, after every task has ended: it goes on, and there is nothing to do.
        again = submit("--wait", f"--array=1-{SHARDS}", "--cpus-per-task=1", DEPLOY / "array.sbatch", *campaign)
        print(f"array {again}: submitted again, nothing to do")
    print((work / "certify.log").read_text().strip())

    single = json.loads(program("bench", *campaign, "--store", "single.sqlite", "--json", "--quiet"))
    roots = {"single machine": single["canonical_root"]}
    stores = {name: sorted(map(str, (work / "shards").glob("*.sqlite")), reverse=name == "backwards") for name in
              ("forwards", "backwards")}
    files = {"by Slurm": "campaign.sqlite"}
    for name, shards in stores.items():
        files[name] = f"{name}.sqlite"
        program("store", "merge", files[name], *shards)
    certificates, reports, failed = {}, {}, []
    for name, file in {**files, "single machine": "single.sqlite"}.items():
        if name != "single machine":
            found = json.loads(program("bench", *campaign, "--store", file, "--resume", "--json", "--quiet"))
            roots[name] = found["canonical_root"]
        out = work / f"{file}.dsse.json"
        program("certify", "c", "--store", file, "--key", "k", "-o", out, "--force")
        certificates[name] = out.read_bytes()
        program("verify", out, "--key", "k.pub", "--evidence", file, *profile)
        if subprocess.run([runproof, "report", "--help"], capture_output=True).returncode == 0:
            program("report", "c", "--store", file, "-o", f"{file}.html")
            reports[name] = (work / f"{file}.html").read_bytes()
    merged = [(work / file).read_bytes() for file in files.values()]
    single_certificate = (work / "campaign.dsse.json").read_bytes() == certificates["by Slurm"]
    merges = [certificates[name] for name in files]
    if args.instances:
        # Real logs hold durations.
        print(f"certificate equal to the single machine's: {len(set(certificates.values())) == 1}")
    checks = {
        "merged stores in two orders, and by Slurm: equal bytes": len(set(merged)) == 1,
        "canonical roots, single machine among them": len(set(roots.values())) == 1,
        "certificates of the merged stores": len(set(merges)) == 1 and single_certificate,
        "reports of the merged stores": len({reports[name] for name in files if name in reports}) <= 1,
    }
    if not args.instances:
        checks["certificate equal to the single machine's"] = len(set(certificates.values())) == 1
        checks["report equal to the single machine's"] = len(set(reports.values())) <= 1
    for what, holds in checks.items():
        print(f"{'yes' if holds else 'NO':4} {what}")
    print(f"reports compared: {len(reports)}; canonical root {single['canonical_root']}")
    sys.exit(0 if all(checks.values()) else 1)


if __name__ == "__main__":
    main()
