// Which series are in which plot.
import { t, known } from "./words.js";
import * as format from "./format.js";

/**
 * charts are the plots. series are names of the history; prefix takes all that begin with it. unit is
 * how values are shown. alarm: anything above zero is bad.
 */
export const charts = [
  { id: "connections", unit: format.count, series: ["connections_websocket", "connections_poll", "connections_stream", "channels"], dashed: ["channels"] },
  { id: "messages_in", unit: format.rate, series: ["published"], area: true },
  { id: "messages_out", unit: format.rate, series: ["delivered"], area: true },
  { id: "send", unit: format.millis, series: ["publish_to_send_p50", "publish_to_send_p99"] },
  { id: "ack", unit: format.millis, series: ["publish_to_ack_p50", "publish_to_ack_p99"] },
  { id: "replays", unit: format.rate, series: ["replayed", "gaps"], alarm: ["gaps"] },
  { id: "ends", unit: format.rate, prefix: "ends_" },
  { id: "refused", unit: format.rate, prefix: "refused_" },
  { id: "portal_calls", unit: format.rate, prefix: "portal_calls_" },
  { id: "memory", unit: format.bytes, series: ["memory_bytes"], area: true, base2: true },
  { id: "cpu", unit: format.number, series: ["cpu"], area: true },
  { id: "redis", unit: format.millis, series: ["redis_trip_p50", "redis_trip_p99"] },
];

const most = 6; // lines of a plot with a prefix

/** series returns the lines of a plot from the answer of /admin/history: {name, label, values}. */
export function series(chart, history) {
  const all = history.series ?? {};
  if (!chart.prefix) {
    return chart.series.map((name) => ({ name, label: label(name), values: all[name] ?? history.times.map(() => null) }));
  }
  const sum = (values) => values.reduce((a, b) => a + (b ?? 0), 0);
  const lines = Object.keys(all).filter((name) => name.startsWith(chart.prefix))
    .map((name) => ({ name, label: name.slice(chart.prefix.length), values: all[name], sum: sum(all[name]), raw: true }))
    .filter((line) => line.sum > 0)
    .sort((a, b) => b.sum - a.sum || a.name.localeCompare(b.name));
  if (lines.length <= most) return lines;
  const rest = lines.splice(most - 1);
  lines.push({ name: chart.prefix, label: t("series.other", { n: rest.length }), values: history.times.map((_, i) =>
    rest.reduce((a, line) => line.values[i] == null ? a : (a ?? 0) + line.values[i], null)) });
  return lines;
}

/** recorded reports whether a history has anything for a plot. */
export const recorded = (chart, { series: all = {} }) => Object.keys(all).some((name) => chart.prefix ? name.startsWith(chart.prefix) : chart.series.includes(name));

function label(name) {
  const key = "series." + name.replace(/_p(50|99)$/, "");
  const quantile = name.match(/_p(50|99)$/)?.[1];
  if (quantile) return t("series.p" + quantile);
  return known(key) ? t(key) : name;
}

/** last returns the newest known value of a series, and undefined if there is none. */
export function last(history, name) {
  const values = history?.series?.[name];
  return values?.findLast((value) => value != null);
}
