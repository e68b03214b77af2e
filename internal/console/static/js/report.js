// Shows an answer of /admin/explain: what is known, and what is not.
import { h, name } from "./dom.js";
import { lang, t, known } from "./words.js";
import * as format from "./format.js";
import { table, facts } from "./table.js";
import { link } from "./fleet.js";

const own = lang === "ru" ? 1 : 0; // of the two texts of a sentence
const say = (text) => name(Array.isArray(text) ? text[own] : text);
const or = (value, shown) => value ? shown(value) : format.none;
const position = (id) => /[1-9]/.test(id ?? "") ? h("code", {}, id) : format.none;
const exact = (ms) => ms ? `${format.clock(ms)}.${String(Math.floor(ms % 1000)).padStart(3, "0")}` : format.none;
const word = (key, value) => known(`${key}.${value}`) ? t(`${key}.${value}`) : name(value ?? "");

/** mark returns how good it is that something became of a message. */
const mark = (why) => why === "written" ? "ok" : why === "unknown" ? "note" : "bad";

/** report shows an answer. ask makes a link to another question. */
export function report(r, ask) {
  return [
    r.verdicts?.length ? verdicts(r.verdicts) : null,
    r.channels?.length ? channels(r.channels, ask) : null,
    r.message ? message(r.message) : null,
    r.parts?.length ? parts(r.parts) : null,
    r.sessions?.length ? sessions(r.sessions) : null,
    r.refused?.length ? section("explain.refused", rows("explain.refused", r.refused, [
      ["explain.at", (s) => exact(s.at)], ["process.id", (s) => link(s.process)], ["explain.portal", (s) => name(s.portal)], ["explain.why", (s) => say(s.text), { wide: true }],
    ])) : null,
    section("explain.unknown", r.unknown?.length
      ? h("ul", { class: "findings" }, r.unknown.map((u) => h("li", { class: "note" }, u.process ? [link(u.process), " "] : null, say(u.text), u.since ? " " + t("explain.since", { time: format.moment(u.since) }) : null)))
      : h("p", { class: "hint" }, t("explain.unknown.none"))),
  ];
}

const section = (key, ...content) => h("section", {}, h("h2", {}, t(key)), content);

/** rows makes a table of what does not change: columns are [key, cell, more]. */
function rows(caption, list, columns) {
  const made = table({ caption: t(caption), key: (row) => list.indexOf(row), columns: columns.map(([key, cell, more], i) => ({ id: "c" + i, title: t(key), cell, ...more })) });
  made.update(list);
  return made.element;
}

function verdicts(list) {
  return section("explain.verdicts", h("ul", { class: "verdicts" }, list.slice(0, 64).map((v) => h("li", { class: "verdict", "data-state": { ok: "ok", bad: "bad", note: "wait" }[mark(v.why)] },
    say(v.text), v.channel ? h("span", { class: "counts" }, " ", t("explain.receiver") + " ", name(v.channel, "code")) : null))));
}

