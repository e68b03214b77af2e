// What stands around each page: the navigation, the switches, who is logged in, how fresh it is.
import { h, fill, set, name } from "./dom.js";
import { lang, t, switchLang } from "./words.js";
import * as format from "./format.js";
import { ask, logout, Problem } from "./api.js";

/** pages are those of the navigation, in its order. */
const pages = ["overview", "processes", "portals", "redis", "explain", "putout", "doctor", "audit", "config"];

/** who is logged in, as /admin/whoami says: {name, role}; null if nobody is. */
export let who = null;

/** mayAct reports whether the one who is logged in may act. */
export const mayAct = () => who?.role === "act";

/** whoami asks who is logged in. */
export async function whoami() {
  try {
    who = await ask("whoami");
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    who = null;
  }
  person();
}

const element = (id) => document.getElementById(id);
const switches = { person: h("span", { class: "person" }) };

/** build makes what stands around the pages. themed is called after a change of the theme. */
export function build(themed) {
  const skip = element("skip");
  fill(skip, t("frame.skip"));
  skip.addEventListener("click", (event) => { // its address is not one of a page
    event.preventDefault();
    element("main").focus();
  });
  const theme = h("select", { "aria-label": t("frame.theme"), change: () => {
    const root = document.documentElement;
    if (theme.value === "auto") delete root.dataset.theme;
    else root.dataset.theme = theme.value;
    try { localStorage.setItem("pushgate.theme", theme.value); } catch { /* a private window */ }
    themed();
  } }, ["auto", "light", "dark"].map((value) => h("option", { value }, t("theme." + value))));
  theme.value = document.documentElement.dataset.theme ?? "auto";
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", themed);
  const language = h("select", { "aria-label": t("frame.lang"), change: () => switchLang(language.value) },
    h("option", { value: "en", lang: "en" }, "English"), h("option", { value: "ru", lang: "ru" }, "Русский"));
  language.value = lang;
  fill(element("switches"), switches.person, theme, language);
  const nav = element("nav");
  nav.setAttribute("aria-label", t("frame.nav"));
  const list = h("ul", { id: "pages" }, pages.map((page) => h("li", {}, h("a", { href: address(page), "data-page": page }, t("page." + page)))));
  const menu = h("button", { type: "button", id: "menu", "aria-expanded": "false", "aria-controls": "pages", click: () => open(menu.getAttribute("aria-expanded") === "false") },
    t("frame.menu"));
  const open = (shown) => {
    menu.setAttribute("aria-expanded", String(shown));
    list.classList.toggle("open", shown);
  };
  nav.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && menu.getAttribute("aria-expanded") === "true") {
      open(false);
      menu.focus();
    }
  });
  list.addEventListener("click", () => open(false));
  fill(nav, menu, list);
}

/** address returns that of a page. */
export function address(page, ...rest) {
  if (page === "overview" && rest.length === 0) return "#/";
  return "#/" + [page, ...rest].map(encodeURIComponent).join("/");
}

/** mark says in the navigation which page is shown. */
export function mark(page) {
  const shown = page === "process" ? "processes" : page;
  for (const link of document.querySelectorAll("#pages a")) {
    if (link.dataset.page === shown) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  element("menu").firstChild.textContent = known(shown) ? `${t("frame.menu")}: ${t("page." + shown)}` : t("frame.menu");
}

const known = (page) => pages.includes(page);

function person() {
  if (!who) {
    fill(switches.person, h("a", { href: "#/login", "data-login": true, click: keep }, t("frame.login")));
    return;
  }
  const out = h("button", { type: "button", class: "plain", click: async () => {
    await logout().catch(() => {});
    await whoami();
    dispatchEvent(new HashChangeEvent("hashchange")); // the page asks again
  } }, t("frame.logout"));
  fill(switches.person, h("span", { class: "name" }, name(who.name), " · ", t("role." + who.role)), out);
}

/** keep remembers the page to return to after a login. */
function keep() {
  if (!location.hash.startsWith("#/login")) sessionStorage.setItem("pushgate.back", location.hash || "#/");
}

/** back returns the address of the page from which somebody went to log in. */
export function back() {
  const kept = sessionStorage.getItem("pushgate.back");
  sessionStorage.removeItem("pushgate.back");
  return kept ?? "#/";
}

/** fresh says how old is what the page shows. jobs are those of its poller. */
export function fresh(jobs) {
  const failed = jobs.find((job) => job.problem && ![401, 403, 404].includes(job.problem.status));
  const main = element("main"), line = element("fresh");
  main.classList.toggle("stale", Boolean(failed));
  if (failed) {
    const since = failed.at ? t("fresh.since", { time: format.clock(failed.at) }) : t("fresh.never");
    line.dataset.state = "bad";
    set(line, `${since} ${failed.problem.text}`);
    return;
  }
  const at = Math.min(...jobs.filter((job) => job.at).map((job) => job.at));
  line.dataset.state = "ok";
  set(line, Number.isFinite(at) ? t("fresh.live") : "");
}

