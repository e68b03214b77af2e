// All processes that share a Redis.
import { h, fill, set, name, printable } from "../dom.js";
import { t } from "../words.js";
import * as format from "../format.js";
import { now } from "../api.js";
import { read, connections, state, stateOf, uptime, link } from "../fleet.js";
import { table } from "../table.js";

const off = (ms) => Number.isFinite(ms) ? (ms > 0 ? "+" : "") + format.millis(ms) : format.none;

export function show({ body, poller, refused }) {
  const processes = table({ caption: t("page.processes"), key: (p) => p.id, className: "tall", columns: [
    { id: "id", title: t("process.id"), head: true, value: (p) => p.id, cell: (p) => link(p.id) },
    { id: "kind", title: t("process.kind"), minor: true, value: (p) => p.kind, cell: (p) => p.kind ?? format.none },
    { id: "state", title: t("process.state"), wide: true, value: (p) => stateOf(p).key, cell: (p) => h("div", {}, state(p), p.reason && !p.ready ? h("div", { class: "reason" }, name(p.reason)) : null) },
    { id: "version", title: t("process.version"), minor: true, value: (p) => p.version, cell: (p) => h("span", { title: p.commit && printable(p.commit) }, name(p.version ?? format.none)) },
    { id: "host", title: t("process.host"), minor: true, value: (p) => p.host, cell: (p) => name(p.host ?? format.none) },
    { id: "uptime", title: t("process.uptime"), num: true, value: (p) => uptime(p, now()), cell: (p) => format.duration(uptime(p, now())) },
    { id: "websocket", title: t("transport.websocket"), num: true, value: (p) => p.connections.websocket, cell: (p) => format.count(p.connections.websocket) },
    { id: "poll", title: t("transport.poll"), num: true, minor: true, value: (p) => p.connections.poll, cell: (p) => format.count(p.connections.poll) },
    { id: "stream", title: t("transport.stream"), num: true, minor: true, value: (p) => p.connections.stream, cell: (p) => format.count(p.connections.stream) },
    { id: "channels", title: t("process.channels"), num: true, minor: true, value: (p) => p.channels, cell: (p) => format.count(p.channels) },
    { id: "memory", title: t("process.memory"), num: true, value: (p) => p.memory_bytes, cell: (p) => format.bytes(p.memory_bytes) },
    { id: "descriptors", title: t("process.descriptors"), num: true, minor: true, value: (p) => p.descriptors, cell: (p) => t("table.of", { n: format.count(p.descriptors), all: format.count(p.descriptors_limit) }) },
    { id: "level", title: t("process.level"), minor: true, value: (p) => p.log_level, cell: (p) => name(p.log_level ?? format.none) },
    { id: "clock", title: t("process.clock"), num: true, minor: true, value: (p) => p.clock_ms, cell: (p) => h("span", { class: Math.abs(p.clock_ms) > 1000 ? "wait" : null }, off(p.clock_ms)) },
  ], sort: "id" });
  const problem = h("div"), count = h("p", { class: "hint" });
  let rows = [];
  const find = h("input", { type: "search", "aria-label": t("process.find"), placeholder: t("process.find"), input: () => update() });
  const update = () => {
    const text = find.value.trim().toLowerCase();
    processes.update(rows.filter((p) => [p.id, p.kind, p.host, p.version, t(stateOf(p).key)].join(" ").toLowerCase().includes(text)));
  };
  fill(body, h("div", { class: "bar" }, find, count), problem, processes.element);
  poller.add(() => "processes", 5000, (answer) => {
    const fleet = read(answer);
    fill(problem, fleet.error ? h("p", { class: "note bad", role: "alert" }, t("finding.alone") + " ", name(fleet.error)) : null);
    rows = [...fleet.silent.map((id) => ({ id, silent: true, connections: {} })), ...fleet.processes];
    set(count, t("process.count", { n: fleet.processes.length }) + (fleet.silent.length ? " " + t("process.silent", { n: fleet.silent.length }) : ""));
    update();
  }, (failure) => rows.length || refused(failure, problem));
}
