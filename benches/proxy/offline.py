"""Replays beside a provider that counts connections, and must count none: `python3 offline.py RUNPROOF`. See README.md.

The recorded conversation is replayed as it was, with one call more than the tape holds, with an early message changed
late in the conversation, with another parameter, with a store whose bytes were changed, and by a client that tries to
go past the proxy. What the program says of each is printed.
"""

import pathlib
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile

from harness import HERE, Runproof
from upstream import Upstream

CLIENT = """
import json, os, socket, sys
sys.path.insert(0, sys.argv[1])
from conversation import Talk, Wire
change = sys.argv[2]
wire, talk = Wire(os.environ["OPENAI_BASE_URL"]), Talk(False)
if change.startswith("around "):
    # Straight to the provider, past the proxy.
    try:
        socket.create_connection(("127.0.0.1", int(change.split()[1])), timeout=3)
        print("REACHED the provider")
    except OSError as error:
        print("no way around:", error)
for number in range(13 if change == "more" else 12):
    if number == 12:
        body = request
    else:
        request = body = talk.request()
    if change == "message" and number == 10:
        body = body.replace(b"import", b"impart", 1)
    if change == "parameter" and number == 3:
        body = body.replace(b'"seed": 42', b'"seed": 43')
    status, reply, _ = wire.call("/chat/completions", body)
    if status != 200:
        print("client saw", status, reply.decode(errors="replace")[:3000])
        sys.exit(9)
    talk.take(reply)
print("client saw 12 answers")
"""


def main():
    program = sys.argv[1]
    with Upstream() as upstream, tempfile.TemporaryDirectory() as folder:
        runproof = Runproof(program, pathlib.Path(folder) / "run", upstream.url)
        client = [sys.executable, "-c", CLIENT, str(HERE)]
        done = runproof.run("record", "--", *client, "none")
        assert done.returncode == 0, done.stderr
        before = upstream.seen()
        wrong = []

        def replay(change, expect, name=None):
            done = runproof.run("replay", "last", "--", *client, change)
            reached = upstream.seen()["connections"] - before["connections"]
            print(f"== {name or change}: exit {done.returncode}, connections to the provider: {reached}")
            print(done.stdout.rstrip() + "\n-- stderr\n" + done.stderr.rstrip() + "\n")
            if done.returncode != expect or reached or "REACHED" in done.stdout:
                wrong.append(name or change)

        replay("none", 0, "as recorded")
        replay("more", 1, "one call more than recorded")
        replay("message", 1, "a message changed")
        replay("parameter", 1, "a parameter changed")
        replay(f"around {upstream.port}", 0, "a client that goes past the proxy")
        tamper(runproof, client, wrong)
        reached = upstream.seen()["connections"] - before["connections"]
        print(f"connections to the provider in all replays together: {reached}")
        if wrong or reached:
            sys.exit(f"WRONG: {', '.join(wrong)}")


def tamper(runproof, client, wrong):
    """Changes stored bytes, 40 times one and once a word of an answer in a block that is packed again."""
    store = next(path for path in runproof.store().glob("*.sqlite"))
    whole = store.with_suffix(".whole")
    shutil.copy(store, whole)
    answers = runproof.run("replay", "last", "--", *client, "none").stdout
    chance, seen, first = random.Random(1), {}, ""
    for _ in range(40):
        shutil.copy(whole, store)
        with sqlite3.connect(store) as database:
            number, z = chance.choice(database.execute("SELECT id, z FROM block").fetchall())
            at = chance.randrange(len(z))
            z = z[:at] + bytes([z[at] ^ (1 << chance.randrange(8))]) + z[at + 1 :]
            database.execute("UPDATE block SET z = ? WHERE id = ?", (z, number))
        done = runproof.run("replay", "last", "--", *client, "none")
        seen[done.returncode] = seen.get(done.returncode, 0) + 1
        if done.returncode == 0 and done.stdout != answers:
            wrong.append("changed bytes were served")
        if done.returncode and not first:
            first = done.stderr
    print(f"== a bit of a block flipped, 40 times: exit codes {seen}\n{first}")
    if 0 in seen:
        print("note: exit 0 with equal output means that the flipped bit was in bytes that carry nothing")
    if shutil.which("zstd"):
        shutil.copy(whole, store)
        with sqlite3.connect(store) as database:
            changed = 0
            for number, z in database.execute("SELECT id, z FROM block").fetchall():
                plain = subprocess.run(["zstd", "-dc"], input=z, capture_output=True, check=False).stdout
                if b"argparse" in plain:
                    packed = subprocess.run(
                        ["zstd", "-c", f"--stream-size={len(plain)}"],
                        capture_output=True,
                        input=plain.replace(b"argparse", b"argqarse"),
                        check=True,
                    ).stdout
                    database.execute("UPDATE block SET z = ? WHERE id = ?", (packed, number))
                    changed += 1
        done = runproof.run("replay", "last", "--", *client, "none")
        print(
            f"== a word changed in {changed} blocks, packed again: exit {done.returncode}\n{done.stdout}{done.stderr}"
        )
        if changed and done.returncode == 0:
            wrong.append("a changed word was served")
    shutil.copy(whole, store)
    whole.unlink()


if __name__ == "__main__":
    main()
