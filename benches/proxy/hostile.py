"""Hostile clients and providers, one after the other: `python3 hostile.py RUNPROOF [NAME…]`. See README.md.

Each must be answered with a sensible HTTP error or an ended connection, within its time, and after each the proxy must
still serve a plain call. At the end the store must verify, and hold every call that was answered whole.
"""

import contextlib
import json
import os
import pathlib
import re
import select
import socket
import subprocess
import sys
import tempfile
import threading
import time

from conversation import Wire
from harness import Runproof, stop
from upstream import Upstream


class Proxy:
    """A recorder that listens without a command."""

    def __init__(self, runproof: Runproof, *flags: str):
        self.runproof, self.errors = runproof, b""
        self.process = runproof.start("record", "--listen", "127.0.0.1:0", *flags, text=False)
        # Wherever it says so, the address is the first one with a port.
        until = time.time() + 20
        streams = [self.process.stdout, self.process.stderr]
        while not (found := re.search(rb"127\.0\.0\.1:(\d+)", self.errors)):
            for stream in select.select(streams, [], [], 0.1)[0]:
                self.errors += os.read(stream.fileno(), 65536)
            if self.process.poll() is not None or time.time() > until:
                raise SystemExit(f"the proxy does not start: {self.errors.decode()}")
        self.port = int(found.group(1))
        self.url = f"http://127.0.0.1:{self.port}"
        for stream in streams:
            threading.Thread(target=self.drain, args=(stream,), daemon=True).start()

    def drain(self, stream):
        with contextlib.suppress(OSError, ValueError):
            while data := os.read(stream.fileno(), 65536):
                self.errors += data

    def plain(self, text="are you there? [[say yes]]") -> bool:
        """A plain call gets its plain answer in two seconds."""
        wire = Wire(self.url + "/v1")
        wire.socket.settimeout(2 + 8 * (os.getloadavg()[0] > 4))
        body = json.dumps({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}]}).encode()
        status, reply, _ = wire.call("/chat/completions", body)
        wire.socket.close()
        return status == 200 and json.loads(reply)["choices"][0]["message"]["content"] == "yes"

    def end(self) -> int:
        stop(self.process)
        return self.process.returncode


def raw(proxy: Proxy, *parts, wait: float = 10, host: str = "") -> str:
    """Sends parts as they are (a number is a pause), and returns the head of what comes, or how the connection ended."""
    wire = socket.create_connection(("127.0.0.1", proxy.port), timeout=wait)
    got, start = b"", time.time()
    try:
        for part in parts:
            if isinstance(part, (int, float)):
                time.sleep(part)
            else:
                wire.sendall(part)
        while time.time() - start < wait and (data := wire.recv(65536)):
            got += data
        ended = "" if got else "closed"
    except TimeoutError:
        ended = "(kept open)" if got else f"nothing for {wait:.0f} s"
    except OSError as error:
        ended = type(error).__name__
    finally:
        wire.close()
    head, _, body = got.partition(b"\r\n\r\n")
    first = head.split(b"\r\n")[0].decode(errors="replace")
    return " ".join(f"{first} {ended} {body[:160].decode(errors='replace')}".split())


def post(proxy, text, *more, stream=False, host="", **options) -> str:
    body = json.dumps(
        {"model": "gpt-4o-mini", "stream": stream, "messages": [{"role": "user", "content": text}]}
    ).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: {host or f'127.0.0.1:{proxy.port}'}\r\nconnection: close\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    ).encode()
    return raw(proxy, head + body, *more, **options)


def huge(proxy, size):
    """A body of that many bytes, sent as fast as it is taken."""
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{proxy.port}\r\ncontent-length: {size}\r\n\r\n".encode()
    )
    wire = socket.create_connection(("127.0.0.1", proxy.port), timeout=30)
    sent = 0
    try:
        wire.sendall(head)
        block = b"x" * (1 << 20)
        while sent < size and not select.select([wire], [], [], 0)[0]:
            sent += wire.send(block)
        answer = wire.recv(4096).split(b"\r\n")[0].decode(errors="replace")
    except OSError as error:
        answer = type(error).__name__
    wire.close()
    memory = int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{proxy.process.pid}/status").read_text())[1]) // 1024
    return f"{answer} after {sent >> 20} MB, peak memory {memory} MB"


