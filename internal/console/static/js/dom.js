// Makes and changes elements. Text from anywhere only ever becomes text nodes and attributes, and
// what is not seen in it is made seen.

const read = new Set(["title", "aria-label", "placeholder"]); // attributes that somebody reads

/** h makes an element. attributes: a function is a listener, true and false set and leave out. */
export function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes ?? {})) {
    if (typeof value === "function") element.addEventListener(key, value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value != null) element.setAttribute(key, read.has(key) ? printable(value, 1000) : value);
  }
  append(element, children);
  return element;
}

function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child == null || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(printable(child, 10000)));
  }
}

/** fill replaces what is in an element. */
export function fill(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

/** set changes the text of an element, if it is another: readers and selections stay undisturbed. */
export function set(element, text) {
  const shown = printable(text, 10000);
  if (element.textContent !== shown) element.textContent = shown;
}

/** refill replaces what is in an element, if it is not the same and nobody is in it. */
export function refill(element, ...children) {
  const next = element.cloneNode(false);
  append(next, children);
  if (element.isEqualNode(next)) return;
  if (element.contains(document.activeElement) && document.activeElement !== element) return;
  element.replaceChildren(...next.childNodes);
}

/** name shows a name from outside: it cannot turn the direction of what stands beside it. */
export function name(text, tag = "bdi", attributes = {}) {
  return h(tag, attributes, printable(text));
}

/** printable replaces what is not seen in a text, and cuts off a long one. */
export function printable(text, most = 300) {
  const shown = String(text ?? "").replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu,
    (c) => c === "\n" || c === "\t" ? c : "\\u" + c.codePointAt(0).toString(16).padStart(4, "0"));
  return shown.length > most ? shown.slice(0, most) + "…" : shown;
}

let ids = 0;

/** id returns a new id for an element. */
export function id() {
  return "e" + ++ids;
}
