// A request and its answer, as sent.

import { copy, curlCommand } from "./curl.js";
import { make } from "./link.js";

const CONFIRMED = 1500;

const TOKENS = /("(?:[^"\\]|\\.)*")(\s*:)?|\b(true|false|null)\b|(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)/g;

/** Highlights keys, strings and numbers of JSON; returns other text unchanged. */
function colored(text) {
  let written = text;
  try {
    written = JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    // Garbage, HTML, half an answer: to be seen as it came.
  }
  const parts = [];
  let end = 0;
  for (const found of written.matchAll(TOKENS)) {
    parts.push(written.slice(end, found.index));
    const [whole, string, colon, word] = found;
    if (colon !== undefined) parts.push(make("b", {}, string), colon);
    else parts.push(make("span", { class: string ? "string" : word ? "word" : "number" }, whole));
    end = found.index + whole.length;
  }
  return make("pre", { tabindex: "0" }, ...parts, written.slice(end));
}

function pane(title, headers, body, otherwise) {
  const lines = Object.entries(headers).map(([name, its]) => make("div", {}, `${name}: ${its}`));
  return make(
    "section",
    { class: "pane" },
    make("h3", {}, title),
    lines.length ? make("div", { class: "headers code" }, ...lines) : null,
    body ? colored(body) : make("p", { class: "hint" }, otherwise),
  );
}

/** A request's result in a word, and its severity. */
export function ending(request) {
  if (request.took === null) return ["open", "open"];
  if (request.status === null) return ["bad", "no answer"];
  return [request.status < 400 ? "good" : "bad", String(request.status)];
}

function copyButton(request) {
  const button = make("button", { type: "button", class: "copy" }, "Copy as curl");
  if (request.bodyCut) {
    button.disabled = true;
    button.title = "The body is too long: the page has only its beginning.";
  }
  button.onclick = async () => {
    const done = await copy(curlCommand(request, location.origin));
    button.textContent = done ? "Copied" : "The browser refused to copy";
    setTimeout(() => (button.textContent = "Copy as curl"), CONFIRMED);
  };
  return make("div", { class: "tools" }, button);
}

/** The request and the answer, shown when the row is expanded. */
export function wire(request) {
  const target = request.path + (request.query && `?${request.query}`);
  const [, word] = ending(request);
  const took = request.took === null ? "" : ` after ${request.took} ms`;
  let none = "The answer has no body.";
  if (request.took === null) none = "Not answered yet: the gateway holds it.";
  else if (request.status === null) none = "The connection ended without an answer.";
  else if (request.answer === null) none = "The answer was sent in pieces, and not kept.";
  return make(
    "div",
    { class: "wire" },
    copyButton(request),
    pane(`${request.method} ${target}`, request.headers, request.body, "The request has no body."),
    pane(request.took === null ? "Open" : `${word}${took}`, {}, request.answer, none),
  );
}
