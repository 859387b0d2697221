// socket.io on Node: `emit` to everybody.
import { createServer } from "node:net";
import { createInterface } from "node:readline";
import { Server } from "socket.io";

const io = new Server(Number(process.env.PORT), { pingInterval: 1_000_000, serveClient: false });

createServer((connection) => {
  createInterface({ input: connection }).on("line", (line) => io.emit("event", JSON.parse(line)));
}).listen(Number(process.env.INLET_PORT), "127.0.0.1");
