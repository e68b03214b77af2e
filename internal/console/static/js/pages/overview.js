// Is it well? The whole cluster on one page.
import { h, fill, set, refill } from "../dom.js";
import { t } from "../words.js";
import * as format from "../format.js";
import { now } from "../api.js";
import { plots } from "../history.js";
import { last } from "../charts.js";
import { read, connections, findings, state, uptime, link } from "../fleet.js";
import { address } from "../frame.js";
import { table } from "../table.js";

const most = 12; // processes and findings before the rest is elsewhere

export function show(context) {
  const { body, poller } = context;
  const verdict = h("div", { class: "verdict", role: "status" }, h("p", {}, t("overview.asking")));
  const list = h("ul", { class: "findings" });
  const values = {};
  const figures = h("dl", { class: "figures" }, ["processes", "connections", "channels", "in", "out", "latency", "gaps"].map((name) => {
    values[name] = { value: h("span", { class: "big" }, format.none), more: h("span", { class: "more" }) };
    return h("div", {}, h("dt", {}, t("overview." + name)), h("dd", {}, values[name].value, values[name].more));
  }));
  const say = (name, value, more = "") => {
    set(values[name].value, value);
    set(values[name].more, more);
  };
  const processes = table({ caption: t("overview.table"), key: (p) => p.id, columns: [
    { id: "id", title: t("process.id"), head: true, value: (p) => p.id, cell: (p) => link(p.id) },
    { id: "kind", title: t("process.kind"), minor: true, value: (p) => p.kind, cell: (p) => p.kind ?? "" },
    { id: "state", title: t("process.state"), cell: state },
    { id: "connections", title: t("process.connections"), num: true, value: connections, cell: (p) => format.count(connections(p)) },
    { id: "memory", title: t("process.memory"), num: true, value: (p) => p.memory_bytes, cell: (p) => format.bytes(p.memory_bytes) },
    { id: "uptime", title: t("process.uptime"), num: true, minor: true, value: (p) => uptime(p, now()), cell: (p) => format.duration(uptime(p, now())) },
  ] });
  const more = h("p", { class: "hint" });
  const history = plots(context, "", (answer) => {
    const quantile = (name) => last(answer, name + "_p99");
    say("in", format.rate(last(answer, "published")));
    say("out", format.rate(last(answer, "delivered")));
    say("latency", format.millis(quantile("publish_to_send")), t("overview.latency.ack", { time: format.millis(quantile("publish_to_ack")) }));
    const gaps = answer.series.gaps?.reduce((sum, n) => sum + (n ?? 0) * answer.step_ms / 1000, 0);
    say("gaps", format.count(gaps == null ? undefined : Math.round(gaps)), t(answer.span === "day" ? "overview.gaps.day" : "overview.gaps.hour"));
    values.gaps.value.classList.toggle("bad", gaps >= 1);
  });
  const problem = h("div");
  fill(body, verdict, list, problem, figures, history.element, h("section", {}, h("h2", {}, t("overview.table")), processes.element, more));

  poller.add(() => "processes", 5000, (answer) => {
    const fleet = read(answer);
    fill(problem);
    const found = findings(fleet);
    const bad = found.filter((f) => f.mark !== "note");
    verdict.dataset.state = found.some((f) => f.mark === "bad") ? "bad" : bad.length ? "wait" : "ok";
    refill(verdict, h("p", {}, bad.length ? t("overview.findings", { n: bad.length }) : t("overview.well", { n: fleet.processes.length })));
    refill(list, found.slice(0, most).map((f) => h("li", { class: f.mark }, f.text)),
      found.length > most ? h("li", { class: "note" }, h("a", { href: address("processes") }, t("overview.more", { n: found.length - most }))) : null);
    const ready = fleet.processes.filter((p) => p.ready && !p.draining).length;
    say("processes", format.count(fleet.processes.length), t("overview.ready", { n: format.count(ready), silent: fleet.silent.length }));
    const sum = (of) => fleet.processes.reduce((all, p) => of(p) == null ? all : (all ?? 0) + of(p), undefined);
    const by = (kind) => format.count(sum((p) => p.connections[kind]));
    say("connections", format.count(sum(connections)), t("overview.transports", { websocket: by("websocket"), poll: by("poll"), stream: by("stream") }));
    say("channels", format.count(sum((p) => p.channels)));
    const rows = [...fleet.silent.map((id) => ({ id, silent: true, connections: {} })), ...fleet.processes];
    const worst = rows.toSorted((a, b) => (a.ready === true) - (b.ready === true));
    processes.update(worst.slice(0, most));
    refill(more, rows.length > most ? h("a", { href: address("processes") }, t("overview.all", { n: rows.length })) : null);
  }, (failure) => {
    verdict.dataset.state = "bad";
    refill(verdict, h("p", {}, t("overview.unknown")));
    if (failure.status === 404) context.refused(failure, problem);
  });
  context.redraw = history.redraw;
  return history.stop;
}
