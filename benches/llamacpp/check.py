"""Checks the `openai:` provider against a running llama.cpp server; see README.md.

    python check.py RUNPROOF URL
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import urllib.request

GREEDY = {
    "temperature": 0, "top_p": 1, "top_k": 1, "min_p": 0, "typical_p": 1, "seed": 42, "repeat_penalty": 1,
    "repeat_last_n": 0, "presence_penalty": 0, "frequency_penalty": 0, "dry_multiplier": 0, "xtc_probability": 0,
    "mirostat": 0, "dynatemp_range": 0, "samplers": ["top_k", "temperature"], "cache_prompt": False, "id_slot": 0,
    "stream": True,
}
FILES = {
    "task.toml": 'id = "total"\ntest_command = "python3 -m unittest -v"\n',
    "issue.md": "The total of a basket counts only the last price.\n",
    "repo/basket.py": "def total(prices):\n    result = 0\n    for price in prices:\n        result = price\n"
    "    return result\n",
    "repo/test_basket.py": "import unittest\nfrom basket import total\n\n\nclass Two(unittest.TestCase):\n"
    "    def test_two(self):\n        self.assertEqual(total([2, 3]), 5)\n",
}


def get(url: str, path: str):
    with urllib.request.urlopen(url + path) as reply:
        return json.load(reply)


def main() -> None:
    program, url = os.path.abspath(sys.argv[1]), sys.argv[2].rstrip("/")
    server = get(url, "/v1/models")["data"][0]
    name = os.path.basename(server["id"])

    def run(*arguments: str, fail_ok: bool = False) -> str:
        done = subprocess.run([program, *arguments], stdout=subprocess.PIPE, cwd=folder, check=False)
        if done.returncode not in ((0, 1) if fail_ok else (0,)):
            sys.exit(f"runproof {' '.join(arguments)}: exit {done.returncode}")
        return done.stdout.decode()

    with tempfile.TemporaryDirectory() as folder:
        identity = json.loads(run("model", "show", f"openai:{name}", "--base-url", url, "--json"))
        digest = hashlib.sha256()
        with open(get(url, "/props")["model_path"], "rb") as weights:
            for part in iter(lambda: weights.read(1 << 20), b""):
                digest.update(part)
        assert identity["digest"] == "sha256:" + digest.hexdigest(), identity
        assert "/" not in identity["name"], identity
        print(f"identity  {identity['name']} {identity['digest']} build {identity['details']['build']}")

        for path, text in FILES.items():
            path = os.path.join(folder, "task", path)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        run("solve", "task", "--model", f"openai:{name}", "--base-url", url, "--attempts", "1",
            "--reply", "160", fail_ok=True)
        effective = get(url, "/slots")[0]["params"]
        for key in ("seed", "temperature", "top_k", "samplers"):
            assert effective[key] == GREEDY[key], (key, effective[key])

        events = [json.loads(line) for line in run("log", "last", "--json").splitlines()]
        calls = [i for i, event in enumerate(events) if event["kind"] == "model_call"]
        assert len(calls) == 1, events
        sent = json.loads(run("show", "--event", str(calls[0]), "--body", "sent"))
        for key, value in GREEDY.items():
            assert sent[key] == value, (key, sent.get(key))
        raw = run("show", "--event", str(calls[0]), "--body", "reply")
        assert raw.rstrip().endswith("data: [DONE]"), raw[-200:]
        print(f"call      {len(sent)} fields sent, {len(raw)} bytes of stream")

        replay = json.loads(run("replay", "last", "--json"))
        assert replay["equal"], replay
        print("replay    every byte equal")


if __name__ == "__main__":
    main()
