// The real-time overview refreshes itself: asks for the figures, writes them into the page, waits, asks again.

const INTERVAL_MS = 2000;
const SVG = "http://www.w3.org/2000/svg";

const root = document.querySelector(".realtime");
const state = root.querySelector(".realtime-state");

function row(cells) {
  const line = document.createElement("tr");
  for (const cell of cells) {
    line.append(Object.assign(document.createElement("td"), { textContent: cell }));
  }
  return line;
}

function fill(name, rows, nothing) {
  const body = root.querySelector(`[data-table="${name}"]`);
  if (!body) return;
  body.replaceChildren(...(rows.length ? rows.map(row) : [row([nothing])]));
  if (!rows.length) body.rows[0].cells[0].colSpan = body.parentElement.tHead.rows[0].cells.length;
}

function draw(rates) {
  const chart = root.querySelector(".realtime-rate");
  const most = Math.max(1, ...rates);
  chart.replaceChildren(
    ...rates.map((rate, second) => {
      const bar = document.createElementNS(SVG, "rect");
      const height = (rate / most) * 20;
      const place = { x: second + 0.1, y: 20 - height, width: 0.8, height };
      for (const [name, value] of Object.entries(place)) bar.setAttribute(name, value);
      return bar;
    }),
  );
  chart.setAttribute("aria-label", `Events a second: now ${rates.at(-1)}, at most ${most}`);
}

function show(figures) {
  const { by_type: byType, by_second: bySecond, complete } = figures.events;
  const total = Object.values(byType).reduce((sum, count) => sum + count, 0);
  const numbers = { ...figures, events: `${total}${complete ? "" : "+"}` };
  for (const place of root.querySelectorAll("[data-figure]")) {
    place.textContent = numbers[place.dataset.figure];
  }
  draw(bySecond);
  fill("types", Object.entries(byType), "none");
  fill("clients", figures.clients.map((client) => [client.name, client.connections]), "nobody is connected");
  fill(
    "processes",
    (figures.processes ?? []).map((process) => [
      process.name,
      process.connections,
      `${process.heartbeat_seconds} s ago`,
      process.draining ? "draining" : "live",
    ]),
    "none lives",
  );
  state.textContent = `As of ${new Date(figures.at).toLocaleTimeString()}, every ${INTERVAL_MS / 1000} s`;
}

async function refresh() {
  if (!document.hidden) {
    try {
      const answer = await fetch(root.dataset.source, { headers: { Accept: "application/json" } });
      if (!answer.ok || answer.redirected) throw new Error(`the server answered ${answer.status}`);
      show(await answer.json());
      root.classList.remove("realtime-stale");
    } catch (error) {
      root.classList.add("realtime-stale");
      state.textContent = `Not refreshed: ${error.message}. Trying again.`;
    }
  }
  setTimeout(refresh, INTERVAL_MS);
}

refresh();
