// The Vercel AI SDK: a tool it runs itself, in a stream.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

const provider = createOpenAICompatible({ name: "kronk", baseURL: `${process.argv[2]}/v1` });
const echo = tool({
  description: "Says what it is told.",
  inputSchema: z.object({ text: z.string() }),
  execute: async ({ text }) => text,
});
const result = streamText({
  model: provider("scripted"),
  prompt: "Echo something.",
  tools: { echo },
  stopWhen: stepCountIs(3),
});
console.log(await result.text);
