// Why did somebody not get a message? And what happens to them just now.
import { h, fill, name } from "../dom.js";
import { t } from "../words.js";
import { ask, query, Problem } from "../api.js";
import { act } from "../act.js";
import { mayAct, address } from "../frame.js";
import { report } from "../report.js";
import { trace } from "../trace.js";

/** shareable are questions that open nothing, and may stand in an address. */
const shareable = /^(\d{26}|(user:)?\d{1,18})$/;

export function show(context) {
  const { body, values, refused } = context;
  const place = h("div", { class: "report" });
  const state = h("p", { class: "hint", role: "status" });
  const q = h("input", { name: "q", type: "search", required: true, maxlength: "16000", spellcheck: "false", autocapitalize: "off", autocomplete: "off" });
  const portal = h("input", { name: "portal", type: "text", maxlength: "200", spellcheck: "false", autocapitalize: "off" });
  q.value = values.get("q") ?? "";
  portal.value = values.get("portal") ?? "";
  let stop = new AbortController();
  const form = h("form", { class: "card", submit: (event) => {
    event.preventDefault();
    explain();
  } }, h("div", { class: "fields" }, h("label", { class: "grow" }, t("explain.q"), q), h("label", {}, t("explain.portal"), portal),
    h("button", { class: "primary" }, t("explain.button")),
    h("button", { type: "button", click: () => form.reportValidity() && live() }, t("explain.live"))),
  h("p", { class: "hint" }, t("explain.hint")));
  fill(body, h("p", { class: "lead" }, t("explain.lead")), form, state, place);

  /** asked begins another question, and returns it. */
  function asked() {
    stop.abort();
    stop = new AbortController();
    const question = { q: q.value.trim(), portal: portal.value.trim() };
    context.note(query(shareable.test(question.q) ? question : {}));
    fill(place);
    return question;
  }

  async function explain() {
    const question = asked(), signal = stop.signal;
    fill(state, t("explain.doing"));
    try {
      const answer = await ask("explain" + query(question), { signal });
      fill(state);
      fill(place, report(answer, ask4), bodyButton(answer));
    } catch (error) {
      if (signal.aborted) return;
      fill(state);
      refused(error instanceof Problem ? error : new Problem(-1, String(error)), place);
    }
  }

  async function live() {
    const question = asked(), signal = stop.signal;
    const shown = trace(() => stop.abort());
    fill(place, shown.element);
    fill(state, t("trace.doing"));
    try {
      await shown.run(question, signal);
      fill(state, t("trace.ended"));
    } catch (problem) {
      fill(state);
      refused(problem, place);
    }
  }

  /** ask4 makes a link that asks for something else of the same portal. */
  const ask4 = (text, shown = text) => h("a", { href: address("explain") + query({ q: text, portal: portal.value.trim() }) }, name(shown));

  function bodyButton(answer) {
    if (!answer.message || !mayAct()) return null;
    const shown = h("div");
    return h("section", {}, h("div", {}, h("button", { type: "button", click: () => act({
      title: t("explain.body.title"), will: t("explain.body.will"), verb: t("explain.body.verb"), danger: true,
      run: async () => {
        const text = await ask("explain/body", { method: "POST", body: { id: answer.message.id, portal: answer.portal } });
        fill(shown, h("pre", { tabindex: "0", class: "card" }, text.body));
        return t("explain.body.done", { n: text.bytes });
      },
    }) }, t("explain.body.button"))), shown);
  }

  if (q.value) explain();
  return () => stop.abort();
}
