"""Malformed traffic from both sides at random: `python3 fuzz.py RUNPROOF [MINUTES] [SEED]`. See README.md.

Requests are made from valid ones by cutting, doubling, swapping and changing bytes, and are sent in pieces; the
provider answers the same way: heads, chunked framing and event streams that are nearly right. After every hundred
exchanges a plain call must be served within seconds, and the process must be there. At the end the store must verify,
and the log hold no panic.
"""

import json
import pathlib
import random
import socket
import sys
import tempfile
import threading
import time

import dialects
import model
import upstream
from harness import Runproof
from hostile import Proxy

WORKERS = 48
WORDS = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b":",
    b": ",
    b"0\r\n\r\n",
    b"ffffffffffffffff",
    b"-1",
    b"chunked",
    b"data: ",
    b"data: [DONE]\n\n",
    b"event: error\n",
    b"\xef\xbb\xbf",
    b"\xc3",
    b"\xff",
    b"{",
    b"[",
    b'"',
    b"\\u0000",
    b"\\ud800",
    b"1e999",
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 100\r\n\r\n",
    b"transfer-encoding: chunked\r\n",
    b"content-length: 5\r\n",
    b"content-encoding: gzip\r\n",
    b"content-encoding: br\r\n",
    b"content-encoding: zstd\r\n",
    b"connection: close\r\n",
    b"expect: 100-continue\r\n",
    b"upgrade: websocket\r\n",
    b"id: 1\n",
    b"retry: 1\n",
    b": \n",
    b"\xe2\x80\xa8",
    b"x" * 5000,
]
PATHS = [
    "/v1/chat/completions",
    "/v1/responses",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/api/chat",
    "/api/generate",
    "/api/embed",
    "/api/show",
    "/v1/unknown",
    "/",
    "/api/tags",
    "/v1/models",
]


def mutate(data: bytes, chance: random.Random) -> bytes:
    for _ in range(chance.choice((0, 1, 1, 2, 3, 8))):
        at = chance.randrange(len(data) + 1)
        to = min(len(data), at + chance.choice((1, 2, 4, 16, 64)))
        how = chance.randrange(6)
        if how == 0:
            data = data[:at] + data[to:]
        elif how == 1:
            data = data[:at] + data[at:to] * chance.choice((2, 3, 50)) + data[to:]
        elif how == 2:
            data = data[:at] + chance.choice(WORDS) + data[at:]
        elif how == 3 and at < len(data):
            data = data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]
        elif how == 4:
            data = data[:at] + chance.randbytes(to - at) + data[to:]
        else:
            data = data[:at]
    return data


def request(chance: random.Random, host: str) -> bytes:
    path = chance.choice(PATHS)
    text = chance.choice(
        (
            "hi",
            "[[prose 300]]",
            "[[say x]]",
            "naïve 𝄞",
            "[[status 500]]",
            "[[close]]",
            "[[cut 200]]",
            "[[lie 9]]",
            "[[error-event]]",
        )
    )
    body = {
        "model": "m",
        "stream": chance.random() < 0.6,
        "messages": [{"role": "user", "content": text}],
        "input": text,
        "prompt": text,
    }
    if chance.random() < 0.3:
        body |= {
            chance.choice(("temperature", "seed", "n", "options", "tools", "stop", "top_k")): chance.choice(
                (0, -1, 1.5, None, [], {}, "x", 1 << 70)
            )
        }
    data = json.dumps(body, ensure_ascii=chance.random() < 0.5).encode()
    if chance.random() < 0.5:
        data = mutate(data, chance)
    lines = [
        f"{chance.choice(('POST', 'POST', 'POST', 'GET', 'HEAD', 'PUT', 'OPTIONS'))} {path} HTTP/1.1",
        f"host: {host}",
        "content-type: application/json",
    ]
    if chance.random() < 0.3:
        parts = [data[i : i + 50] for i in range(0, len(data), 50)]
        framed = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
        lines.append("transfer-encoding: chunked")
    else:
        framed = data
        lines.append(f"content-length: {len(data)}")
    whole = ("\r\n".join(lines) + "\r\n\r\n").encode() + framed
    return mutate(whole, chance) if chance.random() < 0.6 else whole


