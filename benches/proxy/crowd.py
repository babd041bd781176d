"""Fifty clients at once, streaming: `python3 crowd.py RUNPROOF [CLIENTS] [SECONDS]`. See README.md.

Each client asks something of its own again and again, and compares every byte of the stream with what the provider must
say to exactly that. The same calls are then replayed, and the digests of all streams compared.
"""

import asyncio
import hashlib
import json
import os
import pathlib
import re
import sys
import tempfile
import time


async def one(number: int, host: str, port: int, plan: list, until: float, digests: dict, tools):
    reader, writer = await asyncio.open_connection(host, port, limit=1 << 24)
    call = 0
    while call < plan[number] if plan else time.time() < until:
        prompt = f"client {number} call {call} [[prose {400 + number * 7 % 200}]]"
        body = {
            "model": "gpt-4o-mini",
            "temperature": 0,
            "seed": number,
            "stream": True,
            "messages": [{"role": "user", "content": prompt}],
        }
        sent = json.dumps(body).encode()
        writer.write(
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: {host}:{port}\r\nauthorization: Bearer x\r\n"
            f"content-type: application/json\r\ncontent-length: {len(sent)}\r\n\r\n".encode()
            + sent
        )
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in head.split(b"\r\n")[0]:
            rest = await reader.read(2000)
            sys.exit(f"client {number} call {call}: {head.decode()} {rest.decode(errors='replace')}")
        got = b""
        if length := re.search(rb"content-length: (\d+)", head.lower()):
            got = await reader.readexactly(int(length.group(1)))
        else:
            while size := int(await reader.readuntil(b"\r\n"), 16):
                got += (await reader.readexactly(size + 2))[:-2]
            await reader.readexactly(2)
        said = b"".join(
            json.loads(line[6:])["choices"][0]["delta"].get("content", "").encode()
            for line in got.splitlines()
            if line.startswith(b"data: {")
        )
        if said != tools.answer(body).text.encode():
            sys.exit(f"client {number} call {call} got another's answer: {said[:200]!r}")
        digests[f"{number}/{call}"] = hashlib.sha256(got).hexdigest()
        call += 1
    writer.close()


async def crowd(clients: int, seconds: float, plan: list) -> dict:
    import urllib.parse

    import model

    at = urllib.parse.urlsplit(os.environ["OPENAI_BASE_URL"])
    digests, start = {}, time.time()
    await asyncio.gather(*(one(n, at.hostname, at.port, plan, start + seconds, digests, model) for n in range(clients)))
    counts = [0] * clients
    for key in digests:
        counts[int(key.split("/")[0])] += 1
    whole = hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()
    return {"counts": counts, "digest": whole, "seconds": time.time() - start}


def main():
    if sys.argv[1] == "--client":
        found = asyncio.run(crowd(int(sys.argv[2]), float(sys.argv[3]), json.loads(sys.argv[4])))
        pathlib.Path(sys.argv[5]).write_text(json.dumps(found))
        return
    from harness import Memory, Runproof, size
    from upstream import Upstream

    program, clients = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 50
    seconds = float(sys.argv[3]) if len(sys.argv) > 3 else 60
    with Upstream("--gap", "5") as upstream, tempfile.TemporaryDirectory() as folder:
        runproof, report = (
            Runproof(program, pathlib.Path(folder) / "run", upstream.url),
            pathlib.Path(folder) / "report",
        )

        def go(plan, *verb):
            client = [
                sys.executable,
                os.path.abspath(__file__),
                "--client",
                str(clients),
                str(seconds),
                json.dumps(plan),
            ]
            process = runproof.start(*verb, "--", *client, str(report))
            memory = Memory(process, leave_out="crowd.py")
            out, err = process.communicate(timeout=60 + 20 * seconds)
            if process.returncode:
                sys.exit(f"{verb}: exit {process.returncode}: {out[-1000:]} {err[-3000:]}")
            found = json.loads(report.read_text())
            found["peak"] = memory.peak() / 1024
            return found

        recorded = go([], "record")
        calls, arrived = sum(recorded["counts"]), upstream.seen()["requests"]
        events = len(runproof.calls())
        verify = runproof.run("store", "verify")
        stored = size(runproof.store())
        connections = upstream.seen()["connections"]
        replayed = go(recorded["counts"], "replay", "last")
        reached = upstream.seen()["connections"] - connections
        print(
            f"{clients} clients, {recorded['seconds']:.0f} s: {calls} streams, {calls / recorded['seconds']:.0f}/s; "
            f"arrived {arrived}, recorded {events}; peak {recorded['peak']:.0f} MB, store {stored[0]:,} bytes"
        )
        print(verify.stdout.strip())
        print(
            f"replay: {calls / replayed['seconds']:.0f}/s, peak {replayed['peak']:.0f} MB, "
            f"equal: {replayed['digest'] == recorded['digest']}, connections to the provider: {reached}"
        )
        if not calls == arrived == events or verify.returncode or reached or replayed["digest"] != recorded["digest"]:
            sys.exit("WRONG")


if __name__ == "__main__":
    main()
