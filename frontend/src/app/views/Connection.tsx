/** How the page's connection stands, in all that is known of it. */

import { useQuery } from "@tanstack/react-query";
import { type ReactNode, useSyncExternalStore } from "react";
import { count, exactTime, plural } from "@/pages/live/format.js";
import { describe } from "@/pages/live/condition.js";
import type { Encoding } from "@/services/encoding.js";
import type { ConnectionState } from "@/services/states.js";
import { stats } from "../api.js";
import { Spark } from "../charts/Spark.js";
import { useLink, useStanding } from "../live/Live.js";
import { useFeed } from "../live/useLive.js";
import { useClientNames } from "../parts/clients.js";
import { Figure } from "../parts/Figures.js";
import { useMe } from "../parts/me.js";
import { useLocalNow } from "../parts/useNow.js";
import { useTitle } from "../parts/useTitle.js";
import { useEncoding } from "../live/encoding.js";

const WORDS: Record<ConnectionState, string> = {
  idle: "Not connected",
  connecting: "Connecting",
  catchingUp: "Catching up",
  live: "Live",
  reconnecting: "Reconnecting",
  closed: "Closed",
};

const ENCODINGS: readonly (readonly [Encoding, string, string])[] = [
  ["json", "JSON", "Text: easy to look at."],
  ["deflate", "Compressed JSON", "Least data over the line."],
  ["msgpack", "MessagePack", "Binary: least work to read."],
];

export function Connection(): ReactNode {
  useTitle("Connection");
  const now = useLocalNow();
  const { client, journal, connect, disconnect } = useLink();
  const standing = useStanding();
  const { entries, reconnects, latencies, freshAt } = useSyncExternalStore(journal.subscribe, journal.getSnapshot);
  const { state, positions, replayed, doubles, resyncs, connection, lastMessageAt } = standing;
  const { mood, text, detail } = describe(standing, freshAt, now);
  const latencyMs = latencies.at(-1) ?? null;
  const feed = useFeed();
  const isOff = state === "closed" || state === "idle";
  return (
    <>
      <header className="page-head">
        <div>
          <p className="eyebrow">This page</p>
          <h1>Connection</h1>
        </div>
        <div className="actions">
          <button type="button" className="button" disabled={!client.isConnected} onClick={() => void journal.measure(client)}>
            Measure latency
          </button>
          {isOff ? (
            <button type="button" className="button button-primary" onClick={connect}>
              Connect
            </button>
          ) : (
            <button type="button" className="button" onClick={disconnect}>
              Disconnect
            </button>
          )}
        </div>
      </header>
      <section className="tiles tiles-app tiles-link" aria-label="How it stands">
        <div className="tile">
          <h2 className="tile-name">State</h2>
          <p className="tile-value link-state" data-state={mood}>
            <span className="status-dot" aria-hidden="true" />
            {text}
          </p>
          <p className="tile-note">{detail && mood !== "live" ? detail : connection ? `as ${connection.user_role}` : "no server yet"}</p>
        </div>
        <div className="tile">
          <h2 className="tile-name">Latency</h2>
          <p className="tile-value">
            {latencyMs === null ? "–" : count(Math.round(latencyMs))}
            <small> ms</small>
          </p>
          {latencies.length > 1 ? <Spark values={latencies} label={`The last ${latencies.length} pings`} /> : <p className="tile-note">measured with each ping</p>}
        </div>
        <div className="tile">
          <h2 className="tile-name">Events received</h2>
          <p className="tile-value" data-total="heard">
            <Figure value={feed.taken} />
          </p>
          <p className="tile-note">{lastMessageAt === null ? "none yet" : `last message ${exactTime(lastMessageAt)}`}</p>
        </div>
        <div className="tile">
          <h2 className="tile-name">Reconnects</h2>
          <p className="tile-value" data-total="reconnects">
            {count(reconnects)}
          </p>
          <p className="tile-note">since the page was opened</p>
        </div>
        <div className="tile">
          <h2 className="tile-name">Replayed</h2>
          <p className="tile-value" data-total="replayed">
            {count(replayed)}
          </p>
          <p className="tile-note">
            {plural(doubles, "duplicate")} · {plural(resyncs, "resync")}
          </p>
        </div>
      </section>
      <div className="columns columns-even">
        <div className="stack">
          <Streams positions={positions} epoch={connection?.epoch ?? null} />
          <Encodings />
          <Servers />
        </div>
        <section className="card" aria-labelledby="journal-title">
          <header className="card-head">
            <h2 id="journal-title">What happened</h2>
          </header>
          <ol className="journal">
            {entries.map(({ id, atMs, state: was, reason }) => (
              <li key={id} data-state={was}>
                <span className="status-dot" aria-hidden="true" />
                <time dateTime={new Date(atMs).toISOString()}>{exactTime(atMs)}</time>
                <span>
                  {WORDS[was]}
                  {reason && <span className="sub">{reason}</span>}
                </span>
              </li>
            ))}
          </ol>
        </section>
      </div>
    </>
  );
}

