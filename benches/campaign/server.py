"""A stand-in for Ollama with the models `weak` and `strong`, which answers out of a file; see README.md beside it.

`python3 server.py ANSWERS.json` prints its address. What it answers depends on the request alone (which instance, which
form of answer, which model, which attempt), so it may be asked in any order, again, and from several runs at once.
"""

import hashlib
import http.server
import json
import re
import sys

CONTEXT = 131_072


def digest(model):
    return hashlib.sha256(model.encode()).hexdigest()


def entry(model):
    return {"name": model, "model": model, "digest": digest(model), "size": 1, "context_length": CONTEXT,
            "details": {"family": "llama", "parameter_size": "8.0B", "quantization_level": "Q4_K_M"}}


def answer(answers, model, messages):
    """Finds the answer by what the prompt says: the issue, the form of answer that is wanted, the attempts before."""
    system, user = messages[0]["content"], messages[-1]["content"]
    form = "patch" if "unified diff" in system else "direct"
    found = [one for one in answers if one["issue"] in user]
    if len(found) != 1:
        return None
    attempt = max([0, *map(int, re.findall(r"^Attempt (\d+) did not repair", user, re.M))])
    replies = found[0]["patch"] if form == "patch" else found[0][model]
    return replies[min(attempt, len(replies) - 1)]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def reply(self, status, body):
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def json(self, value, status=200):
        self.reply(status, json.dumps(value).encode())

    def do_GET(self):
        models = [entry("weak"), entry("strong")]
        pages = {"/api/version": {"version": "0.12.3"}, "/api/tags": {"models": models}, "/api/ps": {"models": models}}
        self.json(pages[self.path]) if self.path in pages else self.json({"error": "not found"}, 404)

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if body.get("model") not in ("weak", "strong"):
            self.json({"error": "model not found"}, 404)
        elif self.path == "/api/show":
            info = {"general.architecture": "llama", "llama.context_length": CONTEXT}
            self.json({"template": "{{ .Prompt }}", "details": entry("weak")["details"], "model_info": info})
        elif self.path == "/api/chat":
            self.chat(body)
        else:
            self.json({"error": "not found"}, 404)

    def chat(self, body):
        text = answer(self.server.answers, body["model"], body["messages"])
        if text is None:
            self.json({"error": "no answer is there for this prompt"}, 400)
            return
        characters = sum(len(message["content"]) for message in body["messages"])
        lines = [{"model": body["model"], "created_at": "2026-01-01T00:00:00Z", "done": False,
                  "message": {"role": "assistant", "content": text}},
                 {"model": body["model"], "created_at": "2026-01-01T00:00:01Z", "done": True, "done_reason": "stop",
                  "message": {"role": "assistant", "content": ""}, "prompt_eval_count": characters // 4 + 10,
                  "eval_count": len(text) // 4 + 1, "total_duration": 1, "load_duration": 1,
                  "prompt_eval_duration": 1, "eval_duration": 1}]
        self.reply(200, b"".join(json.dumps(line).encode() + b"\n" for line in lines))


def main():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2]) if len(sys.argv) > 2 else 0), Handler)
    server.answers = json.load(open(sys.argv[1]))
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