def reply(chance: random.Random) -> bytes:
    """What the provider says: right in form, then changed."""
    body = {"model": "m", "stream": chance.random() < 0.7, "messages": [{"role": "user", "content": "[[prose 200]]"}]}
    speak, kind = chance.choice(
        (
            (dialects.chat, "text/event-stream"),
            (dialects.messages, "text/event-stream"),
            (dialects.responses, "text/event-stream"),
            (dialects.POST["/api/chat"], "application/x-ndjson"),
        )
    )
    said = speak(body, model.answer(body), "")
    if isinstance(said, list):
        data = b"".join(upstream.frame(event, kind, chance.random() < 0.3) for event in said)
    else:
        data, kind = json.dumps(said).encode(), "application/json"
    data = mutate(data, chance)
    head = f"HTTP/1.1 {chance.choice((200, 200, 200, 200, 204, 304, 429, 500, 101, 103, 999))} OK\r\ncontent-type: {kind}\r\n"
    if chance.random() < 0.2:
        head += f"content-encoding: {chance.choice(('gzip', 'br', 'deflate', 'zstd', 'compress'))}\r\n"
    if chance.random() < 0.7:
        size = chance.choice((1, 7, 100, 4000))
        parts = [data[i : i + size] for i in range(0, len(data), size)]
        whole = (
            head.encode()
            + b"transfer-encoding: chunked\r\n\r\n"
            + b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in parts)
            + b"0\r\n\r\n"
        )
    else:
        whole = head.encode() + b"content-length: %d\r\n\r\n" % len(data) + data
    return mutate(whole, chance) if chance.random() < 0.6 else whole


def provider(listener: socket.socket, seed: int):
    """Answers every connection once, at random; a plain call with its plain answer."""
    chance, lock = random.Random(seed), threading.Lock()

    def answer(wire):
        with wire:
            wire.settimeout(5)
            try:
                got = wire.recv(1 << 20)
                if b"are you there" in got:
                    told = json.dumps(
                        {"choices": [{"index": 0, "message": {"role": "assistant", "content": "yes"}}]}
                    ).encode()
                    wire.sendall(
                        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b"
                        % (len(told), told)
                    )
                    return
                with lock:
                    data = reply(chance)
                    cut = chance.randrange(1, 2000)
                for at in range(0, len(data), cut):
                    wire.sendall(data[at : at + cut])
            except OSError:
                pass

    while True:
        try:
            wire, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=answer, args=(wire,), daemon=True).start()


def attack(port: int, chance: random.Random, seen: dict):
    data = request(chance, f"127.0.0.1:{port}")
    with socket.create_connection(("127.0.0.1", port), timeout=60) as wire:
        cut = chance.choice((len(data) + 1, len(data) + 1, 1 + chance.randrange(400)))
        try:
            for at in range(0, len(data), cut):
                wire.sendall(data[at : at + cut])
            if chance.random() < 0.8:
                wire.shutdown(socket.SHUT_WR)
            # The proxy gives up on a silent client after half a minute.
            wire.settimeout(chance.choice((0.02, 60, 60, 60)))
            got = b""
            while part := wire.recv(1 << 16):
                got += part
            key = (
                got[9:12].decode(errors="replace") if got.startswith(b"HTTP/1.1 ") else "closed" if not got else "other"
            )
        except TimeoutError:
            key = "left" if wire.gettimeout() < 1 else "HANGS"
        except OSError:
            key = "reset"
    seen[key] = seen.get(key, 0) + 1
    if key == "HANGS" and len(seen.setdefault("hanging", [])) < 5:
        seen["hanging"].append(data[:600])


def main():
    program, minutes = sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 10
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    threading.Thread(target=provider, args=(listener, seed), daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        runproof = Runproof(program, pathlib.Path(folder) / "run", f"http://127.0.0.1:{listener.getsockname()[1]}")
        proxy, until = Proxy(runproof), time.time() + minutes * 60
        counts, trouble = [{} for _ in range(WORKERS)], []

        def worker(number):
            chance, done = random.Random(seed * 1000 + number), 0
            while time.time() < until and not trouble:
                try:
                    attack(proxy.port, chance, counts[number])
                    done += 1
                    if done % 100 == 0 and not proxy.plain():
                        trouble.append("a plain call got another answer")
                except (OSError, ValueError) as error:
                    trouble.append(f"{type(error).__name__}: {error}")
                if proxy.process.poll() is not None:
                    trouble.append(f"the process ended with {proxy.process.returncode}")

        workers = [threading.Thread(target=worker, args=(number,)) for number in range(WORKERS)]
        for one in workers:
            one.start()
        for one in workers:
            one.join()
        ended = proxy.end()
        seen = {}
        for one in counts:
            for key, value in one.items():
                if key != "hanging":
                    seen[key] = seen.get(key, 0) + value
                elif value:
                    print("hangs:", value[0])
        verify = runproof.run("store", "verify")
        panics = proxy.errors.count(b"panicked")
        print(f"{sum(seen.values())} exchanges in {minutes:g} minutes, seed {seed}: {dict(sorted(seen.items()))}")
        print(
            f"panics {panics}, trouble {trouble}, recorder exit {ended}; {verify.stdout.strip()}{verify.stderr.strip()}"
        )
        if trouble or panics or verify.returncode or seen.get("HANGS"):
            print(proxy.errors[-3000:].decode(errors="replace"))
            sys.exit(1)


if __name__ == "__main__":
    main()
