// Shows the page that the address names.
import { h, fill, printable } from "./dom.js";
import { t } from "./words.js";
import { Poller } from "./poll.js";
import * as frame from "./frame.js";
import { loginForm } from "./login.js";

const main = document.getElementById("main");
const files = ["overview", "processes", "process", "portals", "redis", "explain", "putout", "doctor", "audit", "config", "login"];
let shown = null; // {page, poller, stop}
let turn = 0;

/** route reads the address: #/page/argument?key=value. */
function route() {
  const [path, search] = location.hash.replace(/^#\/?/, "").split("?");
  const parts = path.split("/").map(decode);
  return { page: parts[0] || "overview", argument: parts[1] ?? "", values: new URLSearchParams(search) };
}

function decode(text) {
  try { return decodeURIComponent(text); } catch { return text; }
}

/** show shows a page: it gets what it needs, and may return what to do when it is left. */
async function show() {
  const mine = ++turn;
  const to = route();
  const known = files.includes(to.page);
  const page = known ? await import(`./pages/${to.page}.js`) : null;
  if (mine !== turn) return;
  leave();
  frame.mark(to.page);
  const title = known ? t("page." + to.page) : t("page.unknown");
  document.title = `${to.argument ? printable(to.argument, 80) + " · " : ""}${title} · pushgate`;
  const heading = h("h1", { tabindex: "-1" }, title);
  const body = h("div", { class: "page " + (known ? to.page : "") });
  fill(main, heading, body);
  main.classList.remove("stale");
  const moved = shown !== null;
  const context = shown = { page: to.page, poller: new Poller(() => frame.fresh(context.poller.jobs)), stop: null, redraw: null };
  Object.assign(context, {
    heading, body, argument: to.argument, values: to.values,
    /** refused shows what to do about a failure, in the place of a part of the page. */
    refused: (problem, place) => refused(context, problem, place),
    /** go changes values in the address without a new entry of the history. */
    note: (values) => history.replaceState(null, "", frame.address(to.page, ...(to.argument ? [to.argument] : [])) + values),
  });
  frame.fresh([]);
  if (known) context.stop = page.show(context) ?? null;
  else fill(body, h("p", {}, t("page.unknown.text")));
  if (moved) heading.focus();
}

function leave() {
  shown?.poller.stop();
  shown?.stop?.();
}

/** refused fills a place: with the form if a token is missing, else with a sentence. */
function refused(context, problem, place) {
  if (problem.status === 401) {
    const form = loginForm(t("login.needed"), async () => {
      await frame.whoami();
      show();
    });
    fill(place, form);
    return;
  }
  if (problem.status === 404 && !problem.message) {
    fill(place, h("p", { class: "note" }, t("problem.404")));
    return;
  }
  fill(place, h("p", { class: "note bad", role: "alert" }, problem.text));
}

frame.build(() => requestAnimationFrame(() => shown?.redraw?.()));
addEventListener("hashchange", show);
await Promise.all([show(), frame.whoami().then(() => shown?.known?.())]);
