"""The `ollama` client, blocking: its own interface, whole and streamed."""

import ollama

MODEL = "llama3.2:1b"


def add(a: int) -> int:
    """Adds two."""
    return a + 2


def ask(text):
    return [{"role": "user", "content": text}]


def main():
    print(ollama.list().model_dump_json(), ollama.show(MODEL).model_dump_json(), ollama.ps().model_dump_json())
    print(ollama.chat(MODEL, ask("plain [[say grüß Gott]]")).model_dump_json())
    for part in ollama.chat(MODEL, ask("stream"), stream=True):
        print(part.model_dump_json())
    options = {"temperature": 0, "seed": 7, "num_ctx": 2048}
    for part in ollama.generate(MODEL, "go on [[say and on]]", stream=True, options=options):
        print(part.model_dump_json())
    print(ollama.generate(MODEL, "whole").model_dump_json())

    talk = ask('sum [[call add {"a": 2}]] [[say the sum is 4]]')
    first = ollama.chat(MODEL, talk, tools=[add]).message
    talk += [first, {"role": "tool", "tool_name": "add", "content": "4"}]
    print(ollama.chat(MODEL, talk, tools=[add]).model_dump_json())
    print(ollama.embed(MODEL, ["a", "b"]).model_dump_json())
    try:
        ollama.chat(MODEL, ask("no [[status 404]]"))
    except ollama.ResponseError as error:
        print(error)


main()
