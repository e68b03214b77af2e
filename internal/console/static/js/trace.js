// What happens to a user or a channel, as it happens.
import { h, fill, name } from "./dom.js";
import { t, known } from "./words.js";
import * as format from "./format.js";
import { follow, query } from "./api.js";
import { link } from "./fleet.js";

const seconds = 60;
const most = 500; // steps that are kept

/** trace makes a list of steps, which fills while it runs. stop is called by its button. */
export function trace(stop) {
  const list = h("ol", { class: "steps", role: "log", "aria-label": t("trace.title"), tabindex: "0" });
  const waiting = h("p", { class: "hint" }, t("trace.waiting", { n: seconds }));
  const button = h("button", { type: "button", click: stop }, t("trace.stop"));
  const element = h("section", { class: "card" }, h("div", { class: "bar" }, h("h2", {}, t("trace.title")), button), waiting, list);

  function add(step) {
    waiting.hidden = true;
    const at = step.at_ms || step.at / 1000;
    const id = String(step.id ?? "");
    const key = step.what === "ended" ? "trace.ended.session" : "trace." + step.what;
    const what = known(key) ? t(key, { n: step.dropped ?? 0 }) : name(step.what);
    list.prepend(h("li", {}, h("time", {}, format.clock(at)), h("span", { class: "what " + (step.what === "refused" || step.what === "silent" ? "bad" : "") }, what),
      h("span", {}, link(step.process ?? ""), step.session ? " #" + step.session : ""),
      h("span", { class: "detail" }, /[1-9]/.test(id) ? [name(id, "code"), " "] : null, step.portal ? [name(step.portal), " "] : null, name(step.detail ?? ""))));
    while (list.children.length > most) list.lastElementChild.remove();
  }

  return {
    element,
    /** run shows what happens until it ends. */
    async run(question, signal) {
      await follow("trace" + query({ ...question, seconds }), add, signal);
      button.remove();
      if (list.children.length === 0) fill(waiting, t("trace.nothing"));
    },
  };
}