def slow(proxy, count, seconds):
    """Many connections that send a byte a second and never finish; a plain call meanwhile."""
    wires = [socket.create_connection(("127.0.0.1", proxy.port), timeout=5) for _ in range(count)]
    alive, start = count, time.time()
    for wire in wires:
        wire.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\nx: ")
    served = proxy.plain()
    while time.time() - start < seconds and alive:
        time.sleep(1)
        alive = 0
        for wire in wires:
            try:
                wire.sendall(b"y")
                wire.settimeout(0.001)
                alive += wire.recv(1000) != b""
            except TimeoutError:
                alive += 1
            except OSError:
                pass
    for wire in wires:
        wire.close()
    return f"plain call meanwhile {'served' if served else 'NOT SERVED'}; {count - alive} of {count} closed within {time.time() - start:.0f} s"


def attacks(proxy: Proxy):
    """Name, what is done, and a pattern that the answer must hold."""
    host = f"127.0.0.1:{proxy.port}".encode()
    line = b"POST /v1/chat/completions HTTP/1.1\r\n"
    head = line + b"host: " + host + b"\r\n"
    refused = r"HTTP/1.1 4\d\d|closed|ConnectionReset|BrokenPipe"
    return [
        ("no HTTP at all", lambda: raw(proxy, b"\x16\x03\x01\x02\x00\x01\x00" * 20), refused),
        ("HTTP/2 preface", lambda: raw(proxy, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), refused),
        ("bad request line", lambda: raw(proxy, b"GET\r\n\r\n"), refused),
        ("control bytes in a header", lambda: raw(proxy, head + b"x: a\x00b\r\n\r\n"), refused),
        ("two lengths", lambda: raw(proxy, head + b"content-length: 2\r\ncontent-length: 3\r\n\r\n{}"), refused),
        (
            "length and chunks",
            lambda: raw(proxy, head + b"content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
            refused + "|HTTP/1.1 200",
        ),
        ("negative length", lambda: raw(proxy, head + b"content-length: -1\r\n\r\n"), refused),
        (
            "bad chunk size",
            lambda: raw(proxy, head + b"transfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"),
            refused,
        ),
        (
            "chunk size of 2^64",
            lambda: raw(proxy, head + b"transfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n{}", wait=60),
            refused,
        ),
        (
            "header bomb: 10,000 headers",
            lambda: raw(proxy, head, b"".join(b"x-%d: y\r\n" % i for i in range(10_000)), b"\r\n"),
            refused,
        ),
        ("header bomb: one of 8 MB", lambda: raw(proxy, head, b"x: " + b"y" * (8 << 20) + b"\r\n\r\n"), refused),
        ("1 GB body", lambda: huge(proxy, 1 << 30), r"HTTP/1.1 4\d\d|Reset|BrokenPipe"),
        ("gzip bomb", lambda: gzip_bomb(proxy), r"HTTP/1.1 4\d\d"),
        (
            "body that lies about gzip",
            lambda: raw(proxy, head + b"content-encoding: gzip\r\ncontent-length: 4\r\n\r\nabcd"),
            r"HTTP/1.1 4\d\d|HTTP/1.1 200",
        ),
        (
            "truncated body",
            lambda: raw(proxy, head + b"content-length: 100\r\n\r\n{}", wait=70),
            refused + "|HTTP/1.1 408",
        ),
        ("200 slow clients", lambda: slow(proxy, 200, 60), r"200 of 200 closed"),
        (
            "JSON 100,000 deep",
            lambda: raw(
                proxy, head + b"content-length: 200000\r\nconnection: close\r\n\r\n", b"[" * 100_000 + b"]" * 100_000
            ),
            r"HTTP/1.1 \d\d\d",
        ),
        ("host of somebody else", lambda: post(proxy, "hi", host="evil.example"), r"HTTP/1.1 4\d\d"),
        ("host that is rebound", lambda: post(proxy, "hi", host=f"evil.example:{proxy.port}"), r"HTTP/1.1 4\d\d"),
        (
            "a browser's preflight",
            lambda: raw(
                proxy,
                b"OPTIONS /v1/chat/completions HTTP/1.1\r\nhost: "
                + host
                + b"\r\norigin: http://evil.example\r\naccess-control-request-method: POST\r\nconnection: close\r\n\r\n",
            ),
            r"HTTP/1.1 \d\d\d",
        ),
        (
            "absolute address to elsewhere",
            lambda: raw(
                proxy, b"GET http://evil.example/v1/models HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n"
            ),
            r"HTTP/1.1 4\d\d",
        ),
        (
            "CONNECT",
            lambda: raw(proxy, b"CONNECT evil.example:443 HTTP/1.1\r\nhost: evil.example:443\r\n\r\n"),
            r"HTTP/1.1 4\d\d",
        ),
        (
            "WebSocket upgrade",
            lambda: raw(
                proxy,
                b"GET /v1/responses HTTP/1.1\r\nhost: "
                + host
                + b"\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: eA==\r\nsec-websocket-version: 13\r\n\r\n",
            ),
            r"HTTP/1.1 426",
        ),
        (
            "path with .. and %00",
            lambda: raw(
                proxy, b"GET /v1/../../etc/passwd%00 HTTP/1.1\r\nhost: " + host + b"\r\nconnection: close\r\n\r\n"
            ),
            r"HTTP/1.1 \d\d\d",
        ),
        ("provider: resets before an answer", lambda: post(proxy, "[[close]]"), r"HTTP/1.1 502"),
        ("provider: cuts a stream", lambda: post(proxy, "[[prose 900]] [[cut 1500]]", stream=True), r"HTTP/1.1 200"),
        ("provider: cuts a body", lambda: post(proxy, "[[prose 900]] [[cut 300]]"), r"HTTP/1.1 (200|502)|closed"),
        (
            "provider: lies about its length",
            lambda: post(proxy, "[[say hi]] [[lie 500]]"),
            r"HTTP/1.1 (200|502)|closed",
        ),
        ("provider: 200 and an error event", lambda: post(proxy, "[[error-event]]", stream=True), r"HTTP/1.1 200 .*"),
        (
            "provider: redirects elsewhere",
            lambda: post(proxy, "[[redirect http://127.0.0.1:1/]]"),
            r"HTTP/1.1 (302|502)",
        ),
        ("provider: stalls, client leaves", lambda: post(proxy, "[[stall 30]]", wait=1), r"nothing for 1 s"),
        ("client leaves a stream", lambda: leave(proxy), r"left"),
        ("400 connections, nothing said", lambda: silent(proxy, 400), r"served"),
    ]


def gzip_bomb(proxy):
    import gzip

    body = gzip.compress(b"0" * (1 << 30), 9)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{proxy.port}\r\ncontent-encoding: gzip\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
    answer = raw(proxy, head.encode(), body, wait=60)
    memory = int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{proxy.process.pid}/status").read_text())[1]) // 1024
    return f"{answer[:100]}, {len(body) >> 10} kB became 1 GB; peak memory {memory} MB"


def leave(proxy):
    wire = socket.create_connection(("127.0.0.1", proxy.port), timeout=5)
    body = json.dumps(
        {"model": "m", "stream": True, "messages": [{"role": "user", "content": "[[prose 9000]]"}]}
    ).encode()
    wire.sendall(
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{proxy.port}\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        + body
    )
    got = wire.recv(400)
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    wire.close()
    return f"left after {len(got)} bytes"


def silent(proxy, count):
    wires = []
    try:
        for _ in range(count):
            wires.append(socket.create_connection(("127.0.0.1", proxy.port), timeout=5))
        return f"{len(wires)} connections, plain call {'served' if proxy.plain() else 'NOT'}"
    except OSError as error:
        return f"{len(wires)} connections, then {error}"
    finally:
        for wire in wires:
            wire.close()


def places(program, folder, upstream):
    """What goes wrong with ports, stores and disks."""
    runproof = Runproof(program, folder / "places", upstream.url)
    first = Proxy(runproof)
    done = runproof.run("record", "--listen", f"127.0.0.1:{first.port}", timeout=20)
    print(f"| port in use | exit {done.returncode} | {' '.join(done.stderr.split())[:200]} |")
    second = None
    try:
        second = Proxy(runproof)
        both = first.plain() and second.plain()
        print(f"| two recorders on one store | both serve: {both} |  |")
    except SystemExit as error:
        print(f"| two recorders on one store | refused | {' '.join(str(error).split())[:200]} |")
    for proxy in filter(None, (first, second)):
        proxy.end()
    print(
        f"| … and the store then | {runproof.run('store', 'verify').stdout.strip()} | {runproof.run('log').stdout.count(chr(10))} runs |"
    )
    done = runproof.run("record", "--", "true")
    print(f"| a command that makes no call | exit {done.returncode} | {' '.join(done.stderr.split())[:250]} |")
    done = runproof.run("record", "--", "/no/such/program")
    print(f"| a command that is not there | exit {done.returncode} | {' '.join(done.stderr.split())[:200]} |")
    if os.getuid() == 0:
        small = folder / "small"
        small.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", small], check=False).returncode == 0:
            try:
                disk_full(program, small, upstream)
            finally:
                subprocess.run(["umount", "-l", small], check=False)


def disk_full(program, small, upstream):
    """Random text until the disk is full: the call is refused, what was answered is kept."""
    runproof = Runproof(program, small, upstream.url)
    proxy, answered, status = Proxy(runproof), 0, 200
    while status == 200 and answered < 200:
        noise = os.urandom(12_000).hex()
        body = json.dumps(
            {"model": "m", "stream": True, "messages": [{"role": "user", "content": f"{noise} [[prose 900]]"}]}
        )
        try:
            wire = Wire(proxy.url + "/v1")
            status, reply, _ = wire.call("/chat/completions", body.encode())
            answered += status == 200 and reply.endswith(b"data: [DONE]\n\n")
        except (ConnectionError, ValueError) as error:
            status, reply = type(error).__name__, b""
    print(
        f"| disk full while streaming | {answered} answered, then {status} | {reply[:200].decode(errors='replace')} |"
    )
    code = proxy.end()
    verify = runproof.run("store", "verify")
    kept = len(runproof.calls()) if verify.returncode == 0 else "?"
    print(
        f"| … and the store then | recorder exit {code}; {kept} calls kept of {answered} answered whole | {(verify.stdout or verify.stderr).strip()[:200]} |"
    )


def main():
    program, only = sys.argv[1], sys.argv[2:]
    wrong = 0
    with Upstream("--gap", "2") as upstream, tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        proxy = Proxy(Runproof(program, folder / "run", upstream.url))
        print("| what | seen | s |\n|---|---|---|")
        for name, attack, pattern in attacks(proxy):
            if only and not any(part in name for part in only):
                continue
            start = time.time()
            try:
                seen = attack()
            except OSError as error:
                seen = f"{type(error).__name__}: {error}"
            took = time.time() - start
            good = re.search(pattern, seen) is not None
            try:
                alive = proxy.plain()
            except (OSError, ValueError) as error:
                alive = False
                seen += f" ({type(error).__name__})"
            verdict = (
                "" if good and alive else " **not as expected**" if alive else " **then no plain call was served**"
            )
            wrong += not (good and alive)
            print(f"| {name} | {seen[:230].replace('|', '¦')}{verdict} | {took:.1f} |", flush=True)
            if proxy.process.poll() is not None:
                sys.exit(f"the proxy is gone: {proxy.errors[-3000:].decode(errors='replace')}")
        code = proxy.end()
        verify = proxy.runproof.run("store", "verify")
        print(f"\nrecorder: exit {code}; store: {verify.stdout.strip()}")
        print(proxy.errors[-1500:].decode(errors="replace"))
        if b"panicked" in proxy.errors or verify.returncode:
            wrong += 1
        if not only:
            print("| what | seen | said |\n|---|---|---|")
            places(program, folder, upstream)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
