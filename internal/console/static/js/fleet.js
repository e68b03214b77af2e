// What the answer of /admin/processes says about an installation.
import { h, name } from "./dom.js";
import { t } from "./words.js";
import * as format from "./format.js";
import { address } from "./frame.js";
import { setNow, skew } from "./api.js";

const wrongClock = 1000; // milliseconds off the clock of Redis that are worth a word
const wrongBrowser = 30000; // likewise of this browser

/** read takes an answer of /admin/processes, whatever is missing in it. */
export function read(answer) {
  setNow(answer.now);
  const processes = (answer.processes ?? []).map((p) => {
    const kept = Object.fromEntries(Object.entries(p).filter(([, value]) => value !== -1)); // a number that is not known
    return { ...kept, clock_ms: p.clock_ms, id: String(p.id), connections: p.connections ?? {} };
  });
  return { ...answer, processes, silent: (answer.silent ?? []).map(String) };
}

/** connections returns all connections of a process; undefined if it has none to speak of. */
export function connections({ connections: { websocket, poll, stream } }) {
  const all = [websocket, poll, stream].filter((n) => n != null);
  return all.length ? all.reduce((a, b) => a + b, 0) : undefined;
}

/** uptime returns for how long a process runs, in milliseconds; its own clock may be wrong. */
export function uptime(p, now) {
  if (!Number.isFinite(p.started)) return undefined;
  return Math.max(0, now - (p.started - (p.clock_ms ?? 0)));
}

/** stateOf returns the state of a process: a key of the words, and what kind of mark it has. */
export function stateOf(p) {
  if (p.silent) return { key: "state.silent", mark: "bad" };
  if (p.draining) return { key: "state.draining", mark: "wait" };
  return p.ready ? { key: "state.ready", mark: "ok" } : { key: "state.notready", mark: "bad" };
}

/** state shows it. */
export function state(p) {
  const { key, mark } = stateOf(p);
  return h("span", { class: "state " + mark }, t(key));
}

/** link leads to the page of a process. */
export const link = (id) => h("a", { href: address("process", id), class: "process" }, name(id));

/**
 * findings returns what an operator should know about an installation, the worst first: {mark, text},
 * where text is a list of sentences and elements.
 */
export function findings(fleet) {
  const all = [];
  const add = (mark, ...text) => all.push({ mark, text });
  if (fleet.error) add("bad", t("finding.alone") + " ", name(fleet.error));
  for (const id of fleet.silent) add("bad", link(id), " " + t("finding.silent"));
  for (const p of fleet.processes) {
    if (p.draining) add("wait", link(p.id), " " + t("finding.draining"));
    else if (!p.ready) add("bad", link(p.id), " " + t("finding.notready") + " ", name(p.reason || t("finding.noreason")));
    if (Math.abs(p.clock_ms) > wrongClock) {
      add("wait", link(p.id), " " + t(p.clock_ms > 0 ? "finding.ahead" : "finding.behind", { time: format.millis(Math.abs(p.clock_ms)) }));
    }
    if (p.descriptors > 0.8 * p.descriptors_limit) {
      add("wait", link(p.id), " " + t("finding.descriptors", { n: format.count(p.descriptors), limit: format.count(p.descriptors_limit) }));
    }
  }
  const versions = [...new Set(fleet.processes.map((p) => p.version).filter(Boolean))];
  if (versions.length > 1) add("note", t("finding.versions") + " ", name(versions.sort().join(", ")));
  if (Math.abs(skew()) > wrongBrowser) {
    add("note", t(skew() > 0 ? "finding.browserahead" : "finding.browserbehind", { time: format.duration(Math.abs(skew())) }));
  }
  const rank = { bad: 0, wait: 1, note: 2 };
  return all.sort((a, b) => rank[a.mark] - rank[b.mark]);
}
