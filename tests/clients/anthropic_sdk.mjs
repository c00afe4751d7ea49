// Anthropic's JavaScript SDK: a call, its result, and a stream.
import Anthropic from "@anthropic-ai/sdk";

const client = new Anthropic({ baseURL: process.argv[2], apiKey: "none", maxRetries: 0 });
const asked = {
  model: "scripted",
  max_tokens: 1000,
  tools: [
    {
      name: "echo",
      description: "Says what it is told.",
      input_schema: {
        type: "object",
        properties: { text: { type: "string" } },
        required: ["text"],
      },
    },
  ],
};
const question = { role: "user", content: "Echo something." };
const first = await client.messages.create({ ...asked, messages: [question] });
const use = first.content.find((block) => block.type === "tool_use");
const result = { type: "tool_result", tool_use_id: use.id, content: use.input.text };
const stream = client.messages.stream({
  ...asked,
  messages: [question, { role: "assistant", content: first.content }, { role: "user", content: [result] }],
});
console.log(await stream.finalText());
