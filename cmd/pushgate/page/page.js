import { PollSubscriber, SocketSubscriber } from "./protocol.js";

const $ = (id) => document.getElementById(id);
const keep = 200; // cards in a column

let loading;
let channels = {}; // id → "private" or "shared"

/** Gives the server's configuration, fetched once; anew after the server has refused it (it was started again). */
function config(refused = false) {
  if (!loading || refused) {
    loading = fetch("/dev/config").then((answer) => {
      if (!answer.ok) throw new Error(`configuration: ${answer.status}`);
      return answer.json();
    });
    loading.then(show, () => { loading = undefined; });
  }
  return loading;
}

function problem(text) {
  const line = document.createElement("li");
  line.textContent = `${new Date().toLocaleTimeString()}  ${text}`;
  $("problems").prepend(line);
  while ($("problems").children.length > 3) $("problems").lastChild.remove();
}

// ---- columns ----

const states = { connecting: "connecting", open: "connected", held: "request held", retrying: "retrying", asleep: "asleep" };

/** A list of cards, newest first, and the state of the subscriber that fills it. */
class Column {
  constructor(id) {
    this.id = id;
    this.list = $(`${id}-messages`);
  }

  handlers(received) {
    return {
      state: (name, detail) => {
        const state = $(`${this.id}-state`);
        state.dataset.state = name;
        state.textContent = detail ? `${states[name]}: ${detail}` : states[name];
        this.showMID();
      },
      problem,
      messages: (messages) => {
        messages.forEach(received);
        this.showMID();
      },
    };
  }

  showMID() {
    $(`${this.id}-mid`).textContent = this.subscriber.mid ?? "none yet";
  }

  /** Puts a card where its id belongs and gives it. */
  add(message, state, age) {
    const card = document.createElement("li");
    card.dataset.mid = message.mid;
    const params = message.body?.params ?? {};
    card.append(
      row(span("type", typeOf(message.body)), span("age", age), span("badge", "")),
      span("text", typeof params.text === "string" ? params.text : message.raw),
      row(span("mid", message.mid ?? ""), span("channel", channels[message.channel] ?? "")),
    );
    const before = [...this.list.children].find((other) => other.dataset.mid < card.dataset.mid);
    this.list.insertBefore(card, before ?? null);
    while (this.list.children.length > keep) this.list.lastChild.remove();
    mark(card, state);
    return card;
  }

  receive(message) {
    const state = stateOf(message);
    if (state === "doubled") problem(`${this.id}: message ${message.mid} came twice`);
    return this.add(message, state, age(message));
  }
}

function row(...parts) {
  const element = document.createElement("div");
  element.append(...parts);
  return element;
}

function span(name, text) {
  const element = document.createElement("span");
  element.className = name;
  element.textContent = text;
  return element;
}

function typeOf(body) {
  return body === undefined ? "not JSON" : [body?.module_id, body?.command].filter(Boolean).join("_") || "no type";
}

function mark(card, state) {
  card.dataset.state = state;
  card.querySelector(".badge").textContent = state;
}

function stateOf(message) {
  if (message.doubled) return "doubled";
  return message.replayed ? "replayed" : "live";
}

/** Time from sending (or, for what this page did not send, from publishing) to now. */
function age(message) {
  const sent = message.body?.params?.sent;
  const ms = now() - (typeof sent === "number" ? sent : message.created);
  if (ms < 1000) return `${Math.max(ms, 0).toFixed(1)} ms`;
  return `after ${(ms / 1000).toFixed(1)} s`;
}

function now() {
  return performance.timeOrigin + performance.now();
}

// ---- the sleeper ----

/** While it sleeps its column shows what waits for it, as the WebSocket column tells: those cards become true or expire. */
class Sleeper extends Column {
  #waiting = new Map(); // mid → {card, expires}
  #asleep = false;
  #nap = { replayed: 0, expired: 0, lost: 0 };

