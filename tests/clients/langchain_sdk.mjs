// LangChain.js: an agent, which names itself on its messages.
import { ChatOpenAI } from "@langchain/openai";
import { createAgent, tool } from "langchain";
import { z } from "zod";

const echo = tool(({ text }) => text, {
  name: "echo",
  description: "Says what it is told.",
  schema: z.object({ text: z.string() }),
});
const model = new ChatOpenAI({
  model: "scripted",
  apiKey: "none",
  configuration: { baseURL: `${process.argv[2]}/v1` },
});
const agent = createAgent({ model, tools: [echo] });
const done = await agent.invoke({ messages: [{ role: "user", content: "Echo something." }] });
console.log(done.messages.at(-1).content);
