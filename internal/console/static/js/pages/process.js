// One process: what it is, what can be done to it, and its plots.
import { h, fill, refill, set, name, id } from "../dom.js";
import { t } from "../words.js";
import * as format from "../format.js";
import { ask, now, query } from "../api.js";
import { act } from "../act.js";
import { address, mayAct, who } from "../frame.js";
import { plots } from "../history.js";
import { read, state, uptime, link } from "../fleet.js";
import { facts } from "../table.js";

const levels = ["debug", "info", "warn", "error"];

export function show(context) {
  const { body, heading, argument: process, poller } = context;
  fill(heading, name(process));
  const about = h("div"), acts = h("div", { class: "acts" });
  let shown = null; // the process, as it was last seen
  const history = plots(context, process);
  fill(body, h("p", { class: "crumb" }, h("a", { href: address("processes") }, t("process.back"))), about, acts, history.element);

  const job = poller.add(() => "processes", 5000, (answer) => {
    const fleet = read(answer);
    const before = shown;
    shown = fleet.processes.find((p) => p.id === process) ?? null;
    const silent = fleet.silent.includes(process);
    if (!shown) {
      fill(about, h("p", { class: "note bad", role: "alert" }, t(silent ? "finding.silent.long" : "process.gone"), fleet.error ? [" ", name(fleet.error)] : null));
      fill(acts);
      return;
    }
    refill(about, described(shown, fleet));
    if (!before || before.kind !== shown.kind || before.log_level !== shown.log_level || before.draining !== shown.draining) buttons();
  }, (failure) => job.at || context.refused(failure, about));

  /** buttons shows what can be done, to those who may. */
  function buttons() {
    if (!shown) return;
    const settings = h("a", { href: address("config", process) }, t("process.settings"));
    if (!mayAct()) {
      fill(acts, settings, h("p", { class: "hint" }, who ? t("process.view") : [t("process.nobody") + " ", h("a", { href: "#/login" }, t("frame.login"))]));
      return;
    }
    const selectId = id();
    const level = h("select", { id: selectId }, levels.map((value) => h("option", { value, selected: value === shown.log_level }, value)));
    fill(acts,
      h("span", { class: "row" }, h("label", { for: selectId }, t("process.level")), level,
        h("button", { type: "button", "data-act": "level", click: () => setLevel(level.value) }, t("act.level.verb"))),
      shown.kind === "publisher" ? null : h("button", { type: "button", "data-act": "rebalance", click: rebalance }, t("act.rebalance.button")),
      h("button", { type: "button", class: "danger", "data-act": "drain", disabled: Boolean(shown.draining), click: drain }, t("act.drain.button")),
      settings);
  }

  const done = async (acted) => {
    if (await acted) poller.again(job);
  };
  const setLevel = (level) => done(act({
    title: t("act.level.title", { process }), will: t(level === "debug" ? "act.level.debug" : "act.level.will", { level }), verb: t("act.level.verb"),
    run: async () => {
      const answer = await ask("log-level" + query({ process }), { method: "PUT", body: { level } });
      return t("act.level.done", { level: answer.level ?? level });
    },
  }));
  const drain = () => done(act({
    title: t("act.drain.title", { process }), danger: true, verb: t("act.drain.verb"),
    will: [t(shown.kind === "publisher" ? "act.drain.publisher" : "act.drain.edge", { n: format.count(Object.values(shown.connections).reduce((a, b) => a + b, 0)) }), t("act.drain.again")],
    run: async () => {
      await ask("drain" + query({ process }), { method: "POST" });
      return t("act.drain.done");
    },
  }));
  const rebalance = () => done(act({
    title: t("act.rebalance.title", { process }), will: t("act.rebalance.will"), verb: t("act.rebalance.verb"),
    run: async () => {
      await ask("rebalance" + query({ process }), { method: "POST" });
      return t("act.rebalance.done");
    },
  }));
  context.known = buttons;
  context.redraw = history.redraw;
  return history.stop;
}

/** described lists what is known of a process. */
function described(p, fleet) {
  const { websocket, poll, stream } = p.connections;
  const off = Math.abs(p.clock_ms) > 1000;
  return [
    p.ready || p.draining ? null : h("p", { class: "note bad" }, t("finding.notready") + " ", name(p.reason || t("finding.noreason"))),
    facts([
      [t("process.state"), state(p)],
      [t("process.kind"), p.kind],
      [t("process.version"), name([p.version, p.commit && `(${String(p.commit).slice(0, 12)})`].filter(Boolean).join(" "))],
      [t("process.host"), name(p.pid ? `${p.host}, pid ${p.pid}` : p.host ?? format.none)],
      [t("process.uptime"), h("span", { title: t("process.since", { time: format.moment(p.started) }) }, format.duration(uptime(p, now())))],
      p.kind === "publisher" ? null : [t("process.connections"), t("overview.transports", { websocket: format.count(websocket), poll: format.count(poll), stream: format.count(stream) })],
      p.kind === "publisher" ? null : [t("process.channels"), format.count(p.channels)],
      [t("process.memory"), format.bytes(p.memory_bytes)],
      [t("process.goroutines"), format.count(p.goroutines)],
      [t("process.descriptors"), t("table.of", { n: format.count(p.descriptors), all: format.count(p.descriptors_limit) })],
      [t("process.level"), p.log_level ?? format.none],
      [t("process.clock"), h("span", { class: off ? "wait" : null }, Number.isFinite(p.clock_ms) ? format.millis(p.clock_ms) : format.none)],
      fleet.self === p.id ? [t("process.self"), t("process.self.yes")] : null,
    ]),
  ];
}
