"""The `openai` SDK, blocking: every interface it has that the proxy knows. Prints whatever came back."""

import openai

MODEL, TOOL = "gpt-4o-mini", {"name": "add", "parameters": {"type": "object", "properties": {"a": {"type": "number"}}}}


def ask(text):
    return [{"role": "user", "content": text}]


def main():
    client = openai.OpenAI()
    chat = client.chat.completions.create
    print(chat(model=MODEL, messages=ask("plain [[say grüß Gott]]")).model_dump_json())
    for chunk in chat(model=MODEL, messages=ask("stream"), stream=True, stream_options={"include_usage": True}):
        print(chunk.model_dump_json())

    # Two turns with a tool: the id of the call goes back in the second request.
    talk = ask('sum [[call add {"a": 2}]] [[say the sum is 4]]')
    tools = [{"type": "function", "function": TOOL}]
    first = chat(model=MODEL, messages=talk, tools=tools).choices[0].message
    talk += [
        first.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": first.tool_calls[0].id, "content": "4"},
    ]
    print(chat(model=MODEL, messages=talk, tools=tools).model_dump_json())
    calls = chat(model=MODEL, messages=talk[:1], tools=tools, stream=True)
    print("".join(c.choices[0].delta.tool_calls[0].function.arguments for c in calls if c.choices[0].delta.tool_calls))

    # The same request three times: three calls on the tape, in order.
    for _ in range(3):
        print(chat(model=MODEL, messages=ask("again"), temperature=0, seed=7).choices[0].message.content)
    # A 429 that the SDK waits for and repeats.
    print(chat(model=MODEL, messages=ask("busy [[once 429]] [[say at last]]")).choices[0].message.content)
    try:
        chat(model=MODEL, messages=ask("wrong [[status 400]]"))
    except openai.BadRequestError as error:
        print(error)

    print(client.responses.create(model=MODEL, input="one [[say two]]").model_dump_json())
    for event in client.responses.create(model=MODEL, input="stream [[say three]]", stream=True):
        print(event.model_dump_json())
    print(client.completions.create(model=MODEL, prompt="once [[say upon]]").model_dump_json())
    print(client.embeddings.create(model="text-embedding-3-small", input=["a", "b"]).model_dump_json())
    print([model.id for model in client.models.list()], client.models.retrieve(MODEL).id)


main()
