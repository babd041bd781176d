"""Looks for planted keys in everything that is written: `python3 canary.py RUNPROOF`. See README.md.

Canaries stand in headers of every kind, in the query string, in the environment, in the address of the provider and
in a cookie that the provider sets. They are looked for in the store as it lies on the disk, its write-ahead log while
recording, every block unpacked, every body and observation, all exports, and all output, in plain, base64 and
percent-encoded form.
"""

import base64
import json
import pathlib
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.parse

from harness import Runproof
from upstream import Upstream

HEADERS = (
    "authorization",
    "x-api-key",
    "api-key",
    "x-goog-api-key",
    "proxy-authorization",
    "cookie",
    "openai-organization",
    "x-amz-security-token",
    "x-something-of-my-own",
    "chatgpt-account-id",
    "referer",
)
# Looks like nothing that a pattern could find: only not writing it down helps.
CANARY = "kanarie{}vogel7q"

CLIENT = """
import json, os, socket, sys, time, urllib.parse
at = urllib.parse.urlsplit(os.environ["OPENAI_BASE_URL"])
print("environment", "kanarie" in str({k: v for k, v in os.environ.items() if k == "OPENAI_API_KEY"}))
for mode in ("plain", "stream", "wrong", "opaque", "upgrade", "garbage"):
    wire = socket.create_connection((at.hostname, at.port), timeout=20)
    body = json.dumps({"model": "gpt-4o-mini", "stream": mode == "stream",
                       "messages": [{"role": "user", "content": mode + " [[say hello]]" + (" [[status 400]]" if mode == "wrong" else "")}]})
    path = "/v1/chat/completions" if mode != "opaque" else "/v1/unheard-of"
    head = f"POST {path}?key=%s&api-version=1&access_token=%s HTTP/1.1\\r\\nhost: {at.netloc}\\r\\n" % tuple(sys.argv[1:3])
    head += "".join(f"{name}: {value}\\r\\n" for name, value in json.loads(sys.argv[3]).items())
    if mode == "upgrade":
        head += "connection: upgrade\\r\\nupgrade: websocket\\r\\n"
    if mode == "garbage":
        head += "content-length: many\\r\\n"
    wire.sendall((head + f"content-type: application/json\\r\\ncontent-length: {len(body)}\\r\\nconnection: close\\r\\n\\r\\n" + body).encode())
    got = b""
    try:
        while data := wire.recv(65536):
            got += data
    except OSError as error:
        got += str(error).encode()
    # The provider's cookie is for the client to see.
    print(mode, *(line for line in got.decode(errors="replace").splitlines() if not line.lower().startswith("set-cookie")))
if len(sys.argv) > 4:
    open(sys.argv[4], "w").write("reached")
    time.sleep(3)
"""


def forms(secret: str) -> list[bytes]:
    """The secret as it may be written down."""
    plain = secret.encode()
    encoded = [base64.b64encode(b"x" * shift + plain)[4:-4] for shift in range(3)]
    return [plain, plain.hex().encode(), urllib.parse.quote(secret).encode(), plain[::-1], *encoded]


def main():
    program = sys.argv[1]
    numbers = iter(range(100))
    secrets = {f"header {name}": CANARY.format(next(numbers)) for name in HEADERS}
    secrets |= {
        name: CANARY.format(next(numbers))
        for name in ("query key", "query token", "environment", "own variable", "address", "cookie")
    }
    found = []

    def look(where: str, data: bytes):
        for name, secret in secrets.items():
            if any(form in data for form in forms(secret)):
                found.append(f"{name} in {where}")

    with Upstream("--cookie", secrets["cookie"]) as upstream, tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        address = f"http://user:{secrets['address']}@127.0.0.1:{upstream.port}"
        runproof = Runproof(
            program,
            folder / "run",
            upstream.url,
            OPENAI_API_KEY=secrets["environment"],
            MY_OWN_SECRET=secrets["own variable"],
        )
        values = {name: secrets[f"header {name}"] for name in HEADERS}
        client = [sys.executable, "-c", CLIENT, secrets["query key"], secrets["query token"], json.dumps(values)]
        mark = folder / "mark"
        process = runproof.start("record", "--", *client, str(mark))
        while not mark.exists() and process.poll() is None:
            time.sleep(0.01)
        # While the recorder still holds the store open: the write-ahead log and whatever else lies beside it.
        lying = [path for path in runproof.store().rglob("*") if path.is_file()]
        for path in lying:
            look(f"{path.name} while recording", path.read_bytes())
        out, err = process.communicate(timeout=60)
        print("client saw:\n" + "\n".join(line[:150] for line in out.splitlines()))
        print(f"record: exit {process.returncode}: {err.strip()}")
        look("output of record", err.encode())
        look("output of the client: what the proxy answered", out.encode())
        arrived = upstream.seen()["headers"]
        reached = [name for name in HEADERS if values[name] in str(arrived.get(name))]
        print(
            f"headers that reached the provider as they must: {len(reached)} of {len(HEADERS)}: all but {sorted(set(HEADERS) - set(reached))}"
        )

        replay = runproof.run("replay", "last", "--", *client)
        print(f"replay: exit {replay.returncode}: {replay.stderr.strip()[-600:]}")
        look("output of replay", replay.stderr.encode())
        unreachable = Runproof(program, folder / "nowhere", "http://127.0.0.1:1", OPENAI_API_KEY=secrets["environment"])
        done = unreachable.run("record", "--", *client)
        look("output with no provider", (done.stdout + done.stderr).encode())
        userinfo = Runproof(program, folder / "userinfo", address, OPENAI_API_KEY=secrets["environment"])
        done = userinfo.run("record", "--", *client)
        print(f"a provider's address with a password in it: exit {done.returncode}: {done.stderr.strip()[-300:]}")
        look("output with a password in the address", (done.stdout + done.stderr).encode())

        for place in (runproof, unreachable, userinfo):
            for path in place.store().rglob("*") if place.store().exists() else ():
                if path.is_file():
                    look(path.name, path.read_bytes())
                    unpack(path, look)
            for run in ("log", "show"):
                done = place.run(run, "last", "--json")
                look(f"{run} --json", (done.stdout + done.stderr).encode())
                done = place.run(run, "last", *(["--full"] if run == "show" else []))
                look(run, (done.stdout + done.stderr).encode())
        for option in ((), ("--har",), ("--jsonl",), ("--otlp",)):
            out = folder / f"export{''.join(option)}"
            done = runproof.run("store", "export", *option, "last", str(out))
            print(f"export {' '.join(option)}: exit {done.returncode} {done.stderr.strip()[:200]}")
            look(f"messages of export {option}", (done.stdout + done.stderr).encode())
            if out.exists():
                look(f"export {option}", out.read_bytes())
                unpack(out, look)
    for line in sorted(set(found)):
        print("FOUND:", line)
    print(f"{len(secrets)} canaries, {len(set(found))} found")
    sys.exit(1 if found else 0)


def unpack(path: pathlib.Path, look):
    """Every block of a store, unpacked."""
    try:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
            blocks = database.execute("SELECT z FROM block").fetchall()
            hot = database.execute("SELECT bytes FROM hot").fetchall()
    except sqlite3.DatabaseError:
        return
    for (z,) in blocks:
        plain = (
            subprocess.run(["zstd", "-dc"], input=z, capture_output=True, check=False).stdout
            if shutil.which("zstd")
            else b""
        )
        look(f"a block of {path.name}", plain)
    for (data,) in hot:
        look(f"a row of {path.name}", data)


if __name__ == "__main__":
    main()
