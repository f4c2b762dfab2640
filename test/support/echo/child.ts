// An echo server as a process of its own, to be killed: `child.ts <port>` prints the port that it listens on. Calls
// with the text "hang" are never answered; streams send their text once and then wait.
import { answer, startEcho } from "./server.ts";

const { port } = await startEcho(
  {
    unary: (request) => (request.text === "hang" ? new Promise(() => {}) : Promise.resolve(answer(request.text))),
    async *stream(request) {
      yield answer(request.text);
      await new Promise(() => {});
    },
  },
  { port: Number(process.argv[2] ?? 0) },
);
process.stdout.write(`${port}\n`);
