// Acts: what they will do is said first, and their result after.
import { h, fill, id } from "./dom.js";
import { t } from "./words.js";
import { Problem } from "./api.js";

/**
 * act asks whether to do something, does it and shows the result. title and will are sentences;
 * verb is on the button; run() returns a sentence. It resolves to whether it was done.
 */
export function act({ title, will, verb, danger, run }) {
  const titleId = id(), textId = id();
  const state = h("p", { role: "status", class: "result" });
  const cancel = h("button", { type: "button", autofocus: true, click: () => dialog.close() }, t("act.cancel"));
  const go = h("button", { type: "button", class: danger ? "danger" : "primary", click: start }, verb);
  const buttons = h("div", { class: "buttons" }, cancel, go);
  const dialog = h("dialog", { "aria-labelledby": titleId, "aria-describedby": textId },
    h("h2", { id: titleId }, title), h("div", { id: textId }, [will].flat().map((sentence) => h("p", {}, sentence))), state, buttons);
  let done = false;

  async function start() {
    go.disabled = true;
    fill(state, t("act.doing"));
    delete state.dataset.state;
    try {
      fill(state, await run());
      state.dataset.state = "ok";
      done = true;
      go.remove();
    } catch (error) {
      fill(state, error instanceof Problem ? error.text : String(error));
      state.dataset.state = "bad";
      go.disabled = false;
    }
    fill(cancel, t("act.close"));
    cancel.focus();
  }

  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => {
    dialog.remove(); // the browser has given the focus back
    resolve(done);
  }));
}
