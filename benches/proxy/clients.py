"""Records and replays real clients, unmodified, against the fake provider. See README.md.

    python clients.py RUNPROOF [--prefix FOLDER] [--only NAME,…] [--weights FILE]

A client that is not installed is skipped, loudly. The exit code is 1 if any client that is there does not record, or
does not replay to the byte.
"""

import argparse
import dataclasses
import hashlib
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

from harness import HERE, Runproof, stop
from upstream import Upstream

SCRIPTS = HERE / "clients"
TASK_LS = "Look around. [[call %s]] [[say One file, naïve “a.py”.]]"
FIX = """[[say a.py
```python
<<<<<<< SEARCH
print("hi")
=======
print("hello")
>>>>>>> REPLACE
```
]]"""


@dataclasses.dataclass
class Client:
    """One client: what must be there, how it is called, and what had to be set besides the base URL and a key."""

    name: str
    needs: str
    command: list
    variables: dict = dataclasses.field(default_factory=dict)
    flags: tuple = ()
    had_to: str = "–"
    files: dict = dataclasses.field(default_factory=dict)
    home: dict = dataclasses.field(default_factory=dict)
    bare: tuple = ()
    real: bool = False


def scripted(name: str, script: str, venv: str, **more) -> Client:
    return Client(name, f"{venv}/bin/python", ["{needs}", str(SCRIPTS / script)], **more)


def node(name: str, script: str, package: str) -> Client:
    return Client(name, f"node/node_modules/{package}", ["node", script], files={script: SCRIPTS / script})


QUIET = {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}
CLIENTS = (
    scripted("openai (Python), blocking", "openai_sync.py", "sdk"),
    scripted("openai (Python), async", "openai_async.py", "sdk"),
    scripted("anthropic (Python), blocking", "anthropic_sync.py", "sdk"),
    scripted("anthropic (Python), async", "anthropic_async.py", "sdk"),
    scripted("ollama (Python), blocking", "ollama_sync.py", "sdk"),
    scripted("ollama (Python), async", "ollama_async.py", "sdk"),
    scripted(
        "litellm",
        "litellm_all.py",
        "litellm",
        variables=QUIET,
        had_to="LITELLM_LOCAL_MODEL_COST_MAP=True, or it first asks a web site for prices",
    ),
    node("openai (Node)", "openai_node.mjs", "openai"),
    node("@anthropic-ai/sdk (Node)", "anthropic_node.mjs", "@anthropic-ai/sdk"),
    Client("llm, OpenAI model", "llm/bin/llm", ["{needs}", "-m", "gpt-4o-mini", "plain [[say grüß Gott]]"]),
    Client("llm, llm-ollama", "llm/bin/llm", ["{needs}", "-m", "ollama/llama3.2:1b", "plain [[say grüß Gott]]"]),
    Client(
        "llm, llm-anthropic",
        "llm/bin/llm",
        ["{needs}", "-m", "claude-sonnet-4.5", "--no-stream", "a [[say grüß Gott]]"],
    ),
    Client(
        "mini-swe-agent",
        "mini/bin/mini",
        [
            "{needs}",
            "-m",
            "openai/gpt-4o-mini",
            "-y",
            "--exit-immediately",
            "-t",
            'Look. [[call bash {"command": "ls"}]] [[call bash {"command": "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"}]]',
        ],
        variables=QUIET | {"MSWEA_CONFIGURED": "true", "MSWEA_COST_TRACKING": "ignore_errors"},
        had_to="MSWEA_CONFIGURED=true, or it asks questions at its first start",
    ),
    Client(
        "aider",
        "aider/bin/aider",
        [
            "{needs}",
            "--model",
            "openai/gpt-4o-mini",
            "--edit-format",
            "diff",
            "--yes-always",
            "--no-git",
            "--no-show-model-warnings",
            "--no-check-update",
            "--analytics-disable",
            "--no-detect-urls",
            "--no-pretty",
            "--message",
            "Say hello. " + FIX,
            "a.py",
        ],
        variables=QUIET,
        home={".aider/caches/model_prices_and_context_window.json": '{"gpt-4o-mini": {"mode": "chat"}}'},
        had_to="--no-check-update --analytics-disable, and its cached price list: all three ask elsewhere",
    ),
    Client(
        "Claude Code",
        "node/node_modules/.bin/claude",
        [
            "{needs}",
            "-p",
            TASK_LS % 'Bash {"command": "ls", "description": "list"}',
            "--model",
            "claude-sonnet-4-5",
            "--allowedTools",
            "Bash",
            "--no-session-persistence",
            "--session-id",
            "11111111-2222-4333-8444-555555555555",
        ],
        variables={"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_AUTOUPDATER": "1"},
        had_to="--session-id, or it makes up one; CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1",
    ),
    Client(
        "Codex",
        "node/node_modules/.bin/codex",
        ["{needs}", "exec", "--skip-git-repo-check", "-m", "gpt-5-codex", TASK_LS % 'exec_command {"cmd": "ls"}'],
        flags=("--normalise", "uuids,codex"),
        bare=("-c", 'openai_base_url="{url}/v1"'),
        had_to="--normalise uuids,codex: it puts new ids and times into every request",
    ),
)
LLAMACPP = scripted("openai (Python) before llama.cpp", "llamacpp.py", "sdk", real=True)