function message(m) {
  const lists = m.lists ?? [], accepted = m.accepted ?? [], heard = m.heard ?? [];
  return section("explain.message",
    facts([
      [t("explain.id"), h("code", {}, m.id)],
      [t("explain.state"), word("explain.state", m.state)],
      [t("explain.type"), or(m.type, name)],
      [t("explain.sender"), or(m.sender, (s) => word("explain.sender", s))],
      [t("explain.created"), or(m.created, (ms) => `${format.moment(ms)}`)],
      [t("explain.expires"), or(m.expires, format.moment)],
      [t("explain.life"), m.life_ms ? format.duration(m.life_ms) : m.created ? t("explain.transient") : format.none],
      [t("explain.rule"), m.rule ? h("span", {}, name(m.rule, "code"), " ", t("explain.rule.most", { time: format.duration(m.rule_ms) })) : t("explain.rule.none")],
      [t("explain.size"), m.bytes ? format.bytes(m.bytes) : format.none],
      [t("explain.receivers"), m.receivers ? format.count(m.receivers) : format.none],
    ]),
    accepted.length ? h("h3", {}, t("explain.accepted")) : null,
    accepted.length ? rows("explain.accepted", accepted, [["explain.at", (a) => exact(a.at)], ["process.id", (a) => link(a.process)], ["explain.outcome", (a) => word("explain.outcome", a.outcome)], ["explain.took", (a) => format.millis(a.took), { num: true }]]) : null,
    lists.length ? h("h3", {}, t("explain.lists")) : null,
    lists.length ? rows("explain.lists", lists, [["explain.channel", (l) => name(l.channel, "code")], ["explain.listed", (l) => t(l.trimmed ? "explain.trimmed" : l.listed ? "explain.listed.yes" : "explain.listed.no")]]) : null,
    heard.length ? h("h3", {}, t("explain.heard")) : null,
    heard.length ? rows("explain.heard", heard, [["process.id", (e) => link(e.process)], ["explain.at", (e) => e.from ? exact(e.to || e.from) : t(e.known ? "explain.heard.no" : "explain.heard.unknown")]]) : null);
}

function parts(list) {
  return section("explain.parts", rows("explain.parts", list, [
    ["explain.channel", (p) => name(p.channel, "code")],
    ["explain.signature", (p) => h("span", { class: "state " + (p.signed ? "ok" : p.shortened ? "note" : "bad") }, t(p.shortened ? "explain.shortened" : p.signed ? "explain.signed" : p.key ? "explain.signed.otherwise" : "explain.unsigned"))],
    ["explain.key", (p) => p.key ? name(["№ " + p.key, p.algorithm, p.encoding].filter(Boolean).join(", ")) : format.none],
    ["explain.until", (p) => p.until ? format.moment(p.until) : t("explain.noend")],
  ]));
}

function channels(list, ask) {
  return section("explain.channels", rows("explain.channels", list, [
    ["explain.channel", (c) => name(c.channel, "code"), { head: true }],
    ["explain.watched", (c) => h("span", { class: "state " + mark(c.why) }, c.why === "written" ? t("explain.watched.yes") : say(c.text)), { wide: true }],
    ["explain.length", (c) => format.count(c.length), { num: true }],
    ["explain.newest", (c) => h("details", {}, h("summary", {}, format.count((c.newest ?? []).length)), h("ul", {}, (c.newest ?? []).map((id) => h("li", {}, ask(id))))), { wide: true }],
    ["explain.posts", (c) => h("details", {}, h("summary", {}, format.count((c.posts ?? []).length)), h("ul", {}, (c.posts ?? []).toReversed().map((p) => h("li", {}, exact(p.at), " ", ask(p.id), " ", name(p.type))))), { wide: true }],
  ]));
}

function sessions(list) {
  return section("explain.sessions", rows("explain.sessions", list, [
    ["explain.session", (s) => h("span", {}, link(s.process), " #" + s.number), { head: true }],
    ["explain.transport", (s) => h("span", {}, name(s.transport), s.polls ? ` ×${s.polls}` : "")],
    ["explain.began", (s) => or(s.began, format.moment)],
    ["explain.end", (s) => s.ended ? h("span", {}, format.moment(s.ended), " ", name(s.reason, "code")) : t("explain.open")],
    ["explain.became", (s) => s.why ? h("div", {}, h("span", { class: "state " + mark(s.why) }, say(s.text)),
      s.written?.length ? h("div", { class: "reason" }, t("explain.writtenat", { time: s.written.map((w) => exact(w.to / 1000)).join(", ") })) : null) : format.none, { wide: true }],
    ["explain.acked", (s) => s.acknowledged ? t("explain.yes") : position(s.acknowledged_through), { minor: true }],
    ["explain.sent", (s) => position(s.sent), { minor: true }],
  ]));
}
