// Sets the theme and the language before the first paint.
"use strict";
{
  const kept = (name) => { try { return localStorage.getItem(name); } catch { return null; } };
  const root = document.documentElement;
  const theme = kept("pushgate.theme");
  if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  const wanted = [kept("pushgate.lang"), ...navigator.languages].find((tag) => /^(en|ru)\b/i.test(tag ?? ""));
  root.lang = wanted?.slice(0, 2).toLowerCase() ?? "en";
}
