// The `openai` SDK for Node: whole and streamed, with a tool.
import OpenAI from "openai";

const client = new OpenAI();
const model = "gpt-4o-mini";
const ask = (content) => [{ role: "user", content }];
const show = (value) => console.log(JSON.stringify(value));

show(await client.chat.completions.create({ model, messages: ask("plain [[say grüß Gott]]") }));
for await (const part of await client.chat.completions.create({ model, messages: ask("stream"), stream: true })) show(part);
const tools = [{ type: "function", function: { name: "add", parameters: { type: "object", properties: {} } } }];
const talk = ask('sum [[call add {"a": 2}]] [[say the sum is 4]]');
const first = (await client.chat.completions.create({ model, messages: talk, tools })).choices[0].message;
talk.push(first, { role: "tool", tool_call_id: first.tool_calls[0].id, content: "4" });
show(await client.chat.completions.create({ model, messages: talk, tools }));
show(await client.responses.create({ model, input: "one [[say two]]" }));
for await (const event of await client.responses.create({ model, input: "s [[say three]]", stream: true })) show(event);
show(await client.embeddings.create({ model: "text-embedding-3-small", input: ["a", "b"] }));
const texts = Array.from({ length: 8 }, (_, number) => `number ${number} [[prose ${100 + number}]]`);
show(await Promise.all(texts.map((text) => client.chat.completions.create({ model, messages: ask(text) }))));
for await (const entry of client.models.list()) show(entry.id);
