"""The `anthropic` SDK, blocking: messages whole and streamed, tools, counting, a refusal that is repeated."""

import anthropic

MODEL = "claude-sonnet-4-5"
TOOL = {"name": "add", "input_schema": {"type": "object", "properties": {"a": {"type": "number"}}}}


def main():
    client = anthropic.Anthropic()

    def ask(messages, **more):
        if isinstance(messages, str):
            messages = [{"role": "user", "content": messages}]
        return client.messages.create(model=MODEL, max_tokens=200, messages=messages, **more)

    print(ask("plain [[say grüß Gott]]").model_dump_json())
    for event in ask("stream", stream=True):
        print(event.model_dump_json())
    messages = [{"role": "user", "content": "helper"}]
    with client.messages.stream(model=MODEL, max_tokens=200, messages=messages) as stream:
        print("".join(stream.text_stream), stream.get_final_message().model_dump_json())

    talk = [{"role": "user", "content": 'sum [[call add {"a": 2}]] [[say the sum is 4]]'}]
    first = ask(talk, tools=[TOOL])
    result = {"type": "tool_result", "tool_use_id": first.content[0].id, "content": "4"}
    talk += [
        {"role": "assistant", "content": [first.content[0].model_dump(exclude_none=True)]},
        {"role": "user", "content": [result]},
    ]
    print(ask(talk, tools=[TOOL]).model_dump_json())
    print([event.model_dump_json() for event in ask(talk[:1], tools=[TOOL], stream=True)])

    print(ask("busy [[once 529]] [[say at last]]").content[0].text)
    try:
        for _ in ask("breaks [[error-event]]", stream=True):
            pass
    except anthropic.APIStatusError as error:
        print(type(error).__name__, error)
    print(client.messages.count_tokens(model=MODEL, messages=messages).model_dump_json())
    print([model.id for model in client.models.list()])


main()
