// Asks again and again: one request at a time, only while somebody looks, slower after failures.
import { ask, Problem } from "./api.js";

const longest = 60000; // milliseconds between two attempts

/** Poller asks for all parts of a page. */
export class Poller {
  #jobs = new Set();
  #timer = 0;
  #under = false; // a request is under way
  #stop = new AbortController();
  #changed;

  /** changed is called after each answer and failure. */
  constructor(changed) {
    this.#changed = changed;
    document.addEventListener("visibilitychange", () => this.#plan(), { signal: this.#stop.signal });
  }

  /**
   * add asks for what path() returns, every so many milliseconds; ok gets the answers. The job that
   * is returned has when it last succeeded (at) and why it does not (problem). failed may be absent.
   */
  add(path, every, ok, failed) {
    const job = { path, every, ok, failed, due: 0, failures: 0, at: 0, problem: null };
    this.#jobs.add(job);
    this.#plan();
    return job;
  }

  /** again asks at once. */
  again(job) {
    if (job) job.due = 0;
    else for (const each of this.#jobs) each.due = 0;
    this.#plan();
  }

  /** jobs returns what is asked for. */
  get jobs() {
    return [...this.#jobs];
  }

  /** stop ends it, and what is under way. */
  stop() {
    this.#stop.abort();
    clearTimeout(this.#timer);
    this.#jobs.clear();
  }

  #plan() {
    clearTimeout(this.#timer);
    if (this.#under || document.hidden || this.#jobs.size === 0) return;
    const next = this.jobs.reduce((a, b) => (b.due < a.due ? b : a));
    if (next.due === Infinity) return;
    this.#timer = setTimeout(() => this.#run(next), Math.max(0, next.due - Date.now()));
  }

  async #run(job) {
    this.#under = true;
    try {
      const path = job.path();
      const answer = await ask(path, { signal: this.#stop.signal });
      if (this.#stop.signal.aborted) return;
      if (path === job.path()) { // else something else has been chosen meanwhile
        Object.assign(job, { at: Date.now(), problem: null, failures: 0, due: Date.now() + job.every });
        job.ok(answer);
      }
    } catch (error) {
      if (this.#stop.signal.aborted) return;
      if (!(error instanceof Problem)) console.error(error);
      job.failures++;
      job.problem = error instanceof Problem ? error : new Problem(-1, String(error));
      const hopeless = job.problem.status === 401 || job.problem.status === 403; // until somebody logs in
      job.due = hopeless ? Infinity : Date.now() + Math.max(job.problem.wait, Math.min(longest, job.every * 2 ** Math.min(job.failures - 1, 6)));
      job.failed?.(job.problem);
    } finally {
      this.#under = false;
    }
    this.#changed?.();
    this.#plan();
  }
}
