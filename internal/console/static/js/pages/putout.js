// Who is put out, until when; and putting somebody out.
import { h, fill, name, id, printable } from "../dom.js";
import { t } from "../words.js";
import * as format from "../format.js";
import { ask, now, query } from "../api.js";
import { act } from "../act.js";
import { mayAct, who } from "../frame.js";
import { table } from "../table.js";

const kinds = ["user", "token", "token_id", "channel"];
const lives = ["1h", "24h", "168h", "720h", "9600h"];

export function show(context) {
  const { body, poller, refused, values } = context;
  let portal = values.get("portal") ?? "";
  const list = table({ caption: t("putout.table"), key: (e) => e.entry, empty: t("putout.empty"), columns: [
    { id: "kind", title: t("putout.kind"), value: (e) => e.kind, cell: (e) => t("putout.kind." + e.kind) },
    { id: "who", title: t("putout.whom"), head: true, value: (e) => e.user ?? e.entry, cell: (e) => name(short(e)) },
    { id: "until", title: t("putout.until"), value: (e) => e.until, cell: (e) => format.moment(e.until * 1000) },
    { id: "left", title: t("putout.left"), num: true, minor: true, cell: (e) => format.duration(e.until * 1000 - now()) },
    { id: "act", title: t("putout.act"), cell: (e) => e.user && mayAct() ? h("button", { type: "button", class: "plain", click: () => restore({ user: e.user }) }, t("putout.restore")) : h("span", {}) },
  ] });
  const problem = h("div"), form = h("div");
  const field = h("input", { type: "text", value: portal, maxlength: "200", spellcheck: "false", autocapitalize: "off", change: () => {
    portal = field.value.trim();
    context.note(query({ portal }));
    poller.again(job);
  } });
  fill(body, h("p", { class: "lead" }, t("putout.lead")), h("div", { class: "fields" }, h("label", {}, t("putout.portal"), field)), form, problem, h("section", {}, h("h2", {}, t("putout.table")), list.element));
  list.element.parentElement.hidden = true;
  const job = poller.add(() => "revocations" + query({ portal }), 5000, (answer) => {
    fill(problem);
    list.element.parentElement.hidden = false;
    list.update(answer.revocations ?? []);
    if (!form.firstChild) build();
  }, (failure) => {
    list.element.parentElement.hidden = true;
    fill(form);
    refused(failure, problem);
  });

  function build() {
    if (!mayAct()) {
      fill(form, who ? h("p", { class: "hint" }, t("putout.view")) : null);
      return;
    }
    const kind = h("select", { name: "kind", change: hint }, kinds.map((value) => h("option", { value }, t("putout.kind." + value))));
    const what = h("input", { name: "what", type: "text", required: true, maxlength: "20000", spellcheck: "false", autocapitalize: "off", autocomplete: "off" });
    const life = h("select", { name: "life" }, lives.map((value) => h("option", { value, selected: value === "24h" }, format.duration(parseInt(value, 10) * 3600e3))));
    const hintId = id(), note = h("p", { class: "hint", id: hintId });
    what.setAttribute("aria-describedby", hintId);
    function hint() { fill(note, t("putout.hint." + kind.value)); }
    hint();
    const target = () => ({ [kind.value]: kind.value === "user" ? Number(what.value) : what.value.trim() });
    const valid = () => {
      const good = kind.value !== "user" || /^[1-9]\d{0,15}$/.test(what.value.trim());
      what.setCustomValidity(good ? "" : t("putout.number"));
      return what.form.reportValidity();
    };
    what.addEventListener("input", () => what.setCustomValidity(""));
    fill(form, h("form", { class: "card", submit: (event) => {
      event.preventDefault();
      if (valid()) putOut(target(), life.value, what);
    } }, h("div", { class: "fields" },
      h("label", {}, t("putout.kind"), kind), h("label", { class: "grow" }, t("putout.whom"), what), h("label", {}, t("putout.for"), life),
      h("button", { class: "danger" }, t("putout.button")),
      h("button", { type: "button", click: () => valid() && restore(target()) }, t("putout.restore.button"))), note));
  }

  const named = (target) => target.user ? t("putout.user", { n: target.user }) : t("putout.this." + Object.keys(target)[0]);

  async function putOut(target, life, what) {
    const done = await act({
      title: t("putout.title", { whom: named(target) }), danger: true, verb: t("putout.verb"),
      will: [t("putout.will"), t("putout.ends", { time: format.moment(now() + parseInt(life, 10) * 3600e3) })],
      run: async () => {
        const answer = await ask("revoke", { method: "POST", body: { portal, ...target, for: life } });
        return t("putout.done", { time: format.moment(answer.until * 1000) });
      },
    });
    if (done) what.value = "";
    poller.again(job);
  }

  async function restore(target) {
    await act({
      title: t("putout.restore.title", { whom: named(target) }), verb: t("putout.restore"), will: t("putout.restore.will"),
      run: async () => {
        await ask("restore", { method: "POST", body: { portal, ...target } });
        return t("putout.restore.done");
      },
    });
    poller.again(job);
  }
  context.known = () => form.firstChild && build();
}

/** short returns whom an entry is about: a user, or the beginning of a hash. */
function short(e) {
  if (e.user) return String(e.user);
  const hash = printable(e.entry).split(":")[1] ?? "";
  return hash.slice(0, 6) + "…";
}
