"""The wire forms in which the fake model answers: OpenAI, Anthropic and Ollama, whole and streamed.

Each function takes the request and the turn, and returns the reply as one object, or the list of its stream's
events: pairs of an event name (or none) and an object, bytes where the wire has something else.
"""

import base64
import json
import struct

from model import Turn, messages_of, pieces, text_of, token, vector

TIME = 1_700_000_000
STAMP = "2023-11-14T22:13:20Z"
NAMES = ("gpt-4o-mini", "gpt-5-codex", "claude-sonnet-4-5", "llama3.2:1b")
FINGERPRINT = "fp_fake"


def usage(body: dict, turn: Turn) -> tuple[int, int]:
    asked = sum(len(text) for _, text in messages_of(body)) // 4 + 1
    return asked, len(turn.text + turn.arguments) // 4 + 1


def own_id(salt: str, body: dict) -> str:
    """The same for the same conversation, whatever a recorder adds to its sampling."""
    return token(salt, body["model"], body.get("stream"), messages_of(body))


# OpenAI: chat completions, completions, responses, embeddings, models.


def chat(body: dict, turn: Turn, salt: str):
    asked, said = usage(body, turn)
    counts = {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said}
    own = own_id(salt, body)
    head = {"id": f"chatcmpl-{own}", "created": TIME, "model": body["model"], "system_fingerprint": FINGERPRINT}
    finish = "tool_calls" if turn.tool else "stop"
    call = {"id": f"call_{own}", "type": "function", "function": {"name": turn.tool, "arguments": turn.arguments}}
    if not body.get("stream"):
        message = {"role": "assistant", "content": turn.text or None, "refusal": None}
        if turn.tool:
            message["tool_calls"] = [call]
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
        return head | {"object": "chat.completion", "choices": [choice], "usage": counts}

    def chunk(delta, finish=None):
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return None, head | {"object": "chat.completion.chunk", "choices": [choice]}

    events = [(None, b": keep-alive\n\n"), chunk({"role": "assistant", "content": ""})]
    if turn.tool:
        start = {"index": 0} | call | {"function": {"name": turn.tool, "arguments": ""}}
        events.append(chunk({"tool_calls": [start]}))
        events += [chunk({"tool_calls": [{"index": 0, "function": {"arguments": p}}]}) for p in pieces(turn.arguments)]
    events += [chunk({"content": piece}) for piece in pieces(turn.text)]
    events.append(chunk({}, finish))
    if (body.get("stream_options") or {}).get("include_usage"):
        events.append((None, head | {"object": "chat.completion.chunk", "choices": [], "usage": counts}))
    return events + [(None, b"data: [DONE]\n\n")]


def completion(body: dict, turn: Turn, salt: str):
    asked, said = usage(body, turn)
    counts = {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said}
    head = {"id": f"cmpl-{own_id(salt, body)}", "object": "text_completion", "created": TIME, "model": body["model"]}
    if not body.get("stream"):
        choice = {"index": 0, "text": turn.text, "logprobs": None, "finish_reason": "stop"}
        return head | {"choices": [choice], "usage": counts}
    events = []
    for piece in pieces(turn.text):
        events.append((None, head | {"choices": [{"index": 0, "text": piece, "finish_reason": None}]}))
    events.append((None, head | {"choices": [{"index": 0, "text": "", "finish_reason": "stop"}]}))
    return events + [(None, b"data: [DONE]\n\n")]


