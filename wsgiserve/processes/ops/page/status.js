// Asks for status.json about once a second while the page is seen, and shows it. Text of requests is only ever
// set as text.
"use strict";

const PERIOD = 1000; // milliseconds
const OLD = 5; // seconds: a request of this age is marked
const SETTLED = 3; // seconds: of so many a rate can be told
const element = (id) => document.getElementById(id);
let paused = false;
let timer = 0;
let asked = 0;

function make(tag, text = "", attributes = {}) {
  const made = document.createElement(tag);
  made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function seconds(value) {
  if (value < 60) return `${value.toFixed(value < 10 ? 1 : 0)} s`;
  const minutes = Math.floor(value / 60);
  if (minutes < 60) return `${minutes} min ${Math.floor(value % 60)} s`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

function bytes(value) {
  return value === null ? "unknown" : `${(value / (1 << 20)).toFixed(0)} MiB`;
}

function number(value) {
  return value >= 100 || Number.isInteger(value) ? value.toFixed(0) : value.toFixed(value < 1 ? 2 : 1);
}

// Rows are kept from one look to the next by their keys, so that what somebody points at or has focused stays.
function fill(table, rows) {
  const body = table.tBodies[0];
  const before = new Map([...body.rows].map((row) => [row.dataset.key, row]));
  rows.forEach(({ key, cells, button }, at) => {
    let row = before.get(key);
    before.delete(key);
    if (!row) {
      row = make("tr", "", { "data-key": key });
      for (let cell = 0; cell < cells.length; cell++) row.append(make("td"));
      const last = make("td");
      if (button) last.append(button);
      row.append(last);
    }
    cells.forEach((cell, column) => update(row.cells[column], cell));
    if (body.rows[at] !== row) body.insertBefore(row, body.rows[at] || null);
  });
  for (const row of before.values()) row.remove();
}

function update(cell, { text, small = "", label = "", kind = "", old = false }) {
  const wanted = `${text}\n${small}`;
  if (cell.dataset.text !== wanted) {
    cell.dataset.text = wanted;
    cell.replaceChildren(text, ...(small ? [make("small", small)] : []));
  }
  cell.className = kind;
  if (label) cell.dataset.label = label;
  cell.toggleAttribute("data-old", old);
}

function requestRow(request) {
  const name = request.method ? `${request.method} ${request.path}` : "(the head has not arrived)";
  const key = `${request.pid} ${request.thread} ${name} ${request.client} ${request.id}`;
  const button = request.thread && make("button", "Stack", { type: "button", "aria-label": `Stack of ${name}` });
  if (button) button.onclick = () => showStack(name, `pid=${request.pid}&thread=${request.thread}`);
  const cells = [
    { text: seconds(request.age), old: request.age >= OLD },
    { text: request.phase },
    { text: name, small: request.id, kind: "request" },
    { text: request.client, kind: "soft" },
    { text: String(request.pid), label: "worker", kind: "soft" },
  ];
  return { key, cells, button };
}

function workerRow(worker) {
  const button = make("button", "Stacks", { type: "button", "aria-label": `Stacks of worker ${worker.pid}` });
  button.onclick = () => showStack(`Worker ${worker.pid}`, `pid=${worker.pid}`);
  const cells = [
    { text: String(worker.pid), label: "process" },
    { text: worker.state },
    { text: String(worker.generation), label: "generation" },
    { text: seconds(worker.age), label: "age" },
    { text: bytes(worker.memory), label: "memory" },
    { text: String(worker.connections), label: "connections" },
    { text: `${worker.busy} of ${worker.threads}`, label: "threads busy" },
    { text: String(worker.waiting), label: "waiting" },
  ];
  return { key: String(worker.pid), cells, button };
}

function unique(rows) {
  const seen = new Map();
  for (const row of rows) {
    const count = seen.get(row.key) || 0;
    seen.set(row.key, count + 1);
    if (count) row.key += ` ${count}`;
  }
  return rows;
}

// The last values are of seconds that have just begun. A rate of too few of them would only be noise.
function perSecond(values, { seconds, elapsed }) {
  const rates = values.map((value) => value / seconds);
  const last = rates.length - 1;
  rates[last] = elapsed < SETTLED ? rates[last - 1] : values[last] / elapsed;
  return rates;
}

const GRAPHS = [
  { title: "Requests per second", values: (h) => perSecond(h.requests, h) },
  { title: "Server errors per second", values: (h) => perSecond(h.errors, h), kind: "bad" },
  {
    title: "Mean time, ms",
    values: (h) => h.spent.map((value, at) => (h.requests[at] ? (value / h.requests[at]) * 1000 : 0)),
  },
  { title: "Threads busy", values: (h) => h.busy },
  { title: "Requests waiting", values: (h) => h.waiting },
  { title: "Connections", values: (h) => h.connections },
];

function graph({ title, values, kind = "" }, history) {
  const points = values(history);
  const most = Math.max(...points, 1e-9);
  const now = points[points.length - 1];
  const figure = make("figure");
  const caption = make("figcaption", title);
  caption.append(make("b", most < 1e-6 ? "0" : `${number(now)} now, at most ${number(most)}`));
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "0 0 100 40");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `${title}: ${number(now)} now, at most ${number(most)}`);
  svg.setAttribute("class", kind);
  const path = points.map((value, at) => `${(at * 100) / (points.length - 1)},${40 - (value / most) * 38}`).join(" ");
  for (const [tag, name, value] of [
    ["polygon", "area", `0,40 ${path} 100,40`],
    ["polyline", "line", path],
    ["polyline", "base", "0,40 100,40"],
  ]) {
    const shape = document.createElementNS(space, tag);
    shape.setAttribute("class", name);
    shape.setAttribute("points", value);
    svg.append(shape);
  }
  figure.append(caption, svg);
  return figure;
}

