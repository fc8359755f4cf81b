// What both pages stand on: the WebSocket, sums of money, and elements without innerHTML.

const FIRST_WAIT = 250;
const LONGEST_WAIT = 2000;

/** Keeps a WebSocket open, however often it breaks; calls `heard` with what comes. */
export function link(path, heard, state) {
  let socket = null;
  let wait = FIRST_WAIT;
  let timer = 0;

  function open() {
    clearTimeout(timer);
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    socket = new WebSocket(`${scheme}//${location.host}${path}`);
    socket.onopen = () => {
      wait = FIRST_WAIT;
      state(true);
    };
    socket.onmessage = (event) => heard(JSON.parse(event.data));
    socket.onclose = () => {
      state(false);
      timer = setTimeout(open, wait);
      wait = Math.min(2 * wait, LONGEST_WAIT);
    };
  }

  // A browser may keep a page that was left, socket and all: the device would seem to be there.
  addEventListener("pagehide", () => {
    socket.onclose = null;
    socket.close();
  });
  addEventListener("pageshow", (event) => event.persisted && open());
  open();
  return (what) => {
    if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(what));
  };
}

/** A sum in the smallest unit, as people write it. */
export function money(amount, { currency, digits }) {
  const written = { style: "currency", currency };
  written.minimumFractionDigits = written.maximumFractionDigits = digits;
  return new Intl.NumberFormat(undefined, written).format(amount / 10 ** digits);
}

/** What somebody typed, in the smallest unit; null if it is no sum. */
export function typed(text, { digits }) {
  const found = /^(\d{1,9})(?:[.,](\d+))?$/.exec(text.trim());
  if (!found || (found[2] ?? "").length > digits) return null;
  return Number(found[1] + (found[2] ?? "").padEnd(digits, "0"));
}

/** An element with attributes and children; texts stay texts. */
export function make(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== null) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

/** Shows a text and, unless it is there already, so says screen readers. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Whether the keyboard belongs to a field now. */
export function isTyping(event) {
  const plain = !event.ctrlKey && !event.altKey && !event.metaKey;
  const fields = "textarea, select, input:not([type=radio], [type=checkbox])";
  return !plain || event.target.closest(fields) !== null;
}

/** How an instruction of this kind is called. */
export function nameOf(instruction) {
  if (instruction.preAuthorization) return "Pre-authorization";
  return { payment: "Sale", refund: "Refund", signature: "Signature" }[instruction.kind];
}
