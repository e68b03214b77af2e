// Asks the process whose page this is.
import { t } from "./words.js";
import { printable } from "./dom.js";

const patience = 15000; // milliseconds

/** Problem is why there is no answer. status is that of HTTP, 0 without one. */
export class Problem extends Error {
  constructor(status, sentence, wait = 0) {
    super(sentence);
    this.status = status;
    this.wait = wait; // milliseconds, if the process asks for it
  }

  /** text returns what to show: what is known of the status, and the process's own sentence. */
  get text() {
    if (this.status === 404 && this.message) return this.message;
    const key = "problem." + this.status;
    const general = t(key) === key ? t("problem.other", { status: this.status }) : t(key);
    return this.message ? `${general} ${this.message}` : general;
  }
}

let ahead = 0;

/** now returns the time of the process, in milliseconds: the clock of this machine may be wrong. */
export const now = () => Date.now() - ahead;

/** skew returns how far the clock of this machine is ahead of the process's. */
export const skew = () => ahead;

/** setNow says what time it is, by the process. */
export function setNow(ms) {
  if (Number.isFinite(ms)) ahead = Date.now() - ms;
}

/** ask makes a request and returns the JSON of the answer, or throws a Problem. */
export async function ask(path, { method = "GET", body, form, timeout = patience, signal } = {}) {
  const options = { method, cache: "no-store", credentials: "same-origin", headers: {} };
  options.signal = AbortSignal.any([AbortSignal.timeout(timeout), ...(signal ? [signal] : [])]);
  if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers["Content-Type"] = "application/json";
  }
  if (form) options.body = new URLSearchParams(form);
  let answer, text;
  try {
    answer = await fetch("/admin/" + path, options);
    text = await answer.text();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem(0, "");
  }
  const json = parse(text);
  if (!answer.ok) {
    const wait = Number(answer.headers.get("Retry-After")) * 1000 || 0;
    throw new Problem(answer.status, sentence(answer, json, text), wait);
  }
  if (form) return {};
  if (json === undefined) throw new Problem(answer.status, t("problem.nojson"));
  return json;
}

function parse(text) {
  try { return JSON.parse(text); } catch { return undefined; }
}

/** sentence returns what an answer says of a failure. */
function sentence(answer, json, text) {
  if (typeof json?.error === "string") return printable(json.error);
  const plain = answer.headers.get("Content-Type")?.startsWith("text/plain");
  return plain && answer.status !== 404 && answer.status !== 401 ? printable(text.trim()) : "";
}

/**
 * follow reads server-sent events until they end or signal says so, and calls event with the JSON of
 * each. It throws a Problem if there are none.
 */
export async function follow(path, event, signal) {
  let answer;
  try {
    answer = await fetch("/admin/" + path, { cache: "no-store", credentials: "same-origin", signal });
  } catch (error) {
    if (signal.aborted) return;
    throw new Problem(0, "");
  }
  if (!answer.ok) {
    const text = await answer.text();
    throw new Problem(answer.status, sentence(answer, parse(text), text), Number(answer.headers.get("Retry-After")) * 1000 || 0);
  }
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (let kept = ""; ;) {
      const { done, value } = await reader.read();
      if (done) return;
      const blocks = (kept + value).split("\n\n");
      kept = blocks.pop();
      for (const block of blocks) {
        const data = block.split("\n").filter((line) => line.startsWith("data:")).map((line) => line.slice(5)).join("\n");
        if (data && !/^event: *end/m.test(block)) event(parse(data) ?? {});
      }
    }
  } catch (error) {
    if (signal.aborted) return;
    throw new Problem(0, "");
  }
}

/** query returns a query string of what has a value. */
export function query(values) {
  const kept = Object.entries(values).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return kept.length ? "?" + new URLSearchParams(kept) : "";
}

/** login shows a token, and throws a Problem if it is not taken. */
export const login = (token) => ask("login", { method: "POST", form: { token } });

/** logout ends the session in this browser. */
export const logout = () => ask("logout", { method: "POST", form: {} });
