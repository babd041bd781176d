"""Records and replays the 60-call conversation with runproof and its peers, side by side. See README.md.

python run.py RUNPROOF [--peers FOLDER] [--repeats N] [--only NAME,…] [--json FILE]
"""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import harness
from harness import CONVERSATION, Memory, Runproof, stop
from upstream import Upstream


class Failed(Exception):
    """A system did not do what it was asked; the row says so."""


class Direct:
    """No recorder at all: what the rest is compared with."""

    name = "no recorder"

    def __init__(self, place, url, options):
        self.place, self.url, self.environment = place, url, harness.environment(url, place)

    def client(self, *arguments, url=None, report="report.json"):
        to = ["--url", url or f"{self.url}/v1"]
        command = [*CONVERSATION, *arguments, *to, "--report", str(self.place / report)]
        return self.finish(subprocess.Popen(command, cwd=self.place, env=self.environment), report)

    def finish(self, process, report="report.json", memory=None, before=0):
        code = process.wait(300)
        path = self.place / report
        if code or not path.exists():
            raise Failed(f"exit {code}")
        found = json.loads(path.read_text())
        path.unlink()
        found["peak_mb"] = (memory.peak() if memory else found["peak_kb"]) / 1024
        found["start"] = (found["first_reply_ns"] - before) / 1e9 if before else None
        return found

    def timed(self, command, memory=True):
        before = time.time_ns()
        process = subprocess.Popen(
            command,
            cwd=self.place,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=(self.place / "errors").open("ab"),
            stdin=subprocess.DEVNULL,
        )
        return self.finish(process, memory=Memory(process) if memory else None, before=before)

    def record(self, *arguments):
        command = [*CONVERSATION, *arguments, "--url", f"{self.url}/v1", "--report", str(self.place / "report.json")]
        return self.timed(command, memory=False)

    replay = record

    def stored(self):
        return None


class Ours(Direct):
    name = "runproof"

    def __init__(self, place, url, options):
        super().__init__(place, url, options)
        self.program = str(pathlib.Path(options.program).resolve())

    def wrapped(self, verb, arguments):
        command = [self.program, *verb, "--", *CONVERSATION, *arguments, "--linger", "0.2"]
        return self.timed([*command, "--report", str(self.place / "report.json")])

    def record(self, *arguments):
        shutil.rmtree(self.place / ".runproof", ignore_errors=True)
        return self.wrapped(["record"], arguments)

    def replay(self, *arguments):
        return self.wrapped(["replay", "last"], arguments)

    def stored(self):
        return harness.size(self.place / ".runproof")


class Timefork(Direct):
    name = "timefork"

    def __init__(self, place, url, options):
        super().__init__(place, url, options)
        self.program = str(options.peers / "timefork/bin/timefork")
        self.environment["TIMEFORK_UPSTREAM_OPENAI"] = url

    def wrapped(self, verb, arguments):
        command = [self.program, *verb, "--", *CONVERSATION, *arguments, "--linger", "0.2"]
        return self.timed([*command, "--report", str(self.place / "report.json")])

    def record(self, *arguments):
        shutil.rmtree(self.place / ".timefork", ignore_errors=True)
        subprocess.run([self.program, "init"], cwd=self.place, env=self.environment, check=True, capture_output=True)
        found = self.wrapped(["record"], arguments)
        self.held = harness.size(self.place / ".timefork")
        return found

    def replay(self, *arguments):
        return self.wrapped(["replay", "last", "--on-diverge", "block"], arguments)

    def stored(self):
        return self.held


