// The page with the form.
import { fill } from "../dom.js";
import { t } from "../words.js";
import * as frame from "../frame.js";
import { loginForm } from "../login.js";

export function show({ body }) {
  fill(body, loginForm(t("login.why"), async () => {
    await frame.whoami();
    location.replace(frame.back());
  }));
  body.querySelector("input").focus();
}
