// The plots of the cluster or of a process, over an hour or a day.
import { h, fill, id } from "./dom.js";
import { t } from "./words.js";
import { query } from "./api.js";
import { charts } from "./charts.js";
import { Plot } from "./plot.js";

const every = { hour: 10000, day: 60000 };

/** plots shows the history of a process, or of all if it is "". got is called with each answer. */
export function plots(context, process, got) {
  const group = id();
  const drawn = charts.map((chart) => new Plot(chart));
  const grid = h("div", { class: "plots" }, drawn.map((plot) => plot.element));
  const state = h("div");
  let span = context.values.get("span") === "day" ? "day" : "hour";
  const choice = h("fieldset", { class: "choice" }, h("legend", { class: "hidden" }, t("plot.span")), ["hour", "day"].map((value) => h("label", {},
    h("input", { type: "radio", name: group, value, checked: value === span, change: () => {
      span = value;
      job.every = every[span];
      context.note(query({ span: span === "day" ? "day" : undefined }));
      context.poller.again(job);
    } }), h("span", {}, t("plot.span." + value)))));
  const section = h("section", { class: "history", "aria-label": t("plot.title") },
    h("div", { class: "bar" }, h("h2", {}, t("plot.title")), choice), state, grid);
  const job = context.poller.add(() => "history" + query({ span, process }), every[span], (answer) => {
    fill(state);
    grid.hidden = false;
    const history = { ...answer, times: answer.times ?? [], series: answer.series ?? {} };
    for (const plot of drawn) plot.update(history);
    got?.(history);
  }, (problem) => {
    if (job.at) return; // what is shown is stale, and said to be
    grid.hidden = true;
    context.refused(problem, state);
  });
  return { element: section, redraw: () => drawn.forEach((plot) => plot.redraw()), stop: () => drawn.forEach((plot) => plot.stop()) };
}