function Streams({ positions, epoch }: { positions: Readonly<Record<string, number>>; epoch: string | null }): ReactNode {
  const me = useMe();
  const names = useClientNames();
  const nameOf = (stream: string): string => {
    const [kind, id = ""] = stream.split(".");
    return kind === "msp" ? (me.msp ?? "MSP") : (names.get(id) ?? me.client ?? "Client");
  };
  const streams = Object.entries(positions);
  return (
    <section className="card" aria-labelledby="streams-title">
      <header className="card-head">
        <h2 id="streams-title">Streams</h2>
        <span className="card-hint" title="Which life of the log the positions belong to">
          epoch {epoch?.slice(0, 8) ?? "–"}
        </span>
      </header>
      {streams.length === 0 ? (
        <p className="empty">Not connected yet.</p>
      ) : (
        <table className="table">
          <thead>
            <tr>
              <th scope="col">Stream</th>
              <th scope="col" className="num">
                Position
              </th>
            </tr>
          </thead>
          <tbody>
            {streams.map(([stream, seq]) => (
              <tr key={stream}>
                <th scope="row">
                  {nameOf(stream)}
                  <span className="sub mono">{stream}</span>
                </th>
                <td className="num strong" data-position={stream}>
                  <Figure value={seq} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}

function Encodings(): ReactNode {
  const { encoding, choose } = useEncoding();
  const { client } = useLink();
  return (
    <section className="card" aria-labelledby="encoding-title">
      <header className="card-head">
        <h2 id="encoding-title">Encoding</h2>
      </header>
      <fieldset className="choices">
        <legend className="visually-hidden">How messages are written</legend>
        {ENCODINGS.map(([value, label, why]) => (
          <label key={value} className="choice">
            <input type="radio" name="encoding" value={value} checked={encoding === value} onChange={() => choose(value, client.cursor)} />
            <span>
              {label}
              <span className="sub">{why}</span>
            </span>
          </label>
        ))}
      </fieldset>
    </section>
  );
}

const EVERY_MS = 5000;

function Servers(): ReactNode {
  const { data } = useQuery({ queryKey: ["stats"], queryFn: stats, refetchInterval: EVERY_MS });
  const names = useClientNames();
  return (
    <section className="card" aria-labelledby="servers-title">
      <header className="card-head">
        <h2 id="servers-title">All connections you may see</h2>
        {data && <span className="card-hint">{plural(data.processes, "server process")}</span>}
      </header>
      <dl className="facts facts-padded">
        <dt>Open sockets</dt>
        <dd>{data ? count(data.total_connections) : "–"}</dd>
        {Object.entries(data?.client_connections ?? {}).map(([id, sockets]) => (
          <Fact key={id} name={names.get(id) ?? "A client"} value={sockets} />
        ))}
      </dl>
    </section>
  );
}

const Fact = ({ name, value }: { name: string; value: number }): ReactNode => (
  <>
    <dt>{name}</dt>
    <dd>{count(value)}</dd>
  </>
);
