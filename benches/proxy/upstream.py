"""A fake provider on loopback: OpenAI, Anthropic and Ollama, whole and streamed, and misbehaving on request.

    python upstream.py [--port N] [--salt TEXT] [--first-byte MS] [--gap MS] [--cut-every BYTES] [--gzip] [--crlf]
                       [--cookie TEXT]

Prints its port, then answers each line on standard input with what it has seen so far, as JSON. Every answer is a
function of the request and the salt. `--cut-every` cuts streams after that many bytes wherever they are, within lines
and letters too; `--crlf` ends the lines of event streams with CR LF.
"""

import argparse
import asyncio
import contextlib
import gzip
import hashlib
import json
import logging
import os
import subprocess
import sys
import zlib

import dialects
import model

REASONS = {
    200: "OK",
    302: "Found",
    400: "Bad Request",
    404: "Not Found",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
    529: "Overloaded",
}


class Quit(Exception):
    """The connection is closed without another word."""


class Server:
    def __init__(self, options):
        self.options = options
        self.connections = 0
        self.served = 0
        self.paths = {}
        self.refused = set()
        self.last_headers = {}

    def report(self) -> dict:
        return {
            "connections": self.connections,
            "requests": self.served,
            "paths": self.paths,
            "headers": self.last_headers,
        }

    async def connection(self, reader, writer):
        self.connections += 1
        try:
            while await self.exchange(reader, writer):
                pass
        except (Quit, asyncio.IncompleteReadError, ConnectionError, asyncio.LimitOverrunError, asyncio.CancelledError):
            pass
        finally:
            with contextlib.suppress(ConnectionError):
                writer.close()

    async def exchange(self, reader, writer) -> bool:
        """Serves one request; false when the connection ends."""
        start = (await reader.readline()).decode("latin-1").split()
        if len(start) != 3:
            return False
        headers = {}
        while line := (await reader.readline()).strip():
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        if headers.get("expect") == "100-continue":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await self.body(reader, headers)
        path = start[1].partition("?")[0]
        self.served += 1
        self.paths[f"{start[0]} {path}"] = self.paths.get(f"{start[0]} {path}", 0) + 1
        self.last_headers = headers
        await self.reply(writer, start[0], path, headers, body)
        await writer.drain()
        return headers.get("connection", "").lower() != "close"

    async def body(self, reader, headers) -> bytes:
        if headers.get("transfer-encoding", "").lower() == "chunked":
            body = b""
            while size := int((await reader.readline()).split(b";")[0], 16):
                body += await reader.readexactly(size)
                await reader.readline()
            while (await reader.readline()).strip():
                pass
        else:
            body = await reader.readexactly(int(headers.get("content-length", "0")))
        unpack = {"gzip": gzip.decompress, "deflate": zlib.decompress}.get(headers.get("content-encoding"))
        with contextlib.suppress(OSError, EOFError, zlib.error):
            body = unpack(body) if unpack else body
        return body

    async def reply(self, writer, method, path, headers, body):
        if method in ("GET", "HEAD"):
            found = dialects.get(path, headers)
            if path == "/" and found is None:
                return self.whole(writer, 200, b"Ollama is running", headers, "text/plain", method == "HEAD")
            status = 404 if found is None else 200
            found = found or {"error": {"message": f"no {path} here", "type": "not_found"}}
            return self.whole(writer, status, json.dumps(found).encode(), headers, head=method == "HEAD")
        speak = dialects.POST.get(path)
        try:
            asked = json.loads(body)
        except (ValueError, RecursionError):
            asked = None
        if speak is None or not isinstance(asked, dict) or not isinstance(asked.get("model"), str):
            # What is no call of a model comes back as it went, so that opaque bytes can be compared too.
            status = 400 if speak else 200
            return self.whole(writer, status, body, headers, headers.get("content-type", "application/octet-stream"))
        turn = model.answer(asked)
        await self.misbehave(writer, turn.faults, body, headers)
        if self.options.first_byte:
            await asyncio.sleep(self.options.first_byte / 1000)
        said = speak(asked, turn, self.options.salt)
        if isinstance(said, list):
            kind = "application/x-ndjson" if path.startswith("/api/") else "text/event-stream; charset=utf-8"
            return await self.stream(writer, said, kind, turn.faults)
        return self.whole(writer, 200, json.dumps(said, ensure_ascii=False).encode(), headers, faults=turn.faults)

    async def misbehave(self, writer, faults, body, headers):
        once = hashlib.sha256(body).digest()
        status = faults.get("status")
        if "once" in faults and once not in self.refused:
            self.refused.add(once)
            status = faults["once"]
        if status:
            error = {"type": "error", "error": {"type": "overloaded_error", "message": f"fake {status}"}}
            self.whole(writer, int(status), json.dumps(error).encode(), headers, extra={"retry-after": "0"})
            await writer.drain()
            raise Quit
        if "redirect" in faults:
            self.whole(writer, 302, b"", headers, extra={"location": faults["redirect"]})
            await writer.drain()
            raise Quit
        if "close" in faults:
            raise Quit
        if "stall" in faults:
            await asyncio.sleep(float(faults["stall"]))

    def whole(self, writer, status, body, headers, kind="application/json", head=False, extra=None, faults=None):
        faults = faults or {}
        fields = {"content-type": kind, "x-request-id": "req_" + hashlib.sha256(body).hexdigest()[:16]}
        if self.options.gzip and len(body) > 200 and "gzip" in headers.get("accept-encoding", ""):
            body, fields["content-encoding"] = gzip.compress(body, 6, mtime=0), "gzip"
        fields["content-length"] = str(len(body) + int(faults.get("lie") or 0))
        fields |= extra or {}
        if self.options.cookie:
            fields["set-cookie"] = f"session={self.options.cookie}"
        writer.write(head_of(status, fields))
        if not head:
            writer.write(body[: int(faults["cut"])] if "cut" in faults else body)
        if "cut" in faults or "lie" in faults:
            raise Quit

    async def stream(self, writer, events, kind, faults):
        name = "x-request-id"
        writer.write(head_of(200, {"content-type": kind, "transfer-encoding": "chunked", name: "req_stream"}))
        sent, waiting = 0, b""
        for event in events:
            if "error-event" in faults and sent:
                event = ("error", {"type": "error", "error": {"type": "overloaded_error", "message": "fake"}})
            framed = frame(event, kind, self.options.crlf)
            if "cut" in faults and sent + len(framed) >= int(faults["cut"]):
                chunk(writer, framed[: int(faults["cut"]) - sent])
                await writer.drain()
                raise Quit
            sent += len(framed)
            waiting += framed
            size = self.options.cut_every or len(waiting)
            while len(waiting) >= size > 0:
                chunk(writer, waiting[:size])
                waiting = waiting[size:]
            if self.options.gap:
                await writer.drain()
                await asyncio.sleep(self.options.gap / 1000)
            if "error-event" in faults and event[0] == "error":
                break
        if waiting:
            chunk(writer, waiting)
        writer.write(b"0\r\n\r\n")