def responses(body: dict, turn: Turn, salt: str):
    asked, said = usage(body, turn)
    own = own_id(salt, body)
    details = {"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}
    counts = {"input_tokens": asked, "output_tokens": said, "total_tokens": asked + said} | details
    base = {
        "id": f"resp_{own}",
        "object": "response",
        "created_at": TIME,
        "model": body["model"],
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "parallel_tool_calls": True,
        "temperature": body.get("temperature", 1.0),
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "text": {"format": {"type": "text"}},
    }
    text = {"type": "output_text", "text": turn.text, "annotations": []}
    message = {"id": f"msg_{own}", "type": "message", "status": "completed", "role": "assistant", "content": [text]}
    call = {
        "id": f"fc_{own}",
        "type": "function_call",
        "status": "completed",
        "call_id": f"call_{own}",
        "name": turn.tool,
        "arguments": turn.arguments,
    }
    item = call if turn.tool else message
    whole = base | {"status": "completed", "output": [item], "usage": counts}
    if not body.get("stream"):
        return whole
    begun = base | {"status": "in_progress", "output": [], "usage": None}
    at = {"output_index": 0}
    steps = [("created", {"response": begun}), ("in_progress", {"response": begun})]
    if turn.tool:
        steps.append(("output_item.added", at | {"item": item | {"status": "in_progress", "arguments": ""}}))
        at |= {"item_id": item["id"]}
        steps += [("function_call_arguments.delta", at | {"delta": piece}) for piece in pieces(turn.arguments)]
        steps.append(("function_call_arguments.done", at | {"arguments": turn.arguments, "name": turn.tool}))
    else:
        steps.append(("output_item.added", at | {"item": item | {"status": "in_progress", "content": []}}))
        at |= {"item_id": item["id"], "content_index": 0}
        steps.append(("content_part.added", at | {"part": text | {"text": ""}}))
        steps += [("output_text.delta", at | {"delta": piece, "logprobs": []}) for piece in pieces(turn.text)]
        steps.append(("output_text.done", at | {"text": turn.text, "logprobs": []}))
        steps.append(("content_part.done", at | {"part": text}))
    steps += [("output_item.done", {"output_index": 0, "item": item}), ("completed", {"response": whole})]
    return [
        (f"response.{name}", {"type": f"response.{name}", "sequence_number": number} | data)
        for number, (name, data) in enumerate(steps)
    ]


def embeddings(body: dict, _turn: Turn, _salt: str):
    texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
    data = []
    for index, text in enumerate(texts):
        numbers = vector(str(text))
        if body.get("encoding_format") == "base64":
            numbers = base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()
        data.append({"object": "embedding", "index": index, "embedding": numbers})
    counts = {"prompt_tokens": len(texts), "total_tokens": len(texts)}
    return {"object": "list", "data": data, "model": body["model"], "usage": counts}


def openai_models():
    data = [{"id": name, "object": "model", "created": TIME, "owned_by": "fake"} for name in NAMES]
    return {"object": "list", "data": data, "models": []}


# Anthropic: messages, count_tokens, models.


def messages(body: dict, turn: Turn, salt: str):
    asked, said = usage(body, turn)
    own = own_id(salt, body)
    base = {"id": f"msg_{own}", "type": "message", "role": "assistant", "model": body["model"]}
    reason = "tool_use" if turn.tool else "end_turn"
    use = {"type": "tool_use", "id": f"toolu_{own}", "name": turn.tool}
    counts = {"input_tokens": asked, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
    if not body.get("stream"):
        block = use | {"input": json.loads(turn.arguments)} if turn.tool else {"type": "text", "text": turn.text}
        return base | {
            "content": [block],
            "stop_reason": reason,
            "stop_sequence": None,
            "usage": counts | {"output_tokens": said},
        }
    begun = base | {"content": [], "stop_reason": None, "stop_sequence": None, "usage": counts | {"output_tokens": 1}}
    block = use | {"input": {}} if turn.tool else {"type": "text", "text": ""}
    events = [
        {"type": "message_start", "message": begun},
        {"type": "content_block_start", "index": 0, "content_block": block},
        {"type": "ping"},
    ]
    for piece in pieces(turn.arguments if turn.tool else turn.text):
        delta = (
            {"type": "input_json_delta", "partial_json": piece} if turn.tool else {"type": "text_delta", "text": piece}
        )
        events.append({"type": "content_block_delta", "index": 0, "delta": delta})
    events.append({"type": "content_block_stop", "index": 0})
    end = {"stop_reason": reason, "stop_sequence": None}
    events.append({"type": "message_delta", "delta": end, "usage": {"output_tokens": said}})
    events.append({"type": "message_stop"})
    return [(event["type"], event) for event in events]


def count_tokens(body: dict, turn: Turn, _salt: str):
    return {"input_tokens": usage(body, turn)[0]}


def anthropic_models():
    data = [{"type": "model", "id": name, "display_name": name, "created_at": STAMP} for name in NAMES]
    return {"data": data, "has_more": False, "first_id": NAMES[0], "last_id": NAMES[-1]}


# Ollama: chat, generate, embed, tags, show, version, ps. Streams are lines of JSON, and the default.

DETAILS = {
    "parent_model": "",
    "format": "gguf",
    "family": "llama",
    "families": ["llama"],
    "parameter_size": "1.2B",
    "quantization_level": "Q8_0",
}
DIGEST = token("weights") + token("of", "the", "fake")[:40]


def ollama(key: str, body: dict, turn: Turn, salt: str):
    asked, said = usage(body, turn)
    head = {"model": body["model"], "created_at": STAMP}

    def piece(text):
        return {"message": {"role": "assistant", "content": text}} if key == "message" else {"response": text}

    last = piece("")
    if turn.tool:
        function = {"name": turn.tool, "arguments": json.loads(turn.arguments)}
        last["message"]["tool_calls"] = [{"id": f"call_{own_id(salt, body)[:8]}", "function": function}]
    end = {
        "done": True,
        "done_reason": "stop",
        "total_duration": 5,
        "load_duration": 1,
        "prompt_eval_count": asked,
        "prompt_eval_duration": 2,
        "eval_count": said,
        "eval_duration": 2,
    }
    if body.get("stream") is False:
        last.update(piece(turn.text) if not turn.tool else {})
        return head | last | end
    parts = [head | piece(text) | {"done": False} for text in pieces(turn.text)]
    if turn.tool:
        parts.append(head | last | {"done": False})
    return [(None, part) for part in parts] + [(None, head | piece("") | end)]


def embed(body: dict, _turn: Turn, _salt: str):
    texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
    return {
        "model": body["model"],
        "embeddings": [vector(text) for text in texts],
        "total_duration": 3,
        "load_duration": 1,
        "prompt_eval_count": len(texts),
    }


def old_embeddings(body: dict, _turn: Turn, _salt: str):
    return {"embedding": vector(text_of(body.get("prompt")))}


def tags():
    models = [
        {"name": name, "model": name, "modified_at": STAMP, "size": 1, "digest": DIGEST, "details": DETAILS}
        for name in NAMES
    ]
    return {"models": models}


def show(_body: dict, _turn: Turn, _salt: str):
    info = {"general.architecture": "llama", "llama.context_length": 8192}
    return {
        "license": "",
        "modelfile": "FROM fake",
        "parameters": "",
        "template": "{{ .Prompt }}",
        "details": DETAILS,
        "model_info": info,
        "capabilities": ["completion", "tools"],
        "modified_at": STAMP,
    }


POST = {
    "/v1/chat/completions": chat,
    "/v1/completions": completion,
    "/v1/responses": responses,
    "/v1/embeddings": embeddings,
    "/v1/messages": messages,
    "/v1/messages/count_tokens": count_tokens,
    "/api/chat": lambda *a: ollama("message", *a),
    "/api/generate": lambda *a: ollama("response", *a),
    "/api/embed": embed,
    "/api/embeddings": old_embeddings,
    "/api/show": show,
}


def get(path: str, headers: dict):
    """The reply to a GET, or nothing where there is none."""
    if path in ("/v1/models", "/models"):
        return anthropic_models() if "anthropic-version" in headers else openai_models()
    if path.startswith("/v1/models/"):
        name = path.removeprefix("/v1/models/")
        return {"id": name, "object": "model", "created": TIME, "owned_by": "fake"} if name in NAMES else None
    return {"/api/tags": tags, "/api/version": lambda: {"version": "0.13.0"}, "/api/ps": tags}.get(path, lambda: None)()
