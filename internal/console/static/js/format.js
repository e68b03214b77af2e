// How numbers, times and sizes look in the language of the page.
import { lang, t } from "./words.js";

/** none stands for what is not known. */
export const none = "–";

const known = (n) => typeof n === "number" && Number.isFinite(n);
const whole = new Intl.NumberFormat(lang, { maximumFractionDigits: 0 });
const one = new Intl.NumberFormat(lang, { maximumFractionDigits: 1 });
const fine = new Intl.NumberFormat(lang, { maximumSignificantDigits: 2 });
const compact = new Intl.NumberFormat(lang, { notation: "compact", maximumFractionDigits: 1 });

/** count returns a whole number. */
export const count = (n) => known(n) ? whole.format(n) : none;

/** number returns a number with as many digits as one reads. */
export function number(n) {
  if (!known(n)) return none;
  if (n === 0 || Math.abs(n) >= 100) return whole.format(n);
  return Math.abs(n) >= 10 ? one.format(n) : fine.format(n);
}

/** short returns a number for the axis of a plot. */
export const short = (n) => known(n) ? (Math.abs(n) < 1000 ? number(n) : compact.format(n)) : "";

/** rate returns a number for each second. */
export const rate = (n) => known(n) ? t("unit.rate", { n: number(n) }) : none;

/** bytes returns a size. */
export function bytes(n) {
  if (!known(n)) return none;
  let unit = 0;
  for (; Math.abs(n) >= 1024 && unit < 4; unit++) n /= 1024;
  return t("unit.bytes" + unit, { n: unit === 0 ? whole.format(n) : number(n) });
}

/** millis returns a time of so many milliseconds. */
export function millis(n) {
  if (!known(n)) return none;
  if (Math.abs(n) < 10000) return Math.abs(n) < 1000 ? t("unit.ms", { n: number(n) }) : t("unit.s", { n: one.format(n / 1000) });
  return duration(n);
}

const spans = [["day", 86400e3], ["hour", 3600e3], ["minute", 60e3], ["second", 1e3]];
const unitFormat = Object.fromEntries(spans.map(([unit]) => [unit,
  new Intl.NumberFormat(lang, { style: "unit", unit, unitDisplay: "short", maximumFractionDigits: 0 })]));

/** duration returns a time in its two biggest units. */
export function duration(ms) {
  if (!known(ms)) return none;
  const sign = ms < 0 ? "−" : "";
  ms = Math.abs(ms);
  const first = Math.max(0, spans.findIndex(([, size]) => ms >= size));
  if (ms < 1000) return unitFormat.second.format(0);
  const parts = [];
  for (const [unit, size] of spans.slice(first, first + 2)) {
    const n = Math.floor(ms / size);
    ms -= n * size;
    if (n > 0) parts.push(unitFormat[unit].format(n));
  }
  return sign + parts.join(" ");
}

const clockFormat = new Intl.DateTimeFormat(lang, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const minuteFormat = new Intl.DateTimeFormat(lang, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const dayFormat = new Intl.DateTimeFormat(lang, { day: "numeric", month: "short" });
const fullFormat = new Intl.DateTimeFormat(lang, { dateStyle: "medium", timeStyle: "medium", hourCycle: "h23" });

const dated = (format) => (ms) => {
  const date = new Date(ms);
  return ms == null || Number.isNaN(date.getTime()) ? none : format.format(date);
};

/** clock, minute, day and moment return parts of a time, given in milliseconds or as ISO text. */
export const clock = dated(clockFormat);
export const minute = dated(minuteFormat);
export const day = dated(dayFormat);
export const moment = dated(fullFormat);
