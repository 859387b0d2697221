import { describe, expect, it } from "vitest";
import { connected, pass, rig } from "./support";

describe("a connection of somebody else", () => {
  it("is refused before anything of it is shown or sent", async () => {
    const { client, server } = await connected({ userId: "ann" }, { viewer: { user_id: "ann" } });
    client.send({ type: "subscribe", client_id: "client-1", topics: ["alert"] });
    const heard: string[] = [];
    client.on("alert", ({ data }) => heard.push(data.details ?? ""));
    await server.settled();
    server.connection.break();
    server.viewer.user_id = "bob";
    await pass(3000);
    server.alert("client-1", { details: "for Bob" });
    await pass(60_000);
    expect(client.getSnapshot()).toMatchObject({ state: "closed", error: { code: "user_changed" } });
    expect(heard).toEqual([]);
    expect(server.connections).toHaveLength(2);
    expect(server.connection.received).toEqual([]);
    expect(client.send({ type: "acknowledge", alert_id: "a" })).toBe(false);
  });

  it("stays refused when tried again", async () => {
    const { client } = rig({ userId: "ann" }, { viewer: { user_id: "bob" } });
    await expect(client.connect()).rejects.toMatchObject({ code: "user_changed" });
    await expect(client.connect()).rejects.toMatchObject({ code: "user_changed" });
  });
});

describe("a connection with other rights", () => {
  it.each([{ scope: "client", client_id: "client-1" }, { user_role: "msp_user" }, { msp_id: "msp-2" }] as const)(
    "is given up before anything of it is shown or sent: %j",
    async (change) => {
      const { client, server } = await connected();
      const heard: string[] = [];
      client.send({ type: "subscribe", client_id: "client-1" });
      client.on("*", ({ type }) => heard.push(type));
      await server.settled();
      heard.length = 0;
      Object.assign(server.viewer, change);
      server.connection.break();
      await pass(3000);
      expect(client.getSnapshot()).toMatchObject({ state: "closed", error: { code: "user_changed" } });
      expect(heard).toEqual([]);
      expect(server.connection.received).toEqual([]);
    },
  );

  it("is taken where the client was told to stop in between", async () => {
    const { client, server } = await connected();
    client.disconnect();
    server.viewer.user_role = "msp_user";
    await client.connect();
    expect(client.getSnapshot().connection?.user_role).toBe("msp_user");
  });
});