class Mitmproxy(Direct):
    name = "mitmproxy"

    def __init__(self, place, url, options):
        super().__init__(place, url, options)
        self.program = str(options.peers / "mitmproxy/bin/mitmdump")
        self.port = 18_000 + os.getpid() % 1000

    def served(self, options, arguments):
        common = ["-q", "--mode", f"reverse:{self.url}", "-p", str(self.port), "--set", f"confdir={self.place}"]
        before = time.time_ns()
        server = subprocess.Popen(
            [self.program, *common, *options],
            cwd=self.place,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        memory = Memory(server)
        to = ["--url", f"http://127.0.0.1:{self.port}/v1", "--wait", "20"]
        command = [*CONVERSATION, *arguments, *to, "--report", str(self.place / "report.json")]
        try:
            client = subprocess.Popen(command, cwd=self.place, env=self.environment)
            found = self.finish(client, before=before)
        finally:
            time.sleep(0.1)
            stop(server)
        found["peak_mb"] = memory.peak() / 1024
        return found

    def record(self, *arguments):
        (self.place / "flows").unlink(missing_ok=True)
        return self.served(["-w", "flows"], arguments)

    def replay(self, *arguments):
        keys = ("server_replay=flows", "server_replay_extra=404", "keepserving=true", "connection_strategy=lazy")
        return self.served([word for key in keys for word in ("--set", key)], arguments)

    def stored(self):
        return harness.size(self.place / "flows")


class Vcrpy(Direct):
    name = "vcrpy, httpx"

    def __init__(self, place, url, options):
        super().__init__(place, url, options)
        self.python = str(options.peers / "vcrpy/bin/python")

    def inside(self, mode, arguments):
        command = [
            self.python,
            CONVERSATION[1],
            *arguments,
            "--client",
            "httpx",
            "--cassette",
            str(self.place / "cassette.yaml"),
            "--mode",
            mode,
            "--url",
            f"{self.url}/v1",
        ]
        return self.timed([*command, "--report", str(self.place / "report.json")], memory=False)

    def record(self, *arguments):
        (self.place / "cassette.yaml").unlink(missing_ok=True)
        return self.inside("once", arguments)

    def replay(self, *arguments):
        return self.inside("none", arguments)

    def stored(self):
        return harness.size(self.place / "cassette.yaml")


SYSTEMS = (Direct, Ours, Timefork, Mitmproxy, Vcrpy)


def kept_after_kill(system, options, upstream) -> str:
    """Kills the recorder after call 30 and counts what is left, where that can be told from outside."""
    mark = system.place / "mark"
    mark.unlink(missing_ok=True)
    if not isinstance(system, Ours):
        return "–"
    shutil.rmtree(system.place / ".runproof", ignore_errors=True)
    process = subprocess.Popen(
        [system.program, "record", "--", *CONVERSATION, "--signal", f"30:{mark}"],
        cwd=system.place,
        env=system.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not mark.exists():
        time.sleep(0.01)
    for pid in reversed(harness.children(process.pid)):
        os.kill(pid, 9)
    process.wait()
    program = Runproof(system.program, system.place, system.url)
    verified = program.run("store", "verify").returncode == 0
    return f"{len(program.calls())} of 30{'' if verified else ', does not verify'}"


def first_bytes(system, sse, repeats):
    """Median seconds until the first byte of a body while recording, over all calls of some passes."""
    found = []
    for _ in range(repeats):
        found += system.record(*sse)["firsts"]
    return statistics.median(found)


def measure(kind, options, report):
    """Every system over one variant of the workload."""
    arguments = ["--sse"] if kind == "SSE" else []
    rows = []
    with Upstream() as upstream, tempfile.TemporaryDirectory() as folder:
        systems = []
        for make in SYSTEMS:
            place = pathlib.Path(folder) / make.__name__
            place.mkdir()
            if not options.only or make.__name__.lower() in options.only or make is Direct:
                systems.append(make(place, upstream.url, options))
        truth = systems[0].record(*arguments)
        for system in systems:
            try:
                recorded = system.record(*arguments)
                stored = system.stored()
                seen = upstream.seen()["connections"]
                replays = []
                slow = isinstance(system, Vcrpy)
                for _ in range(1 if slow else options.repeats):
                    replays.append(system.replay(*arguments))
                reached = upstream.seen()["connections"] - seen
                killed = kept_after_kill(system, options, upstream)
            except (Failed, OSError, subprocess.SubprocessError) as error:
                print(f"SKIPPED: {system.name}, {kind}: {error}", file=sys.stderr)
                continue
            middle = statistics.median(one["seconds"] for one in replays)
            rows.append(
                {
                    "system": system.name,
                    "record s": recorded["seconds"],
                    "replay s": middle,
                    "replay/s": 60 / middle,
                    "start": statistics.median(one["start"] for one in replays),
                    "stored": stored,
                    "peak record": recorded["peak_mb"],
                    "peak replay": max(one["peak_mb"] for one in replays),
                    "equal": recorded["digest"] == truth["digest"]
                    and all(r["digest"] == truth["digest"] for r in replays),
                    "reached": "–" if system is systems[0] else reached,
                    "killed": killed,
                    "wire": recorded["sent"] + recorded["received"],
                }
            )
            print(f"{kind}: {system.name} done", file=sys.stderr)
    report[kind] = rows


def latency(options, report):
    """Time to the first byte of a stream while recording, the systems in turn, several passes."""
    found = {}
    with Upstream("--first-byte", "5", "--gap", "0.3") as upstream, tempfile.TemporaryDirectory() as folder:
        systems = []
        for make in (Direct, Ours, Timefork, Mitmproxy):
            place = pathlib.Path(folder) / make.__name__
            place.mkdir()
            if not options.only or make.__name__.lower() in options.only or make is Direct:
                systems.append(make(place, upstream.url, options))
        for _ in range(options.repeats):
            for system in systems:
                try:
                    found.setdefault(system.name, []).extend(system.record("--sse")["firsts"])
                except (Failed, OSError, subprocess.SubprocessError) as error:
                    print(f"SKIPPED: {system.name}, first byte: {error}", file=sys.stderr)
    report["first byte"] = {name: statistics.median(firsts) for name, firsts in found.items() if firsts}


def table(head, rows):
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print()


def show(report):
    for kind in ("JSON", "SSE"):
        rows = report.get(kind, [])
        base = next((row for row in rows if row["system"] == "runproof"), None)
        direct = next((row for row in rows if row["system"] == "no recorder"), None)
        if not base:
            continue
        print(f"{kind}, {base['wire'] / 1e6:.2f} MB on the wire. How many times runproof's figure:\n")
        cells = []
        for row in rows:
            disk = [f"{row['stored'][i] / base['stored'][i]:.1f}" if row["stored"] else "–" for i in (0, 1)]
            times = [f"{row[key] / base[key]:.1f}" for key in ("replay s", "record s", "peak replay")]
            start = (row["start"] - direct["start"]) / max(base["start"] - direct["start"], 1e-3)
            cells.append([row["system"], *disk, *times, f"{start:.1f}" if row is not direct else "–"])
        table(["system", "bytes", "allocated", "replay time", "record time", "memory", "start"], cells)
        cells = []
        for row in rows:
            disk = (
                [f"{row['stored'][0]:,}", f"{row['stored'][1]:,}", str(row["stored"][2])]
                if row["stored"]
                else ["–"] * 3
            )
            cells.append(
                [
                    row["system"],
                    *disk,
                    f"{row['record s']:.2f}",
                    f"{row['replay/s']:.0f}",
                    f"{row['peak record']:.0f} / {row['peak replay']:.0f}",
                    f"{(row['start'] - direct['start']) * 1000:.0f}",
                    "yes" if row["equal"] else "NO",
                    str(row["reached"]),
                    row["killed"],
                ]
            )
        table(
            [
                "system",
                "bytes",
                "allocated",
                "files",
                "record s",
                "replay calls/s",
                "MB record / replay",
                "start ms",
                "equal",
                "upstream reached in replay",
                "kept after kill -9",
            ],
            cells,
        )
    if "first byte" in report:
        bare = report["first byte"].get("no recorder", 0)
        rows = [
            [name, f"{value * 1000:.2f}", f"{(value - bare) * 1000:+.2f}"]
            for name, value in report["first byte"].items()
        ]
        print("First byte of a stream while recording, median in ms (the provider itself waits 5 ms):\n")
        table(["system", "median", "added"], rows)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--peers", type=pathlib.Path, default=pathlib.Path("peers"))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", type=lambda text: text.lower().split(","), default=None)
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    report = {"load before": os.getloadavg()[0]}
    for kind in ("JSON", "SSE"):
        measure(kind, options, report)
    latency(options, report)
    report["load after"] = os.getloadavg()[0]
    if options.json:
        options.json.write_text(json.dumps(report, indent=1))
    show(report)
    print(f"load average {report['load before']:.1f} before, {report['load after']:.1f} after, {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
