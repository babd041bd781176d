"""What the checks of this folder share: running the program under test, its environment, its memory, its store."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
CONVERSATION = [sys.executable, str(HERE / "conversation.py")]


def environment(url: str, home: pathlib.Path, **more: str) -> dict:
    """The variables with which a client finds the provider, and nothing of the machine's own configuration."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR", "PYENV_VERSION") if name in os.environ}
    urls = {
        "OPENAI_BASE_URL": f"{url}/v1",
        "OPENAI_API_BASE": f"{url}/v1",
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_API_BASE": url,
        "OLLAMA_HOST": url,
        "OLLAMA_API_BASE": url,
        "HOSTED_VLLM_API_BASE": f"{url}/v1",
    }
    keys = {"OPENAI_API_KEY": "sk-fake", "ANTHROPIC_API_KEY": "sk-ant-fake", "HOSTED_VLLM_API_KEY": "fake"}
    return kept | urls | keys | {"HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"} | more


class Runproof:
    """The program in one folder, with one environment."""

    def __init__(self, program: str, folder: pathlib.Path, url: str, **more: str):
        self.program = str(pathlib.Path(program).resolve())
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.environment = environment(url, folder / "home", **more)
        (folder / "home").mkdir(exist_ok=True)

    def run(self, *arguments: str, timeout: float = 600, **more) -> subprocess.CompletedProcess:
        return subprocess.run(
            [self.program, *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            stdin=subprocess.DEVNULL,
            **more,
        )

    def start(self, *arguments: str, **more) -> subprocess.Popen:
        more = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | more
        return subprocess.Popen(
            [self.program, *arguments], cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL, **more
        )

    def events(self, run: str = "last") -> list[dict]:
        done = self.run("log", run, "--json")
        if done.returncode:
            raise SystemExit(f"log: exit {done.returncode}: {done.stderr}")
        return [json.loads(line) for line in done.stdout.splitlines()]

    def calls(self, run: str = "last") -> list[dict]:
        return [event for event in self.events(run) if event.get("kind") == "exchange"]

    def store(self) -> pathlib.Path:
        return self.folder / ".runproof"


def size(folder: pathlib.Path) -> tuple[int, int, int]:
    """Bytes, allocated bytes and number of the files below a folder (or of one file)."""
    files = [folder] if folder.is_file() else [path for path in folder.rglob("*") if path.is_file()]
    found = [path.stat() for path in files]
    return sum(file.st_size for file in found), sum(file.st_blocks * 512 for file in found), len(found)


def children(pid: int) -> list[int]:
    found = [pid]
    for one in found:
        try:
            for task in os.listdir(f"/proc/{one}/task"):
                with open(f"/proc/{one}/task/{task}/children", encoding="ascii") as file:
                    found += map(int, file.read().split())
        except OSError:
            pass
    return found


class Memory:
    """Peak resident memory of a process and its children, those of the client left out, in kB."""

    def __init__(self, process: subprocess.Popen, leave_out: str = "conversation.py"):
        self.process, self.leave_out, self.peaks = process, leave_out, {}
        self.thread = threading.Thread(target=self.watch, daemon=True)
        self.thread.start()

    def watch(self):
        while self.process.poll() is None:
            for pid in children(self.process.pid):
                try:
                    command = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
                    lines = pathlib.Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
                except OSError:
                    continue
                # The wrapping program has the client's name among its own arguments, after the dashes.
                if self.leave_out in command and " -- " not in command and "runproof" not in command.split(" ")[0]:
                    continue
                peak = next((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)
                self.peaks[pid] = max(peak, self.peaks.get(pid, 0))
            time.sleep(0.05)

    def peak(self) -> int:
        self.thread.join(5)
        return sum(self.peaks.values())


def stop(process: subprocess.Popen, how=signal.SIGINT, wait: float = 15):
    """Ends a process that we started."""
    if process.poll() is None:
        process.send_signal(how)
        try:
            process.wait(wait)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
