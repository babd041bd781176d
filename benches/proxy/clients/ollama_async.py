"""The `ollama` client, asynchronous: streams side by side."""

import asyncio

import ollama


async def stream(client, text):
    parts = await client.chat("llama3.2:1b", [{"role": "user", "content": text}], stream=True)
    return [part.model_dump_json() async for part in parts]


async def main():
    client = ollama.AsyncClient()
    texts = [f"number {number} [[prose {200 + number}]]" for number in range(8)] + ["same [[say thing]]"] * 3
    for parts in await asyncio.gather(*(stream(client, text) for text in texts)):
        print(*parts, sep="\n")


asyncio.run(main())
