"""The `openai` SDK before a real llama.cpp server: short answers, whole and streamed, and a talk of two turns."""

import openai


def main():
    client = openai.OpenAI()
    served = client.models.list().data[0].id
    talk = [{"role": "user", "content": "Name three colours."}]
    asked = {"model": served, "max_tokens": 24, "temperature": 0, "seed": 42}
    first = client.chat.completions.create(messages=talk, **asked).choices[0].message.content
    print(first)
    talk += [{"role": "assistant", "content": first}, {"role": "user", "content": "And one animal."}]
    for part in client.chat.completions.create(messages=talk, stream=True, **asked):
        print(part.choices[0].delta.content if part.choices else part.usage)
    print(client.completions.create(prompt="def add(a, b):", **asked).choices[0].text)


main()
