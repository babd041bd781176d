// The `@anthropic-ai/sdk` for Node: whole and streamed.
import Anthropic from "@anthropic-ai/sdk";

const client = new Anthropic();
const call = { model: "claude-sonnet-4-5", max_tokens: 99 };
const ask = (content) => [{ role: "user", content }];
const show = (value) => console.log(JSON.stringify(value));

show(await client.messages.create({ ...call, messages: ask("plain [[say grüß Gott]]") }));
for await (const event of await client.messages.create({ ...call, messages: ask("stream"), stream: true })) show(event);
show(await client.messages.stream({ ...call, messages: ask("helper [[prose 300]]") }).finalMessage());
show(await client.messages.countTokens({ model: call.model, messages: ask("count") }));
