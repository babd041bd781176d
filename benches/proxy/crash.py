"""Kills the recorder and looks at what is left: `python3 crash.py RUNPROOF [RANDOM-KILLS]`. See README.md."""

import hashlib
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time

from harness import CONVERSATION, Runproof, children
from upstream import Upstream

STREAM = """
import os, sys
sys.path.insert(0, sys.argv[1])
from conversation import Wire
wire = Wire(os.environ["OPENAI_BASE_URL"])
body = b'{"model": "gpt-4o-mini", "stream": true, "messages": [{"role": "user", "content": "%s"}]}'
for ask in sys.argv[3:]:
    if ask.startswith("half "):
        head = b"POST /v1/chat/completions HTTP/1.1\\r\\nhost: x\\r\\ncontent-length: %d\\r\\n\\r\\n"
        whole = body % ask.encode()
        wire = Wire(os.environ["OPENAI_BASE_URL"])
        wire.socket.sendall(head.replace(b"host: x", b"host: " + wire.host.encode()) % len(whole) + whole)
        got = b""
        while got.count(b"data:") < 5:
            got += wire.socket.recv(1000)
        open(sys.argv[2], "w").write("reached")
        if "leave" in ask:
            wire.socket.close()
            wire = Wire(os.environ["OPENAI_BASE_URL"])
        else:
            while wire.socket.recv(1000):
                pass
    else:
        try:
            print(wire.call("/chat/completions", body % ask.encode())[0])
        except ConnectionError as error:
            print("cut:", error)
            wire = Wire(os.environ["OPENAI_BASE_URL"])
"""


def kill(process: subprocess.Popen):
    # The recorder first: killed before it, the client would be seen to leave.
    for pid in children(process.pid):
        try:
            os.kill(pid, 9)
        except ProcessLookupError:
            pass
    process.wait()


def wait(mark: pathlib.Path, process: subprocess.Popen):
    until = time.time() + 60
    while not mark.exists():
        assert process.poll() is None, process.stderr.read()[-2000:]
        assert time.time() < until, "the client does not get there"
        time.sleep(0.005)


def digest_of(runproof: Runproof, calls: list[dict]) -> str:
    found = hashlib.sha256()
    for call in calls:
        shown = [runproof.program, "show", "last", "--event", str(call["i"]), "--body", "reply"]
        found.update(
            subprocess.run(shown, cwd=runproof.folder, env=runproof.environment, capture_output=True, check=True).stdout
        )
    return found.hexdigest()


def verified(runproof: Runproof):
    done = runproof.run("store", "verify")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def told(runproof: Runproof) -> list:
    """Target, status, bytes of the reply and how it was cut, for every exchange of the last run."""
    out = runproof.folder / "exchanges.jsonl"
    done = runproof.run("store", "export", "--jsonl", "last", str(out))
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    return [(line["target"], line["status"], len(line["reply"].encode()), line.get("aborted")) for line in lines]


def after_thirty(program: str, folder: pathlib.Path, upstream: Upstream):
    bare = json.loads(
        subprocess.run(
            [*CONVERSATION, "--calls", "30", "--url", upstream.url + "/v1"], capture_output=True, text=True, check=True
        ).stdout
    )
    runproof, mark = Runproof(program, folder / "thirty", upstream.url), folder / "mark"
    process = runproof.start("record", "--", *CONVERSATION, "--signal", f"30:{mark}")
    wait(mark, process)
    kill(process)
    print("after call 30 of 60:", verified(runproof))
    calls = runproof.calls()
    assert len(calls) == 30, f"{len(calls)} calls"
    assert digest_of(runproof, calls) == bare["digest"], "the replies differ from those of the provider"
    print("after call 30 of 60: 30 of 30 calls kept, every reply equal to the provider's")


def during_a_stream(program: str, folder: pathlib.Path):
    """One call whole, then the recorder is killed in the middle of a stream."""
    with Upstream("--gap", "30") as slow:
        runproof, mark = Runproof(program, folder / "stream", slow.url), folder / "mark-stream"
        client = [sys.executable, "-c", STREAM, os.path.dirname(CONVERSATION[1]), str(mark)]
        process = runproof.start("record", "--", *client, "whole [[say one]]", "half [[prose 2000]]")
        wait(mark, process)
        kill(process)
        print("during a stream:", verified(runproof))
        print("during a stream, the run:", runproof.run("log").stdout.strip())
        exchanges = told(runproof)
        for exchange in exchanges:
            print("   ", *exchange)
        assert len(exchanges) == 2 and exchanges[0][3] is None, "the whole call is there, and nothing else is whole"
        assert exchanges[1][3]["by"] == "recorder" and exchanges[1][3]["at"] > 0, "what was under way is marked"


def cut_and_left(program: str, folder: pathlib.Path, upstream: Upstream):
    """Streams that the provider cuts, or the client leaves: recorded as such, and the run goes on."""
    with Upstream("--gap", "10") as slow:
        runproof, mark = Runproof(program, folder / "cut", slow.url), folder / "mark-cut"
        client = [sys.executable, "-c", STREAM, os.path.dirname(CONVERSATION[1]), str(mark)]
        asks = ["whole [[say one]]", "[[prose 900]] [[cut 1500]]", "half leave [[prose 2000]]", "whole [[say two]]"]
        done = runproof.run("record", "--", *client, *asks)
        print(f"cut by the provider, left by the client: exit {done.returncode}, {verified(runproof)}")
        print("    client saw:", done.stdout.split("\n"))
        exchanges = told(runproof)
        for exchange in exchanges:
            print("   ", *exchange)
        assert [(cut or {}).get("by") for *_, cut in exchanges] == [None, "server", "client", None]
        mark.unlink(missing_ok=True)
        replayed = runproof.run("replay", "last", "--", *client, *asks)
        print(f"    replay: exit {replayed.returncode}, client saw: {replayed.stdout.splitlines()}")
        assert replayed.returncode == 0 and replayed.stdout == done.stdout
        print("    " + replayed.stderr.strip().replace("\n", "\n    ")[-1500:])


def at_random(program: str, folder: pathlib.Path, upstream: Upstream, trials: int):
    kept, chance = [], random.Random(5)
    for trial in range(trials):
        runproof, report = Runproof(program, folder / f"random-{trial}", upstream.url), folder / "report"
        process = runproof.start(
            "record", "--", *CONVERSATION, *(["--sse"] if trial % 2 else []), "--report", str(report)
        )
        time.sleep(chance.uniform(0.05, 1.5))
        kill(process)
        if not list(runproof.store().glob("*")) or runproof.run("log").stdout == "":
            kept.append(-1)
            continue
        verified(runproof)
        kept.append(len(runproof.calls()))
    print(
        f"{trials} kills at random moments: every store verifies; calls kept {sorted(kept)} (-1: before the run began)"
    )


def main():
    program, trials = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 20
    with Upstream() as upstream, tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        after_thirty(program, folder, upstream)
        during_a_stream(program, folder)
        cut_and_left(program, folder, upstream)
        at_random(program, folder, upstream, trials)


if __name__ == "__main__":
    main()
