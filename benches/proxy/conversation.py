"""A growing conversation over one kept connection: each call repeats all before it and adds 1,000 characters.

    python conversation.py [--sse] [--calls N] [--url URL] [--report FILE] [--linger S] [--signal N:FILE]

The answer's 1,000 characters come from the fake provider, the tool output's from here, both cut from Python's standard
library. Calls go to `--url`, else to OPENAI_BASE_URL. The client is plain sockets, so that it costs little of what is
measured; `--client httpx` takes httpx instead, for recorders that live inside the client. The report holds times,
bytes on the wire and a digest of every reply.
"""

import argparse
import hashlib
import json
import os
import socket
import time
import urllib.parse

import model

SYSTEM = "You repair programs. [[prose 1000]]"


class Talk:
    """The messages so far, kept encoded: only what is new is encoded again."""

    def __init__(self, sse: bool):
        self.sse = sse
        self.parts = [json.dumps({"role": "system", "content": SYSTEM}).encode()]

    def request(self) -> bytes:
        output = model.passage(len(self.parts), 1000)
        self.parts.append(json.dumps({"role": "user", "content": output}).encode())
        head = b'{"model": "gpt-4o-mini", "temperature": 0, "seed": 42, "stream": %b, "messages": ['
        return head % (b"true" if self.sse else b"false") + b", ".join(self.parts) + b"]}"

    def take(self, body: bytes):
        if self.sse:
            lines = body.decode().splitlines()
            events = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
            text = "".join(event["choices"][0]["delta"].get("content") or "" for event in events)
        else:
            text = json.loads(body)["choices"][0]["message"]["content"]
        self.parts.append(json.dumps({"role": "assistant", "content": text}).encode())


class Refused(Exception):
    """An answer that is no 200."""


class Wire:
    """HTTP/1.1 over one socket, no more of it than is needed."""

    def __init__(self, url: str, wait: float = 0):
        at = urllib.parse.urlsplit(url)
        self.host, self.prefix = at.netloc, at.path.rstrip("/")
        until = time.perf_counter() + wait
        while True:
            try:
                self.socket = socket.create_connection((at.hostname, at.port or 80), timeout=60)
                break
            except OSError:
                if time.perf_counter() > until:
                    raise
                time.sleep(0.001)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.rest, self.received, self.sent = b"", 0, 0

    def more(self) -> bytes:
        data = self.socket.recv(1 << 18)
        if not data:
            raise ConnectionError("closed early")
        self.received += len(data)
        return data

    def until(self, mark: bytes) -> bytes:
        while mark not in self.rest:
            self.rest += self.more()
        found, _, self.rest = self.rest.partition(mark)
        return found

    def exactly(self, size: int) -> bytes:
        parts, have = [self.rest], len(self.rest)
        while have < size:
            parts.append(self.more())
            have += len(parts[-1])
        whole = b"".join(parts)
        self.rest = whole[size:]
        return whole[:size]

    def call(self, path: str, body: bytes, extra: str = "") -> tuple[int, bytes, float]:
        """Status, body, and the seconds until the first byte of the body."""
        head = (
            f"POST {self.prefix}{path} HTTP/1.1\r\nhost: {self.host}\r\ncontent-type: application/json\r\n"
            f"authorization: Bearer sk-fake\r\n{extra}content-length: {len(body)}\r\n\r\n"
        ).encode()
        start = time.perf_counter()
        self.socket.sendall(head + body)
        self.sent += len(head) + len(body)
        lines = self.until(b"\r\n\r\n").decode("latin-1").lower().split("\r\n")
        status = int(lines[0].split()[1])
        if not self.rest:
            self.rest = self.more()
        first = time.perf_counter() - start
        fields = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
        if fields.get("transfer-encoding") != "chunked":
            return status, self.exactly(int(fields["content-length"])), first
        parts = []
        while size := int(self.until(b"\r\n"), 16):
            parts.append(self.exactly(size + 2)[:-2])
        self.until(b"\r\n")
        return status, b"".join(parts), first


class Httpx:
    """The same through httpx, for recorders inside the client."""

    def __init__(self, url: str):
        import httpx

        self.client, self.url, self.received, self.sent = httpx.Client(timeout=60, trust_env=False), url, 0, 0

    def call(self, path: str, body: bytes) -> tuple[int, bytes, float]:
        start = time.perf_counter()
        headers = {"content-type": "application/json", "authorization": "Bearer sk-fake"}
        reply = self.client.post(self.url + path, content=body, headers=headers)
        return reply.status_code, reply.content, time.perf_counter() - start


def converse(options) -> dict:
    url = options.url or os.environ["OPENAI_BASE_URL"]
    wire = Httpx(url) if options.client == "httpx" else Wire(url, options.wait)
    talk, digest, firsts, took = Talk(options.sse), hashlib.sha256(), [], 0.0
    at, path = options.signal.split(":", 1) if options.signal else ("-1", "")
    first_reply = 0
    begun = time.perf_counter()
    for number in range(options.calls):
        request = talk.request()
        start = time.perf_counter()
        status, body, first = wire.call("/chat/completions", request)
        took += time.perf_counter() - start
        first_reply = first_reply or time.time_ns()
        if status != 200:
            raise Refused(f"call {number}: {status} {body[:4000].decode(errors='replace')}")
        digest.update(body)
        firsts.append(first)
        talk.take(body)
        if number + 1 == int(at):
            with open(path, "w", encoding="ascii") as file:
                file.write("reached")
            time.sleep(60)
    whole = time.perf_counter() - begun
    time.sleep(options.linger)
    return {
        "calls": options.calls,
        "seconds": took,
        "loop": whole,
        "digest": digest.hexdigest(),
        "firsts": firsts,
        "first_reply_ns": first_reply,
        "sent": wire.sent,
        "received": wire.received,
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--sse", action="store_true")
    parser.add_argument("--calls", type=int, default=60)
    parser.add_argument("--url")
    parser.add_argument("--report")
    parser.add_argument("--linger", type=float, default=0)
    parser.add_argument("--wait", type=float, default=0)
    parser.add_argument("--client", default="wire")
    parser.add_argument("--signal")
    parser.add_argument("--cassette")
    parser.add_argument("--mode", default="none")
    options = parser.parse_args()
    if options.cassette:
        import vcr

        matching = ("method", "uri", "body")
        recorder = vcr.VCR(record_mode=options.mode, match_on=matching, filter_headers=["authorization"])
        start = time.perf_counter()
        with recorder.use_cassette(options.cassette):
            report = converse(options)
        # A cassette is read before the first call and written after the last; both are part of using it.
        report["seconds"] = time.perf_counter() - start
    else:
        report = converse(options)
    with open("/proc/self/status", encoding="ascii") as status:
        report["peak_kb"] = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    if options.report:
        with open(options.report, "w", encoding="utf-8") as file:
            json.dump(report, file)
    else:
        print(json.dumps({key: value for key, value in report.items() if key != "firsts"}))


if __name__ == "__main__":
    main()