function show(status) {
  const state = element("state");
  const old = status.workers.filter((worker) => worker.generation !== status.generation).length;
  state.textContent = `${status.state}, generation ${status.generation}${old ? `, ${old} of others` : ""}`;
  state.className = status.state === "serving" && !status.reason ? "serving" : "other";
  const problem = element("problem");
  problem.hidden = !status.reason;
  problem.textContent = status.reason && `The last reload failed: ${status.reason}`;
  const total = status.requests.length + status.hidden;
  element("count").textContent = total ? (status.hidden ? `${total}, of which ${status.requests.length} are shown` : total) : "";
  element("none").hidden = total > 0;
  element("requests").hidden = total === 0;
  fill(element("requests"), unique(status.requests.map(requestRow)));
  fill(element("workers"), unique(status.workers.map(workerRow)));
  element("graphs").replaceChildren(...GRAPHS.map((each) => graph(each, status.history)));
  element("version").textContent = `wsgiserve ${status.version}, process ${status.pid}`;
}

async function look() {
  clearTimeout(timer);
  const mine = ++asked;
  try {
    const answer = await fetch("status.json", { signal: AbortSignal.timeout(9000) });
    const status = await answer.json();
    if (mine !== asked) return; // Another look has begun.
    document.body.dataset.looks = mine;
    show(status);
  } catch (error) {
    if (mine !== asked) return;
    element("state").textContent = "The server does not answer";
    element("state").className = "other";
  }
  if (!paused && !document.hidden) timer = setTimeout(look, PERIOD);
}

async function showStack(title, query) {
  element("stack").hidden = false;
  element("stack-title").textContent = title;
  element("stack-text").textContent = "Asking";
  try {
    const answer = await fetch(`stacks?${query}`);
    element("stack-text").textContent = await answer.text();
  } catch (error) {
    element("stack-text").textContent = "The server does not answer.";
  }
  element("stack").scrollIntoView({ block: "nearest" });
}

element("close").onclick = () => { element("stack").hidden = true; };
element("pause").onclick = () => {
  paused = !paused;
  element("pause").textContent = paused ? "Go on" : "Pause";
  element("pause").setAttribute("aria-pressed", String(paused));
  if (paused) clearTimeout(timer);
  else look();
};
document.addEventListener("visibilitychange", () => { if (!document.hidden && !paused) look(); });
look();
