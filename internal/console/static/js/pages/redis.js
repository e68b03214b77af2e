// What Redis says about itself, and what takes its memory.
import { h, fill, name } from "../dom.js";
import { t } from "../words.js";
import * as format from "../format.js";
import { table } from "../table.js";

export function show({ body, poller, refused }) {
  const problem = h("div");
  const sample = h("p", { class: "hint" });
  const nodes = table({ caption: t("redis.nodes"), key: (n) => n.address, columns: [
    { id: "address", title: t("redis.address"), head: true, value: (n) => n.address, cell: (n) => name(n.address) },
    { id: "role", title: t("redis.role"), value: (n) => n.role, cell: (n) => name(n.role ?? format.none) },
    { id: "version", title: t("process.version"), minor: true, value: (n) => n.version, cell: (n) => name(n.version ?? format.none) },
    { id: "memory", title: t("process.memory"), num: true, value: (n) => n.memory_bytes, cell: (n) => memory(n) },
    { id: "policy", title: t("redis.policy"), minor: true, cell: (n) => name(n.policy ?? format.none, "code") },
    { id: "persistence", title: t("redis.persistence"), wide: true, cell: persistence },
    { id: "replicas", title: t("redis.replicas"), num: true, minor: true, cell: (n) => format.count(n.replicas) },
    { id: "evicted", title: t("redis.evicted"), num: true, minor: true, cell: (n) => h("span", { class: n.evicted > 0 ? "bad" : null }, format.count(n.evicted)) },
  ] });
  const types = table({ caption: t("redis.types"), key: (x) => x.type, sort: "-all", columns: [
    { id: "type", title: t("redis.type"), head: true, value: (x) => x.type, cell: (x) => name(x.type) },
    { id: "messages", title: t("redis.messages"), num: true, minor: true, value: (x) => x.messages, cell: (x) => format.count(x.messages) },
    { id: "bytes", title: t("redis.seen"), num: true, minor: true, value: (x) => x.bytes, cell: (x) => format.bytes(x.bytes) },
    { id: "all", title: t("redis.all"), num: true, value: estimate, cell: (x) => format.bytes(estimate(x)) },
  ] });
  const channels = table({ caption: t("redis.channels"), key: (c) => c.portal + " " + c.channel, sort: "-messages", columns: [
    { id: "channel", title: t("explain.channel"), head: true, value: (c) => c.channel, cell: (c) => name(c.channel, "code") },
    { id: "portal", title: t("portals.name"), minor: true, value: (c) => c.portal, cell: (c) => name(c.portal ?? "") },
    { id: "messages", title: t("redis.messages"), num: true, value: (c) => c.messages, cell: (c) => format.count(c.messages) },
    { id: "bytes", title: t("process.memory"), num: true, value: (c) => c.bytes, cell: (c) => format.bytes(c.bytes) },
  ] });
  const slow = table({ caption: t("redis.slow"), key: (s) => s.key, empty: t("redis.slow.none"), columns: [
    { id: "at", title: t("audit.at"), value: (s) => s.at, cell: (s) => format.moment(s.at) },
    { id: "took", title: t("explain.took"), num: true, value: (s) => s.took_us, cell: (s) => format.millis(s.took_us / 1000) },
    { id: "command", title: t("redis.command"), head: true, wide: true, cell: (s) => name(s.command, "code") },
    { id: "node", title: t("redis.address"), minor: true, cell: (s) => name(s.node ?? "") },
  ] });
  const risks = h("ul", { class: "findings" });
  const parts = h("div", { class: "report" },
    h("section", {}, h("h2", {}, t("redis.nodes")), risks, nodes.element),
    h("div", { class: "pair" }, h("section", {}, h("h2", {}, t("redis.types")), types.element), h("section", {}, h("h2", {}, t("redis.channels")), channels.element)),
    sample,
    h("section", {}, h("h2", {}, t("redis.slow")), slow.element));
  parts.hidden = true;
  fill(body, h("p", { class: "lead" }, t("redis.lead")), problem, parts);
  const job = poller.add(() => "redis", 15000, (answer) => {
    fill(problem, answer.error ? h("p", { class: "note bad", role: "alert" }, name(answer.error)) : null);
    parts.hidden = false;
    const servers = (answer.nodes ?? []).map((n) => Object.fromEntries(Object.entries(n).filter(([, value]) => value !== -1))); // what is not known
    nodes.update(servers);
    fill(risks, servers.flatMap((n) => [...(n.risks ?? []), ...(n.replicas_behind ?? [])].map((text) => h("li", { class: "wait" }, h("strong", {}, name(n.address)), " ", name(text)))));
    types.update([...(answer.types ?? []), ...(answer.others ?? [])]);
    channels.update(answer.channels ?? []);
    slow.update((answer.slow ?? []).map((s, i) => ({ ...s, key: `${s.node} ${s.at} ${s.command} ${i}` })));
    const seen = answer.sample;
    fill(sample, seen ? t(seen.complete ? "redis.sample.all" : "redis.sample", { n: format.count(seen.messages), channels: format.count(seen.channels), time: format.clock(seen.at) }) : null);
  }, (failure) => {
    if (job.at && failure.status !== 401) return;
    parts.hidden = true;
    refused(failure, problem);
  });
}

/** estimate returns what all of a type take, if what was not looked at is alike. */
const estimate = (x) => x.estimated_bytes ?? x.bytes;

function memory(n) {
  const full = n.limit_bytes > 0 && n.memory_bytes > 0.85 * n.limit_bytes;
  if (n.limit_bytes === undefined) return h("span", {}, format.bytes(n.memory_bytes));
  return h("span", { class: full ? "bad" : null }, n.limit_bytes > 0 ? t("table.of", { n: format.bytes(n.memory_bytes), all: format.bytes(n.limit_bytes) }) : t("redis.nolimit", { n: format.bytes(n.memory_bytes) }));
}

function persistence(n) {
  const p = n.persistence ?? {};
  if (typeof p === "string") return name(p);
  return h("span", { class: p.failed ? "bad" : null }, [
    p.aof ? t("redis.aof." + p.aof) : null,
    p.failed ? name(p.failed) : null,
  ].filter(Boolean).flatMap((part, i) => i ? ["; ", part] : [part]));
}
