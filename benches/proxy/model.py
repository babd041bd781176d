"""What the fake model says: a pure function of the request, steered by directives in the prompt.

A directive stands in double brackets anywhere in the conversation, so any agent can carry it to the model unseen:

    [[say TEXT]]            answers with the text
    [[call NAME JSON]]      calls the tool of that name, if the agent offers one
    [[prose N]]             answers with N characters of Python's standard library, other ones each turn
    [[status N]]            answers with this HTTP status; [[once N]] does so the first time that it sees the request
    [[redirect URL]] [[close]] [[cut N]] [[stall SECONDS]] [[lie N]] [[error-event]]
                            the misbehaviour of that name; see `upstream.py`

`say`, `call` and `prose` are a script: the first is the answer to the message that holds them, the next one follows
each further turn of the model, and the last one stays.
"""

import dataclasses
import functools
import hashlib
import json
import pathlib
import re
import sysconfig

DIRECTIVE = re.compile(r"\[\[([a-z-]+)(?: (.*?))?\]\]", re.DOTALL)
TURNS = {"say", "call", "prose"}
# Letters of two, three and four bytes, so that a stream cut anywhere cuts within one.
NO_SCRIPT = "Nothing to do: naïve “quotes”, 日本語, 𝄞 and a tab\tand\nlines."


@dataclasses.dataclass
class Turn:
    """One answer of the model."""

    text: str = ""
    tool: str = ""
    arguments: str = ""
    faults: dict = dataclasses.field(default_factory=dict)


@functools.cache
def prose() -> str:
    """Python source, the same on every machine with the same Python."""
    library = pathlib.Path(sysconfig.get_paths()["stdlib"])
    names = ("argparse.py", "ast.py", "dataclasses.py", "inspect.py", "typing.py", "tarfile.py", "zipfile.py")
    return "".join((library / name).read_text("utf-8") for name in names if (library / name).is_file())


def passage(number: int, length: int) -> str:
    return prose()[number * length : (number + 1) * length]


def text_of(content) -> str:
    """The text of a message in any of the interfaces: a string, or parts that hold text at some depth."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(text_of(part) for part in content)
    if isinstance(content, dict):
        return text_of(content.get("text") or content.get("content") or content.get("output") or "")
    return ""


def messages_of(body: dict) -> list[tuple[str, str]]:
    """Role and text of every message, whichever interface the request is for."""
    found = []
    if body.get("system"):
        found.append(("system", text_of(body["system"])))
    if body.get("instructions"):
        found.append(("system", text_of(body["instructions"])))
    items = body.get("messages") or body.get("input") or body.get("prompt") or []
    for item in [items] if isinstance(items, str) else items:
        if isinstance(item, str):
            found.append(("user", item))
            continue
        kind = item.get("type")
        role = "assistant" if kind in ("function_call", "custom_tool_call") else item.get("role", "tool")
        if kind != "reasoning":
            found.append((role, text_of(item)))
    return found


def tools_of(body: dict) -> dict[str, dict]:
    """The tools that the agent offers, by name."""
    tools = {}
    for tool in body.get("tools") or []:
        tool = tool.get("function") or tool
        if tool.get("name"):
            tools[tool["name"]] = tool
    return tools


def answer(body: dict) -> Turn:
    """Returns what the model says next."""
    script, turns, faults = [], 0, {}
    for role, text in messages_of(body):
        if role == "assistant":
            turns += bool(script)
            continue
        for name, rest in DIRECTIVE.findall(text) if role != "tool" else ():
            if name in TURNS:
                script.append((name, rest))
            else:
                faults[name] = rest
    name, rest = script[min(turns, len(script) - 1)] if script else ("say", NO_SCRIPT)
    turn = Turn(faults=faults)
    if name == "call":
        tool, _, arguments = rest.partition(" ")
        if tool in tools_of(body):
            turn.tool, turn.arguments = tool, json.dumps(json.loads(arguments))
        else:
            turn.text = f"no tool {tool}"
    else:
        turn.text = passage(2 * turns, int(rest)) if name == "prose" else rest.strip("\n")
    return turn


def token(*parts) -> str:
    """An id that looks like a server's and repeats."""
    return hashlib.sha256("|".join(map(str, parts)).encode()).hexdigest()[:24]


def pieces(text: str, size: int = 16) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def vector(text: str) -> list[float]:
    return [round(byte / 255 - 0.5, 6) for byte in hashlib.sha256(text.encode()).digest()[:8]]
