// OpenAI's JavaScript SDK: a tool it runs itself, and a stream.
import OpenAI from "openai";

const client = new OpenAI({ baseURL: `${process.argv[2]}/v1`, apiKey: "none", maxRetries: 0 });
const echo = {
  type: "function",
  function: {
    name: "echo",
    description: "Says what it is told.",
    parameters: {
      type: "object",
      properties: { text: { type: "string" } },
      required: ["text"],
    },
    parse: JSON.parse,
    function: ({ text }) => text,
  },
};
const messages = [{ role: "user", content: "Echo something." }];
for (const stream of [false, true]) {
  const runner = client.chat.completions.runTools({
    model: "scripted",
    messages,
    tools: [echo],
    stream,
  });
  console.log(await runner.finalContent());
}
