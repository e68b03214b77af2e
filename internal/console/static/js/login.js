// The form that asks for a token.
import { h, fill, id } from "./dom.js";
import { lang, t } from "./words.js";
import { login } from "./api.js";

/** loginForm makes the form. why is a sentence; done is called when somebody has logged in. */
export function loginForm(why, done) {
  const inputId = id(), stateId = id();
  const input = h("input", { id: inputId, name: "token", type: "password", autocomplete: "current-password", required: true, maxlength: "1024", "aria-describedby": stateId });
  const state = h("p", { id: stateId, role: "alert", class: "result" });
  const button = h("button", { class: "primary" }, t("login.button"));
  return h("form", { class: "card login", method: "post", action: `/admin/login?lang=${lang}${location.hash}`, submit: async (event) => {
    event.preventDefault();
    button.disabled = true;
    try {
      await login(input.value);
      fill(state);
      await done();
    } catch (problem) {
      state.dataset.state = "bad";
      fill(state, problem.status === 401 ? t("login.wrong") : problem.status === 429 ? t("login.paced", { n: Math.ceil(problem.wait / 1000) }) : problem.text ?? String(problem));
      input.select();
    } finally {
      button.disabled = false;
    }
  } },
    h("p", {}, why),
    h("label", { for: inputId }, t("login.token")),
    h("div", { class: "row" }, input, button),
    state,
    h("p", { class: "hint" }, t("login.hint")));
}