def head_of(status: int, fields: dict) -> bytes:
    lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Other')}"] + [
        f"{name}: {value}" for name, value in fields.items()
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def frame(event, kind: str, crlf: bool) -> bytes:
    name, data = event
    if kind == "application/x-ndjson":
        return json.dumps(data, ensure_ascii=False).encode() + b"\n"
    if isinstance(data, bytes):
        framed = data
    else:
        named = f"event: {name}\n" if name else ""
        framed = f"{named}data: {json.dumps(data, ensure_ascii=False)}\n\n".encode()
    return framed.replace(b"\n", b"\r\n") if crlf else framed


def chunk(writer, data: bytes):
    if data:
        writer.write(b"%x\r\n%b\r\n" % (len(data), data))


async def serve(options):
    server = Server(options)
    listening = await asyncio.start_server(server.connection, "127.0.0.1", options.port, limit=1 << 26, backlog=512)
    print(listening.sockets[0].getsockname()[1], flush=True)
    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while await commands.readline():
        print(json.dumps(server.report()), flush=True)


class Upstream:
    """The server in a process of its own, for a `with` block."""

    def __init__(self, *options: str):
        command = [sys.executable, os.path.abspath(__file__), *options]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())
        self.url = f"http://127.0.0.1:{self.port}"

    def seen(self) -> dict:
        """Connections, requests and their paths so far."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()


def main():
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--salt", default="")
    parser.add_argument("--first-byte", type=float, default=0)
    parser.add_argument("--gap", type=float, default=0)
    parser.add_argument("--cut-every", type=int, default=0)
    parser.add_argument("--gzip", action="store_true")
    parser.add_argument("--crlf", action="store_true")
    parser.add_argument("--cookie")
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
