"""litellm: one function before four providers, whole, streamed and asynchronous."""

import asyncio

import litellm

litellm.suppress_debug_info = True
MODELS = (
    "openai/gpt-4o-mini",
    "anthropic/claude-sonnet-4-5",
    "ollama/llama3.2:1b",
    "ollama_chat/llama3.2:1b",
    "hosted_vllm/gpt-4o-mini",
)


def ask(text):
    return [{"role": "user", "content": text}]


def main():
    for model in MODELS:
        print(
            model, litellm.completion(model, ask("plain [[say grüß Gott]]"), temperature=0).choices[0].message.content
        )
        parts = litellm.completion(model, ask("stream"), stream=True)
        print([part.choices[0].delta.content for part in parts])
    replies = asyncio.run(together())
    print([reply.choices[0].message.content for reply in replies])
    print(litellm.embedding("openai/text-embedding-3-small", ["a", "b"]).data)
    reply = litellm.responses("r [[say yes]]", model="openai/gpt-4o-mini")
    print(reply.output[0].content[0].text)


async def together():
    calls = (litellm.acompletion(MODELS[0], ask(f"number {n} [[prose {n}]]")) for n in range(20, 25))
    return await asyncio.gather(*calls)


main()
