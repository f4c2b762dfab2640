import { connect, createServer, type Socket } from "node:net";

/** A loopback port that passes everything on, to a server that can be exchanged under its clients. */
export interface Proxy {
  readonly port: number;
  /** Sends new connections there, and cuts all others off. */
  retarget(port: number): void;
  stop(): Promise<void>;
}

/** Starts a proxy. */
export async function startProxy(target: number): Promise<Proxy> {
  let current = target;
  const sockets = new Set<Socket>();
  const keep = (socket: Socket) => {
    sockets.add(socket);
    socket.setNoDelay(true);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => socket.destroy());
  };
  const server = createServer((client) => {
    const upstream = connect(current, "127.0.0.1");
    for (const socket of [client, upstream]) keep(socket);
    client.pipe(upstream).pipe(client);
    client.on("close", () => upstream.destroy());
    upstream.on("close", () => client.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const cut = () => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    port: (server.address() as { port: number }).port,
    retarget(port) {
      current = port;
      cut();
    },
    async stop() {
      cut();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
