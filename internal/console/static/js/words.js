// The words of the page, in the language of the page.

const lang = document.documentElement.lang === "ru" ? "ru" : "en";
const { default: words } = await import(`../lang/${lang}.js`);
const plural = new Intl.PluralRules(lang);

export { lang };

/** known reports whether there are words for a key. */
export const known = (key) => key in words;

/** t returns the words for a key. {name} is replaced by a value; the plural is that of values.n. */
export function t(key, values = {}) {
  let text = words[key] ?? key;
  if (typeof text === "object") text = text[plural.select(values.count ?? values.n ?? 0)];
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

/** switchLang loads the page again in another language. */
export function switchLang(next) {
  try { localStorage.setItem("pushgate.lang", next); } catch { /* a private window */ }
  location.reload();
}
