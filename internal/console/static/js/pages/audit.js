// What was done by the admin ports, by whom.
import { h, fill, name } from "../dom.js";
import { t, known } from "../words.js";
import * as format from "../format.js";
import { query } from "../api.js";
import { table } from "../table.js";
import { link } from "../fleet.js";

export function show({ body, poller, refused }) {
  const acts = table({ caption: t("page.audit"), key: (a) => a.key, className: "tall", empty: t("audit.empty"), columns: [
    { id: "at", title: t("audit.at"), value: (a) => Date.parse(a.at), cell: (a) => h("time", { datetime: a.at }, format.moment(a.at)) },
    { id: "who", title: t("audit.who"), head: true, value: (a) => a.who, cell: (a) => name(a.who) },
    { id: "what", title: t("audit.what"), value: (a) => a.what, cell: (a) => h("span", { title: a.what }, known("audit.act." + a.what) ? t("audit.act." + a.what) : name(a.what)) },
    { id: "whom", title: t("audit.whom"), wide: true, value: (a) => a.whom, cell: (a) => name(a.whom ?? "") },
    { id: "process", title: t("audit.process"), value: (a) => a.process, cell: (a) => link(a.process) },
    { id: "result", title: t("audit.result"), value: (a) => a.result, cell: (a) => h("span", { class: "state " + (a.result === "done" ? "ok" : "bad") }, a.result === "done" ? t("audit.done") : name(a.result)) },
    { id: "from", title: t("audit.from"), minor: true, value: (a) => a.from, cell: (a) => name(a.from) },
  ] });
  let count = 100;
  const problem = h("div");
  const more = h("button", { type: "button", hidden: true, click: () => {
    count = 1000;
    poller.again(job);
  } }, t("audit.more"));
  acts.element.hidden = true;
  fill(body, h("p", { class: "lead" }, t("audit.lead")), problem, acts.element, more);
  const job = poller.add(() => "audit" + query({ count }), 10000, (answer) => {
    fill(problem);
    acts.element.hidden = false;
    const all = answer.acts ?? [];
    acts.update(all.map((a, i) => ({ ...a, key: `${all.length - i} ${a.at} ${a.who} ${a.what}` })));
    more.hidden = count > 100 || all.length < count;
  }, (failure) => {
    if (!job.at || failure.status === 401) {
      acts.element.hidden = true;
      refused(failure, problem);
    }
  });
}
