// The log of requests: which of them are shown, in what order, and which are open.

import { make } from "./link.js";
import { ending, wire } from "./wire.js";

const KEPT = 300;

/** The time of day, as all lists of the page show it. */
export const clock = (seconds) =>
  new Date(seconds * 1000).toLocaleTimeString(undefined, { hour12: false });

export const badge = (tone, text) => make("span", { class: `badge ${tone}` }, text);

/** Puts a row where the row of the same key is, or first or last. */
export function put(list, key, row, first) {
  row.dataset.of = key;
  const old = list.querySelector(`[data-of="${CSS.escape(key)}"]`);
  if (old === null) list[first ? "prepend" : "append"](row);
  else {
    const focused = old.contains(document.activeElement);
    old.replaceWith(row);
    if (focused) row.querySelector("a, button, summary")?.focus();
  }
}

function durationOf(request) {
  if (request.took === null) return "";
  return request.took < 1000 ? `${request.took} ms` : `${(request.took / 1000).toFixed(1)} s`;
}

/** The searchable text of a request. */
function textOf(one) {
  const headers = Object.entries(one.headers).map(([name, its]) => `${name}: ${its}`);
  const target = one.path + (one.query && `?${one.query}`);
  const found = [`${one.method} ${target}`, one.kind, ending(one)[1], one.fault ?? "", ...headers];
  return [...found, one.body, one.answer ?? ""].join("\n").toLowerCase();
}

export class RequestLog {
  #list;
  #known = new Map();
  #cleared = new Set();
  #open = new Set();
  #instruction = null;
  #words = [];

  constructor(list) {
    this.#list = list;
  }

  get size() {
    return this.#known.size;
  }

  get shown() {
    return this.#list.children.length;
  }

  /** Forgets what the simulator will send again; for another simulator, also what was cleared. */
  restart(isAnother) {
    this.#known.clear();
    this.#list.replaceChildren();
    if (isAnother) for (const numbers of [this.#cleared, this.#open]) numbers.clear();
  }

  /** Takes a new request, or a new state of a known one. */
  take(one) {
    if (this.#cleared.has(one.number)) return;
    this.#known.set(one.number, one);
    this.#show(one);
    while (this.#known.size > KEPT) this.#drop(this.#known.keys().next().value);
  }

  /** Drops the requests that have ended. One in flight stays: its answer is still to come. */
  clear() {
    for (const one of [...this.#known.values()]) {
      if (one.took === null) continue;
      this.#cleared.add(one.number);
      this.#drop(one.number);
    }
  }

  /** Shows the requests of one instruction in the order of its steps, or all, the newest first. */
  select(instruction) {
    this.#instruction = instruction;
    this.#open.clear();
    if (instruction !== null) {
      const its = [...this.#known.values()].filter((one) => one.instruction === instruction);
      for (const one of its) this.#open.add(one.number);
    }
    this.#showAll();
  }

  /** Shows only the requests that contain each of these words. */
  search(text) {
    this.#words = text.toLowerCase().split(/\s+/).filter(Boolean);
    this.#showAll();
  }

  #drop(number) {
    this.#known.delete(number);
    this.#list.querySelector(`[data-of="${number}"]`)?.remove();
  }

  #showAll() {
    this.#list.replaceChildren();
    for (const one of this.#known.values()) this.#show(one);
  }

  #show(one) {
    const text = this.#words.length > 0 ? textOf(one) : "";
    const isOther = this.#instruction !== null && one.instruction !== this.#instruction;
    const old = this.#list.querySelector(`[data-of="${one.number}"]`);
    if (isOther || !this.#words.every((word) => text.includes(word))) {
      old?.remove();
      return;
    }
    // A new step of the selected instruction is open from the start.
    if (old === null && this.#instruction !== null && one.took === null) this.#open.add(one.number);
    put(this.#list, String(one.number), this.#row(one), this.#instruction === null);
  }

  #row(one) {
    const [tone, word] = ending(one);
    const summary = make(
      "summary",
      {},
      make("span", { class: "code dim" }, clock(one.at)),
      make("b", { class: `method code ${one.method}` }, one.method),
      make("span", { class: "path code" }, one.path + (one.query && `?${one.query}`)),
      one.fault ? badge("half", `fault: ${one.fault}`) : null,
      badge(tone, word),
      make("span", { class: "took code dim" }, durationOf(one)),
    );
    const details = make("details", {}, summary);
    // Built when expanded: most never are.
    details.ontoggle = () => {
      this.#open[details.open ? "add" : "delete"](one.number);
      if (details.open && details.children.length === 1) details.append(wire(one));
    };
    details.open = this.#open.has(one.number);
    return make("li", {}, details);
  }
}
