// The portals that are served, of which there may be thousands.
import { h, fill, set, name } from "../dom.js";
import { t, known } from "../words.js";
import * as format from "../format.js";
import { query } from "../api.js";
import { table } from "../table.js";

const limit = 100;

export function show(context) {
  const { body, poller, refused, values } = context;
  let pages = [""]; // after which portal each page begins
  let next = "";
  const portals = table({ caption: t("page.portals"), key: (p) => p.name, className: "tall", empty: t("portals.empty"), columns: [
    { id: "name", title: t("portals.name"), head: true, value: (p) => p.name, cell: (p) => name(p.name) },
    { id: "connections", title: t("process.connections"), num: true, value: (p) => p.connections, cell: (p) => format.count(p.connections) },
    { id: "channels", title: t("process.channels"), num: true, value: (p) => p.channels, cell: (p) => format.count(p.channels) },
    { id: "posts", title: t("portals.posts"), num: true, value: (p) => p.posts, cell: (p) => format.count(p.posts) },
    { id: "messages", title: t("portals.messages"), num: true, value: (p) => p.messages, cell: (p) => format.count(p.messages) },
    { id: "limits", title: t("portals.limits"), minor: true, wide: true, cell: (p) => limits(p.limits) },
  ] });
  const problem = h("div"), count = h("p", { class: "hint", role: "status" });
  let waiting = 0;
  const find = h("input", { type: "search", value: values.get("find") ?? "", "aria-label": t("portals.find"), placeholder: t("portals.find"), maxlength: "200", input: () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      pages = [""];
      context.note(query({ find: find.value.trim() }));
      poller.again(job);
    }, 250);
  } });
  const back = h("button", { type: "button", click: () => turn(() => pages.pop()) }, t("portals.back"));
  const forth = h("button", { type: "button", click: () => turn(() => pages.push(next)) }, t("portals.forth"));
  function turn(change) {
    change();
    poller.again(job);
    portals.element.scrollTop = 0;
  }
  fill(body, h("div", { class: "bar" }, find, count), problem, portals.element, h("div", { class: "bar" }, back, forth));
  back.disabled = forth.disabled = true;
  const job = poller.add(() => "portals" + query({ after: pages.at(-1), limit, find: find.value.trim() }), 10000, (answer) => {
    const shown = answer.portals ?? [];
    fill(problem, answer.error ? h("p", { class: "note bad" }, name(answer.error)) : null);
    next = answer.next ?? "";
    back.disabled = pages.length < 2;
    forth.disabled = !next;
    set(count, answer.total == null ? t("portals.count", { n: shown.length }) : t("portals.total", { n: shown.length, all: format.count(answer.total) }));
    portals.update(shown);
  }, (failure) => job.at || refused(failure, problem));
  return () => clearTimeout(waiting);
}

/** limits lists those that a portal has. */
function limits(all) {
  const set = Object.entries(all ?? {}).filter(([, value]) => value);
  if (set.length === 0) return h("span", { class: "quiet" }, t("portals.nolimits"));
  return h("span", {}, set.map(([key, value], i) => [i ? ", " : "", known("limit." + key) ? t("limit." + key) : name(key), " ", typeof value === "number" ? format.count(value) : name(value)]));
}