def outcome(done: subprocess.CompletedProcess) -> str:
    return hashlib.sha256(done.stdout.encode()).hexdigest()


def work(place: pathlib.Path, client: Client, prefix: pathlib.Path):
    """The client's folder as it is before every run: one file, and what it needs beside."""
    for entry in place.iterdir():
        if entry.name not in (".runproof", "home"):
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    (place / "a.py").write_text('print("hi")\n')
    for name, source in client.files.items():
        (place / name).write_text(source.read_text("utf-8"), "utf-8")
    for name, text in client.home.items():
        (place / "home" / name).parent.mkdir(parents=True, exist_ok=True)
        (place / "home" / name).write_text(text)
    if client.files:
        (place / "node_modules").symlink_to(prefix / "node/node_modules")


def check(client: Client, program: str, prefix: pathlib.Path, url: str, seen) -> tuple[str, list[str]]:
    """Records and replays one client; returns what is wrong, if anything, and the row."""
    with tempfile.TemporaryDirectory() as folder:
        place = pathlib.Path(folder)
        runproof = Runproof(program, place, url, **client.variables)
        command = [word.replace("{needs}", str(prefix / client.needs)) for word in client.command]
        work(place, client, prefix)
        bare = subprocess.run(
            [*command, *(word.replace("{url}", url) for word in client.bare)],
            cwd=place,
            env=runproof.environment,
            capture_output=True,
            text=True,
            timeout=120,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        if bare.returncode:
            return "does not run by itself: " + bare.stderr[-500:], [client.name, "–", "–", client.had_to]
        work(place, client, prefix)
        before = seen()
        start = time.time()
        recorded = runproof.run("record", *client.flags, "--", *command, timeout=120)
        took = time.time() - start
        arrived = seen()["requests"] - before["requests"]
        if recorded.returncode:
            wrong = f"record: exit {recorded.returncode}: {recorded.stderr[-1500:]}"
            return wrong, [client.name, "–", "–", client.had_to]
        calls = len(runproof.calls())
        work(place, client, prefix)
        before = seen()
        replayed = runproof.run("replay", "last", "--", *command, timeout=120)
        reached = seen()["connections"] - before["connections"]
        wrong = []
        if replayed.returncode:
            wrong.append(f"replay: exit {replayed.returncode}: {replayed.stderr[-3000:]}{replayed.stdout[-500:]}")
        if outcome(recorded) != outcome(replayed):
            wrong.append(f"other output: {recorded.stdout[-300:]!r} / {replayed.stdout[-300:]!r}")
        if reached:
            wrong.append(f"{reached} connections reached the provider in replay")
        if arrived and calls != arrived:
            wrong.append(f"{arrived} requests arrived, {calls} were recorded")
        if not client.real and outcome(bare) != outcome(recorded):
            print(f"note: {client.name} prints something else without a recorder", file=sys.stderr)
        if runproof.run("store", "verify").returncode:
            wrong.append("the store does not verify")
        equal = "no" if wrong else "yes"
        return "; ".join(wrong), [client.name, str(calls), equal, client.had_to, f"{took:.1f}"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--prefix", type=pathlib.Path, default=pathlib.Path("clients-installed"))
    parser.add_argument("--only", type=lambda text: text.lower().split(","), default=[])
    parser.add_argument("--weights")
    options = parser.parse_args()
    prefix, rows, failures = options.prefix.resolve(), [], 0

    def one(client, url, seen):
        nonlocal failures
        if options.only and not any(part in client.name.lower() for part in options.only):
            return
        if not (prefix / client.needs).exists():
            print(f"SKIPPED: {client.name}: {client.needs} is not installed", file=sys.stderr)
            rows.append([client.name, "skipped", "–", "not installed"])
            return
        try:
            wrong, row = check(client, options.program, prefix, url, seen)
        except subprocess.TimeoutExpired as error:
            wrong, row = f"timed out after {error.timeout} s", [client.name, "–", "no", client.had_to]
        rows.append(row)
        if wrong:
            failures += 1
            print(f"WRONG: {client.name}: {wrong}", file=sys.stderr)

    with Upstream("--gzip", "--cut-every", "37") as upstream:
        for client in CLIENTS:
            one(client, upstream.url, upstream.seen)
    if options.weights:
        server = [
            str(prefix / "xllamacpp/bin/python"),
            str(HERE.parent / "llamacpp/server.py"),
            options.weights,
            "0",
            "2048",
            "1",
        ]
        process = subprocess.Popen(server, stdout=subprocess.PIPE, text=True, stderr=subprocess.DEVNULL)
        try:
            one(LLAMACPP, process.stdout.readline().strip(), lambda: {"requests": 0, "connections": 0})
        finally:
            stop(process)
    else:
        print("SKIPPED: llama.cpp: no --weights", file=sys.stderr)
    print("| client | calls recorded | replay equal | what had to be set | record s |\n|---|---|---|---|---|")
    for row in rows:
        print("| " + " | ".join(row + [""] * (5 - len(row))) + " |")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
