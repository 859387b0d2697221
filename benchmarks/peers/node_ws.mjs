// Node's `ws`: one JSON text for all, `send` to each client, as its README broadcasts.
import { createServer } from "node:net";
import { createInterface } from "node:readline";
import { WebSocketServer } from "ws";

const sockets = new WebSocketServer({ host: "127.0.0.1", port: Number(process.env.PORT) });

createServer((connection) => {
  createInterface({ input: connection }).on("line", (line) => {
    const text = JSON.stringify(JSON.parse(line));
    for (const socket of sockets.clients) socket.send(text);
  });
}).listen(Number(process.env.INLET_PORT), "127.0.0.1");
