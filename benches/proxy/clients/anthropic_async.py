"""The `anthropic` SDK, asynchronous: streams side by side."""

import asyncio

import anthropic


async def stream(client, text):
    messages = [{"role": "user", "content": text}]
    async with client.messages.stream(model="claude-sonnet-4-5", max_tokens=99, messages=messages) as events:
        return [event.model_dump_json() async for event in events]


async def main():
    async with anthropic.AsyncAnthropic() as client:
        texts = [f"number {number} [[prose {200 + number}]]" for number in range(8)] + ["same [[say thing]]"] * 3
        for events in await asyncio.gather(*(stream(client, text) for text in texts)):
            print(*events, sep="\n")


asyncio.run(main())
