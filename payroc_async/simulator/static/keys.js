// The keyboard of the device page. Enter acts for the view, and no key is lost while the simulator
// handles the action of the key before.

import { isTyping } from "./link.js";

const ONLINE = "o";

/** What Enter does in each view, and where the focus goes when the view appears. */
const ACTIONS = {
  tip: { enter: "#no-tip" },
  card: { enter: "[data-entry]:enabled" },
  issuer: { enter: "#approve" },
  sign: { enter: "#sign-done", focus: "#sign-name" },
  result: { enter: "#result-done" },
  off: { enter: "#online" },
};
/** Controls that answer a view's question. Enter on one of them activates that control. */
const ANSWERS = {
  tip: "#tips button, #own-tip input, #own-tip button, #no-tip, #cancel",
  card: "[data-entry], #cancel",
  issuer: "#approve, #decline, #part-amount, #approve-part, #cancel",
  sign: "#sign-clear, #sign-done, #cancel",
};

const find = (selector) => (selector ? document.querySelector(selector) : null);

/** Moves the focus to a view's first control, unless an enabled control has the focus. */
export function focusOn(view) {
  const at = document.activeElement;
  const lost = at === null || at === document.body || at.disabled || !at.checkVisibility();
  if (lost) find(ACTIONS[view]?.focus ?? ACTIONS[view]?.enter)?.focus();
}

function click(button) {
  if (button === null || button.disabled || !button.checkVisibility()) return false;
  button.click();
  return true;
}

/** Acts for the view; returns whether Enter was handled. */
function enter(view) {
  const at = document.activeElement ?? document.body;
  const answer = at.closest(ANSWERS[view] ?? "[data-never]");
  if (answer !== null && !answer.disabled) {
    if (answer.matches("input")) answer.form.requestSubmit();
    else answer.click();
    return true;
  }
  if (click(find(ACTIONS[view]?.enter))) return true;
  find(ACTIONS[view]?.focus)?.focus();
  // If the view has no question, Enter only opens links.
  return view in ACTIONS || at.closest("a") === null;
}

/**
 * Listens to the keys.
 *
 * @param page.view     The view that is shown.
 * @param page.subject  The id of the instruction that is shown, or null.
 * @param page.waits    Whether the simulator has yet to handle an action.
 * @param page.switched Whether keyboard shortcuts are on.
 * @returns `replay` to press the keys that were kept, `forget` to drop them.
 */
export function keyboard(page) {
  let kept = [];

  function press(key) {
    if (key === "Enter") return enter(page.view());
    if (key === "Escape") return click(find("#cancel"));
    if (key === " ") return click(document.activeElement);
    return click(find(`[data-key="${CSS.escape(key)}"]`));
  }

  function isMeant(event, key) {
    const plain = !event.ctrlKey && !event.altKey && !event.metaKey && !event.isComposing;
    if (key === "Escape") return plain;
    if (key === "Enter") return plain && !event.shiftKey && (isTyping(event) || page.switched());
    // A button that has the focus reacts to the space bar by itself, but only while it is enabled.
    if (key === " ") return plain && page.waits() && event.target.matches("button");
    // The field's value has been sent: the next key is for the next view.
    const typing = isTyping(event) && !(plain && page.waits());
    return !typing && page.switched() && find(`[data-key="${CSS.escape(key)}"]`) !== null;
  }

  addEventListener("keydown", (event) => {
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (event.repeat) {
      // A key that is held must not pay, approve and continue all at once.
      if (key === "Enter" || (key === " " && !isTyping(event))) event.preventDefault();
      return;
    }
    if (!isMeant(event, key)) return;
    if (page.waits()) {
      event.preventDefault();
      kept.push({ key, subject: page.subject() });
    } else if (press(key)) {
      event.preventDefault();
    }
  });

  return {
    replay() {
      while (kept.length > 0 && !page.waits()) {
        const { key, subject } = kept.shift();
        // A key for one sale must not pay the next.
        if (key === ONLINE || subject === page.subject()) press(key);
      }
    },
    forget() {
      kept = [];
    },
  };
}
