// Ollama's JavaScript client: a tool it runs itself, streamed and not.
import { Ollama } from "ollama";

const client = new Ollama({ host: process.argv[2] });
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
  },
};
const messages = [{ role: "user", content: "Echo something." }];
const asked = await client.chat({ model: "scripted", messages, tools: [echo] });
const [call] = asked.message.tool_calls;
messages.push(asked.message, {
  role: "tool",
  tool_name: call.function.name,
  content: call.function.arguments.text,
});
const answer = await client.chat({ model: "scripted", messages, tools: [echo], stream: true });
let said = "";
for await (const part of answer) said += part.message.content;
console.log(said);
