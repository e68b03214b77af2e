// A plot over time, with what it shows as text beside it. uPlot draws it.
import { h, fill, set, id, printable } from "./dom.js";
import { t } from "./words.js";
import * as format from "./format.js";
import { recorded, series } from "./charts.js";

const height = 150;
const { uPlot } = globalThis;
const cursor = { sync: { key: "time" }, y: false, points: { size: 6 }, drag: { x: false, y: false } };

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** colour returns that of the n-th line. */
const colour = (chart, line, n) => css(chart.alarm?.includes(line.name) ? "--bad" : `--line${n % 6 + 1}`);

/** Plot shows one of the charts. */
export class Plot {
  #chart; #drawing; #lines = []; #hidden = new Set(); #shape = "";
  #canvas; #legend; #times = []; #table; #body; #resize; #none = "plot.nothing";

  constructor(chart) {
    this.#chart = chart;
    const titleId = id();
    this.#canvas = h("div", { class: "canvas", role: "img" });
    this.#legend = h("ul", { class: "legend" });
    this.#body = h("div", { class: "values" });
    this.#table = h("details", { toggle: () => this.#values() }, h("summary", {}, t("plot.values")), this.#body);
    this.element = h("figure", { class: "plot", "aria-labelledby": titleId },
      h("figcaption", {}, h("h3", { id: titleId }, t("chart." + chart.id)), h("p", {}, t("chart." + chart.id + ".means"))),
      this.#canvas, this.#legend, this.#table);
    this.#resize = new ResizeObserver(() => this.#fit());
    this.#resize.observe(this.#canvas);
  }

  /** update shows an answer of /admin/history. */
  update(history) {
    this.#none = recorded(this.#chart, history) ? "plot.nothing" : "plot.unrecorded";
    this.#times = history.times;
    this.#lines = series(this.#chart, history);
    const shape = this.#lines.map((line) => line.name).join();
    if (shape !== this.#shape || !this.#drawing) {
      this.#shape = shape;
      this.redraw();
    } else {
      this.#drawing.setData(this.#data());
    }
    this.#say(null);
    this.#summary();
    this.#values();
  }

  /** redraw draws it anew: the theme has changed. */
  redraw() {
    this.#drawing?.destroy();
    this.#drawing = null;
    if (this.#times.length === 0) return;
    this.#buttons();
    this.#drawing = new uPlot(this.#options(), this.#data(), this.#canvas);
  }

  /** stop ends it. */
  stop() {
    this.#resize.disconnect();
    this.#drawing?.destroy();
  }

  #data() {
    const lines = this.#lines.length ? this.#lines.map((line) => line.values) : [this.#times.map(() => 0)];
    return [this.#times.map((ms) => ms / 1000), ...lines];
  }

  #options() {
    const quiet = css("--quiet"), grid = { stroke: css("--grid"), width: 1 }, font = "11px system-ui, sans-serif";
    const axis = { stroke: quiet, grid, ticks: { show: false }, font };
    const unit = this.#chart.unit;
    const lines = this.#lines.length ? this.#lines : [{ name: "", values: [] }];
    return {
      width: Math.max(this.#canvas.clientWidth, 100), height, cursor, legend: { show: false }, padding: [8, 8, 0, 0],
      hooks: { setCursor: [(plot) => this.#say(plot.cursor.idx)] },
      scales: { x: { time: true }, y: { range: (_, low, high) => [Math.min(0, low ?? 0), high > 0 ? high * 1.1 : 1] } },
      axes: [
        { ...axis, size: 24, space: 56, values: (_, splits) => splits.map((s) => format.minute(s * 1000)) },
        { ...axis, size: 58, space: 32, ...(this.#chart.base2 ? { incrs: powers } : {}),
          values: (_, splits) => splits.map((v) => unit === format.count || unit === format.rate ? format.short(v) : unit(v)) },
      ],
      series: [{}, ...lines.map((line, n) => ({
        label: line.name, stroke: colour(this.#chart, line, n), width: 1.75, points: { show: false }, show: !this.#hidden.has(line.name), spanGaps: false,
        fill: this.#chart.area ? css("--area") : undefined,
        dash: this.#chart.dashed?.includes(line.name) || /_p99$/.test(line.name) ? [5, 3] : undefined,
      }))],
    };
  }

  /** buttons makes the legend: a button for each line, which hides and shows it. */
  #buttons() {
    fill(this.#legend, this.#lines.map((line, n) => {
      const value = h("span", { class: "value" });
      line.shown = value;
      const mark = h("i", { class: this.#chart.alarm?.includes(line.name) ? "mark bad" : `mark line${n % 6 + 1}` });
      return h("li", {}, h("button", { type: "button", "aria-pressed": String(!this.#hidden.has(line.name)), click: (event) => {
        const show = this.#hidden.delete(line.name);
        if (!show) this.#hidden.add(line.name);
        event.currentTarget.setAttribute("aria-pressed", String(show));
        this.#drawing.setSeries(n + 1, { show });
      } }, mark, h("span", { class: line.raw ? "raw" : null }, printable(line.label, 40)), " ", value));
    }), this.#lines.length === 0 ? h("li", { class: "none" }, t(this.#none)) : null);
  }

  /** say shows the values at a point, or the newest ones. */
  #say(point) {
    const values = [...this.#legend.querySelectorAll(".value")];
    this.#lines.forEach((line, n) => {
      const value = point == null ? line.values.findLast((v) => v != null) : line.values[point];
      if (values[n]) set(values[n], this.#chart.unit(value));
    });
  }

  /** summary tells readers what the picture shows. */
  #summary() {
    const parts = this.#lines.map((line) => {
      const all = line.values.filter((v) => v != null);
      if (all.length === 0) return t("plot.unknown", { name: line.label });
      const unit = this.#chart.unit;
      return t("plot.range", { name: line.label, now: unit(all.at(-1)), low: unit(Math.min(...all)), high: unit(Math.max(...all)) });
    });
    this.#canvas.setAttribute("aria-label", printable(parts.join("; ") || t(this.#none), 1000));
  }

  /** values lists some of the values, if somebody has opened the list. */
  #values() {
    if (!this.#table.open) return;
    const step = Math.max(1, Math.ceil(this.#times.length / 12));
    const points = this.#times.map((_, i) => i).filter((i) => (this.#times.length - 1 - i) % step === 0).reverse();
    fill(this.#body, h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": t("chart." + this.#chart.id) }, h("table", {},
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, t("plot.time")), this.#lines.map((line) => h("th", { scope: "col", class: "num" }, printable(line.label, 40))))),
      h("tbody", {}, points.map((i) => h("tr", {}, h("th", { scope: "row" }, format.minute(this.#times[i])),
        this.#lines.map((line) => h("td", { class: "num" }, this.#chart.unit(line.values[i])))))))));
  }

  #fit() {
    const width = this.#canvas.clientWidth;
    if (this.#drawing && width > 0 && width !== this.#drawing.width) this.#drawing.setSize({ width, height });
  }
}

/** powers are the distances between marks of bytes. */
const powers = Array.from({ length: 50 }, (_, n) => 2 ** n);