  toggle() {
    this.#asleep = !this.#asleep;
    $("sleep").textContent = this.#asleep ? "Wake up" : "Put to sleep";
    document.body.classList.toggle("asleep", this.#asleep);
    if (this.#asleep) {
      this.#nap = { replayed: 0, expired: 0, lost: 0 };
      this.#waiting.clear();
      this.subscriber.stop("asleep");
      this.tell();
      return;
    }
    this.subscriber.resume();
    $("sleeper-note").textContent = "Awake. Reading the log after its mid …";
    setTimeout(() => this.#settle(), 1000);
  }

  /** Takes note of a message that another column has received. */
  missed(message) {
    if (!this.#asleep) return;
    const { sent, ttl } = message.body?.params ?? {};
    const expires = ttl > 0 ? (sent ?? message.created) + ttl * 1000 : Infinity;
    this.#waiting.set(message.mid, { card: this.add(message, "waiting", ""), expires });
    this.tell();
  }

  receive(message) {
    this.#waiting.get(message.mid)?.card.remove();
    this.#waiting.delete(message.mid);
    if (message.replayed) this.#nap.replayed++;
    return super.receive(message);
  }

  /** Lets cards expire; called every quarter of a second. */
  tell() {
    for (const { card, expires } of this.#waiting.values()) {
      const left = (expires - now()) / 1000;
      if (left <= 0 && card.dataset.state === "waiting") mark(card, "expired");
      card.querySelector(".age").textContent = left <= 0 || left === Infinity ? "" : `${Math.ceil(left)} s left`;
    }
    if (!this.#asleep) return;
    const all = this.#waiting.size;
    const expired = [...this.#waiting.values()].filter(({ card }) => card.dataset.state === "expired").length;
    $("sleeper-note").textContent = all === 0
      ? "Asleep. Send some messages, one with a short TTL."
      : `Asleep. ${all - expired} waiting in the log${expired ? `, ${expired} expired` : ""}.`;
  }

  /** Says how the nap went once the replay has had time to come. */
  #settle() {
    if (this.#asleep) return;
    this.tell();
    for (const { card } of this.#waiting.values()) {
      if (card.dataset.state === "expired") this.#nap.expired++;
      else this.#nap.lost++, mark(card, "not replayed");
    }
    this.#waiting.clear();
    const { replayed, expired, lost } = this.#nap;
    $("sleeper-note").textContent = `Awake. ${replayed} replayed` +
      (expired ? `, ${expired} had expired` : "") + (lost ? `, ${lost} not replayed` : "") + ".";
  }
}

// ---- publishing ----

/** The message that the form describes; extra goes into its params. */
function body(extra) {
  const [module_id, ...command] = $("type").value.split("_");
  return JSON.stringify({ module_id, command: command.join("_"), params: { text: $("text").value, ...extra } });
}

function publishURL(config) {
  const which = document.querySelector("[name=channel]:checked").value;
  return `${config.publish}?CHANNEL_ID=${config.channels[which].id}`;
}

async function send(event) {
  event.preventDefault();
  const status = $("send-status");
  try {
    const url = publishURL(await config());
    const sent = now();
    const answer = await fetch(url, {
      method: "POST",
      headers: { "Message-Expiry": $("ttl").value },
      body: body({ sent, ttl: Number($("ttl").value) }),
    });
    const text = await answer.text();
    status.dataset.ok = answer.ok;
    status.textContent = answer.ok ? `stored in ${(now() - sent).toFixed(1)} ms` : `refused with ${answer.status}`;
    if (!answer.ok) problem(`Publishing was refused with ${answer.status}: ${text || answer.statusText}`);
  } catch (err) {
    status.dataset.ok = false;
    status.textContent = "not sent";
    problem(`Publishing failed: ${err.message}`);
  }
}

/** Quotes for a POSIX shell. */
function quote(text) {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

function show(config) {
  channels = Object.fromEntries(Object.entries(config.channels).map(([name, { id }]) => [id, name]));
  $("rules").textContent = `Caps: ${config.ttl_rules.replaceAll(",", ", ")}`;
  const publish = `curl -X POST ${quote(publishURL(config))} -H 'Message-Expiry: ${Number($("ttl").value)}' --data-binary ${quote(body())}`;
  $("curl-publish").textContent = publish.length < 100_000 ? publish : "# the message is too long for a command line";
  $("curl-subscribe").textContent = `curl ${quote(`${config.poll}?CHANNEL_ID=${config.channel_id}`)}`;
}

async function copy(from, button) {
  try {
    await navigator.clipboard.writeText($(from).textContent);
  } catch { // no permission, or not a secure context: the old way
    getSelection().selectAllChildren($(from));
    document.execCommand("copy");
  }
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
}

// ---- counters ----

let reachable = true;

async function count() {
  try {
    const counters = await (await fetch("/dev/status")).json();
    for (const [name, value] of Object.entries(counters)) {
      const element = $(`count-${name}`);
      if (element) element.textContent = value.toLocaleString("en");
    }
    reachable = true;
  } catch {
    if (reachable) problem("The server does not answer. Is it still running?");
    reachable = false;
  }
  document.body.classList.toggle("unreachable", !reachable);
  setTimeout(count, 1000);
}

// ---- start ----

const ws = new Column("ws");
const poll = new Column("poll");
const sleeper = new Sleeper("sleeper");

ws.subscriber = new SocketSubscriber(config, ws.handlers((message) => { ws.receive(message); sleeper.missed(message); }));
poll.subscriber = new PollSubscriber(config, poll.handlers((message) => poll.receive(message)));
sleeper.subscriber = new SocketSubscriber(config, sleeper.handlers((message) => sleeper.receive(message)));

$("form").addEventListener("submit", send);
$("form").addEventListener("input", () => config().then(show));
$("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey) {
    event.preventDefault();
    $("form").requestSubmit();
  }
});
$("copy-publish").addEventListener("click", (event) => copy("curl-publish", event.target));
$("copy-subscribe").addEventListener("click", (event) => copy("curl-subscribe", event.target));
$("sleep").addEventListener("click", () => sleeper.toggle());
setInterval(() => sleeper.tell(), 250);

for (const column of [ws, poll, sleeper]) column.subscriber.start();
count();
