// What pushgate doctor finds, with its remedies.
import { h, fill, name, id } from "../dom.js";
import { lang, t, known } from "../words.js";
import * as format from "../format.js";
import { ask, query, now, Problem } from "../api.js";

const order = ["error", "warning", "unknown", "ok"];
const marks = { error: "bad", warning: "wait", unknown: "note", ok: "ok" };

export function show({ body, poller, refused }) {
  const state = h("p", { class: "hint", role: "status" });
  const place = h("div", { class: "report" });
  const stop = new AbortController();
  const start = h("button", { type: "button", class: "primary", click: examine }, t("doctor.start"));
  fill(body, h("p", { class: "lead" }, t("doctor.lead")), h("div", { class: "bar" }, start, state), place);

  async function examine() {
    start.disabled = true;
    fill(state, t("doctor.doing"));
    try {
      const report = await ask("doctor" + query({ lang }), { timeout: 180000, signal: stop.signal });
      fill(state, t("doctor.at", { time: format.clock(now()) }));
      fill(place, described(report));
    } catch (error) {
      if (stop.signal.aborted) return;
      fill(state);
      refused(error instanceof Problem ? error : new Problem(-1, String(error)), place);
    }
    start.disabled = false;
  }
  examine();
  return () => stop.abort();
}

function described(report) {
  const all = report.findings ?? [];
  const groups = [...new Set(all.map((f) => f.group))];
  const worst = (list) => Math.min(...list.map((f) => order.indexOf(f.state)).filter((n) => n >= 0), order.length);
  const counts = order.map((state) => t("doctor.count." + state, { n: all.filter((f) => f.state === state).length }));
  return [
    h("p", { class: "verdict", "data-state": { error: "bad", warning: "wait", ok: "ok" }[report.state] }, t("doctor.state." + report.state), " ", h("span", { class: "counts" }, counts.join(", "))),
    groups.map((group) => {
      const found = all.filter((f) => f.group === group);
      const open = found.filter((f) => f.state === "error" || f.state === "warning");
      const rest = found.filter((f) => !open.includes(f));
      const titleId = id();
      return h("section", { class: "card group", "aria-labelledby": titleId },
        h("h2", { id: titleId }, known("doctor.group." + group) ? t("doctor.group." + group) : name(group), " ", h("span", { class: "state " + marks[order[worst(found)]] }, t("doctor." + order[worst(found)]))),
        open.sort((a, b) => order.indexOf(a.state) - order.indexOf(b.state)).map(finding),
        rest.length ? h("details", {}, h("summary", {}, t("doctor.rest", { n: rest.length })), h("ul", {}, rest.map((f) => h("li", {},
          h("span", { class: "state " + marks[f.state] }, t("doctor." + f.state)), " ", name(f.looks_at), f.why ? [" ", h("span", { class: "quiet" }, name(f.why))] : null,
          f.evidence?.length ? [" ", h("code", { class: "quiet" }, name(f.evidence[0]))] : null)))) : null);
    }),
  ];
}

function finding(f) {
  return h("article", { class: "finding " + marks[f.state] },
    h("h3", {}, h("span", { class: "state " + marks[f.state] }, t("doctor." + f.state)), " ", name(f.looks_at), " ", h("code", { class: "quiet" }, f.id)),
    h("p", {}, name(f.problem)),
    f.evidence?.length ? h("ul", { class: "evidence" }, f.evidence.map((text) => h("li", {}, name(text, "code")))) : null,
    h("p", { class: "remedy" }, h("strong", {}, t("doctor.remedy") + " "), name(f.remedy, "bdi")));
}
