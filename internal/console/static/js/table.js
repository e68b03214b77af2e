// Tables that are sorted by their headings and changed in place.
import { h, fill, id, printable } from "./dom.js";
import { t } from "./words.js";

/**
 * table makes a table. columns: {id, title, cell(row): text or element, value(row): to sort by, num:
 * a number, minor: left out on a phone, head: names the row}. key(row) tells rows apart. sort is the
 * column to begin with, "-" before it for the greatest first.
 */
export function table({ caption, columns, key, sort, empty = t("table.empty"), className = "" }) {
  const captionId = id();
  const body = h("tbody");
  const known = new Map(); // rows by key
  let by = sort?.replace(/^-/, ""), down = sort?.startsWith("-") ?? false;
  let rows = [];
  const heads = columns.map((column) => {
    const title = column.value
      ? h("button", { type: "button", class: "sort", click: () => order(column) }, column.title)
      : column.title;
    return h("th", { scope: "col", class: classes(column) }, title);
  });
  const element = h("div", { class: "scroll " + className, role: "region", tabindex: "0", "aria-labelledby": captionId },
    h("table", {}, h("caption", { id: captionId }, caption), h("thead", {}, h("tr", {}, heads)), body));

  function order(column) {
    down = by === column.id ? !down : Boolean(column.num);
    by = column.id;
    show();
  }

  function sorted() {
    const column = columns.find((c) => c.id === by);
    if (!column) return rows;
    const value = (row) => column.value(row);
    const compare = (a, b) => {
      const [x, y] = [value(a), value(b)];
      if (x == null || y == null) return (x == null) - (y == null); // what is not known comes last
      const less = typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y), undefined, { numeric: true });
      return down ? -less : less;
    };
    return rows.toSorted((a, b) => compare(a, b) || String(key(a)).localeCompare(String(key(b)), undefined, { numeric: true }));
  }

  function show() {
    columns.forEach((column, i) => {
      if (column.id === by) heads[i].setAttribute("aria-sort", down ? "descending" : "ascending");
      else heads[i].removeAttribute("aria-sort");
    });
    const wanted = sorted().map((row) => update(row));
    for (const [k, line] of known) {
      if (!wanted.includes(line)) known.delete(k);
    }
    if (wanted.length === 0) {
      fill(body, h("tr", { class: "empty" }, h("td", { colspan: columns.length }, empty)));
      return;
    }
    wanted.forEach((line, i) => {
      if (body.children[i] !== line) body.insertBefore(line, body.children[i] ?? null);
    });
    while (body.children.length > wanted.length) body.lastElementChild.remove();
  }

  function update(row) {
    const k = String(key(row));
    let line = known.get(k);
    if (!line) {
      line = h("tr", {}, columns.map((column) => h(column.head ? "th" : "td", { scope: column.head ? "row" : null, class: classes(column) })));
      known.set(k, line);
    }
    columns.forEach((column, i) => show1(line.children[i], column.cell(row)));
    return line;
  }

  return {
    element,
    /** update shows other rows. */
    update(next) {
      rows = next;
      show();
    },
  };
}

function classes(column) {
  return [column.num && "num", column.minor && "minor", column.wide && "wide"].filter(Boolean).join(" ") || null;
}

/** show1 changes a cell, if it has something else and nobody is in it. */
function show1(cell, content) {
  if (!(content instanceof Node)) {
    const text = printable(content);
    if (cell.textContent !== text || cell.firstElementChild) cell.textContent = text;
    return;
  }
  const now = cell.firstChild;
  if (now && cell.childNodes.length === 1 && now.isEqualNode(content)) return;
  if (now && cell.contains(document.activeElement) && document.activeElement !== cell) return;
  cell.replaceChildren(content);
}

/** facts makes a list of names and values; those that are null are left out. */
export function facts(pairs, className = "facts") {
  return h("dl", { class: className }, pairs.filter((pair) => pair && pair[1] != null)
    .map(([title, value]) => h("div", {}, h("dt", {}, title), h("dd", {}, value))));
}
