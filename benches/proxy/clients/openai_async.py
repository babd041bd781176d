"""The `openai` SDK, asynchronous: streams side by side, three of them for one and the same request."""

import asyncio

import openai

MODEL = "gpt-4o-mini"


async def stream(client, text):
    messages = [{"role": "user", "content": text}]
    parts = await client.chat.completions.create(model=MODEL, messages=messages, stream=True)
    return [part.model_dump_json() async for part in parts]


async def main():
    async with openai.AsyncOpenAI() as client:
        texts = [f"number {number} [[prose {200 + number}]]" for number in range(8)] + ["same [[say thing]]"] * 3
        for parts in await asyncio.gather(*(stream(client, text) for text in texts)):
            print(*parts, sep="\n")
        async with client.responses.stream(model=MODEL, input="r [[say yes]]") as events:
            print([event.type async for event in events])
        print((await client.embeddings.create(model="e", input="x", encoding_format="float")).model_dump_json())
        print([model.id async for model in client.models.list()])


asyncio.run(main())
