// The text dialect of the wire protocol, from the side of a subscriber (docs/protocol.md).

const record = /#!NGINXNMS!#(.*?)#!NGINXNME!#/g;
const beginning = "0".repeat(26);
const serversOwn304 = "Thu, 01 Jan 1973 11:11:01 GMT";

/** Cuts a frame or the answer of a poll into messages: {mid, channel, created (unix ms), body (undefined if it is not JSON), raw}. */
export function cut(data) {
  return [...data.matchAll(record)].map(([, json]) => {
    try {
      const { mid, channel, tag, time, text } = JSON.parse(json);
      return { mid, channel, created: Date.parse(time) + Number(tag), body: text, raw: JSON.stringify(text) };
    } catch {
      // A body that is not JSON, which the protocol lets pass: the members before it are still there.
      const [, mid, channel, tag, time, raw] =
        json.match(/"mid":"(\d{26})","channel":"(\w+)","tag":"(\d{3})","time":"([^"]*)","text":(.*)\}$/) ?? [];
      return { mid, channel, created: Date.parse(time) + Number(tag), body: undefined, raw: raw ?? json };
    }
  });
}

/** What both transports share: the last mid, a state, and going on after a failure. Subclasses connect. */
class Subscriber {
  #retries = 0;
  #timer = 0;

  /**
   * config() gives a promise of {channel_id, websocket, poll}, anew(true) after the server refused the ids. on has the
   * handlers state(name, detail), messages(list) and problem(text).
   */
  constructor(config, on) {
    this.config = config;
    this.on = on;
    this.mid = undefined;
    this.since = 0; // unix ms of the latest attempt to connect: what was created before it has been replayed
    this.running = false;
  }

  start() {
    this.running = true;
    this.#retries = 0;
    this.#connect();
  }

  /** Connects with a mid even if no message has been seen: from the beginning of the log. */
  resume() {
    this.mid ??= beginning;
    this.start();
  }

  stop(state) {
    this.running = false;
    clearTimeout(this.#timer);
    this.disconnect();
    this.on.state(state);
  }

  async #connect(refused = false) {
    this.on.state("connecting");
    try {
      const config = await this.config(refused);
      if (this.running) this.connect(config);
    } catch (err) {
      this.retry(err.message);
    }
  }

  opened(state) {
    this.#retries = 0;
    this.on.state(state);
  }

  /** Comes again after a growing, random while; refused says that new channel ids are needed first. */
  retry(why, refused = false) {
    if (!this.running) return;
    const wait = Math.min(500 * 2 ** this.#retries++, 10_000) * (1 + Math.random() / 5);
    this.on.state("retrying", why);
    this.#timer = setTimeout(() => this.#connect(refused), wait);
  }

  query(config) {
    const query = new URLSearchParams({ CHANNEL_ID: config.channel_id });
    if (this.mid) query.set("mid", this.mid);
    return query;
  }

  receive(data) {
    const messages = cut(data);
    if (messages.length === 0) this.on.problem(`An answer without records: ${data.slice(0, 80)}`);
    for (const message of messages) {
      message.replayed = message.created < this.since;
      message.doubled = this.mid !== undefined && message.mid <= this.mid;
      if (message.mid > (this.mid ?? "")) this.mid = message.mid;
    }
    this.on.messages(messages);
  }
}

export class SocketSubscriber extends Subscriber {
  #socket;

  connect(config) {
    this.since = Date.now();
    const socket = new WebSocket(`${config.websocket}?${this.query(config)}`);
    this.#socket = socket;
    socket.onopen = () => this.opened("open");
    socket.onmessage = ({ data }) => this.receive(data);
    socket.onclose = ({ code, reason }) => {
      if (this.#socket !== socket) return;
      if (code === 4010) this.on.problem(`WebSocket closed: ${reason}`);
      this.retry(code === 3000 ? "the server is leaving" : `closed with ${code}`, code === 4010);
    };
  }

  disconnect() {
    const socket = this.#socket;
    this.#socket = undefined;
    socket?.close(1000);
  }
}

export class PollSubscriber extends Subscriber {
  #abort;

  async connect(config) {
    const abort = this.#abort = new AbortController();
    while (!abort.signal.aborted) {
      this.since = Date.now();
      const held = setTimeout(() => this.opened("held"), 250);
      try {
        const answer = await fetch(`${config.poll}?${this.query(config)}`, {
          cache: "no-store",
          signal: AbortSignal.any([abort.signal, AbortSignal.timeout(60_000)]),
        });
        const text = await answer.text();
        if (answer.status === 200) {
          this.opened("held");
          this.receive(text);
        } else if (answer.status === 304) {
          const mid = answer.headers.get("Last-Message-Id");
          if (answer.headers.get("Expires") === serversOwn304 && mid) this.mid = mid;
          this.on.state("held");
        } else {
          this.on.problem(`Poll refused with ${answer.status}: ${text}`);
          return this.retry(`answered ${answer.status}`, answer.status === 400);
        }
      } catch (err) {
        if (abort.signal.aborted) return;
        return this.retry(err.name === "TimeoutError" ? "no answer for 60 s" : "no connection");
      } finally {
        clearTimeout(held);
      }
    }
  }

  disconnect() {
    this.#abort?.abort();
  }
}
