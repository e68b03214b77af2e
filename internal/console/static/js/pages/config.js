// The settings with which a process runs.
import { h, fill, set, name, id } from "../dom.js";
import { t } from "../words.js";
import { query } from "../api.js";
import { address } from "../frame.js";
import { read } from "../fleet.js";
import { table } from "../table.js";

export function show({ body, poller, refused, argument, values }) {
  const settings = table({ caption: t("page.config"), key: (s) => s.name, className: "tall", columns: [
    { id: "name", title: t("config.name"), head: true, value: (s) => s.name, cell: (s) => name(s.name, "code") },
    { id: "value", title: t("config.value"), wide: true, value: (s) => s.value, cell: (s) => s.value ? name(s.value, "code", { class: changed(s) ? "changed" : null }) : h("span", { class: "quiet" }, t("config.unset")) },
    { id: "default", title: t("config.default"), minor: true, wide: true, cell: (s) => s.default ? name(s.default, "code") : "" },
  ] });
  const changed = (s) => s.value !== "" && s.value !== (s.default ?? "");
  const problem = h("div"), count = h("p", { class: "hint" });
  let rows = [];
  const update = () => {
    const text = find.value.trim().toLowerCase();
    const shown = rows.filter((s) => (!only.checked || changed(s)) && `${s.name} ${s.value}`.toLowerCase().includes(text));
    settings.update(shown);
    set(count, t("config.count", { n: rows.filter(changed).length }));
  };
  const find = h("input", { type: "search", "aria-label": t("config.find"), placeholder: t("config.find"), input: update });
  find.value = values.get("find") ?? "";
  const only = h("input", { type: "checkbox", change: update });
  const selectId = id();
  const select = h("select", { id: selectId, change: () => { location.hash = address("config", select.value); } });
  settings.element.hidden = true;
  fill(body, h("p", { class: "lead" }, t("config.lead")), h("div", { class: "bar" }, h("label", { for: selectId }, t("process.id")), select, find, h("label", { class: "check" }, only, " ", t("config.changed")), count), problem, settings.element);

  let asked = false;
  poller.add(() => "processes", 60000, (answer) => {
    if (asked) return;
    asked = true;
    const fleet = read(answer);
    fill(select, fleet.processes.map((p) => h("option", { value: p.id }, p.id)));
    select.value = argument || fleet.self;
  }, () => { select.hidden = true; });
  const job = poller.add(() => "config" + query({ process: argument }), 60000, (answer) => {
    fill(problem);
    settings.element.hidden = false;
    rows = answer.settings ?? [];
    update();
  }, (failure) => {
    if (!job.at || failure.status === 401) {
      settings.element.hidden = true;
      refused(failure, problem);
    }
  });
}
