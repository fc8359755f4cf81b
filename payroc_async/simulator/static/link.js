// Shared by both pages: the WebSocket, amounts, and elements without innerHTML.

const FIRST_WAIT = 250;
const LONGEST_WAIT = 2000;

/** Keeps a WebSocket open, reconnecting as needed; calls `heard` with each message. */
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

  // A browser may cache a page that was left, with its socket: the device would seem online.
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

/** Formats an amount in the smallest unit. */
export function money(amount, { currency, digits }) {
  const written = { style: "currency", currency };
  written.minimumFractionDigits = written.maximumFractionDigits = digits;
  return new Intl.NumberFormat(undefined, written).format(amount / 10 ** digits);
}

/** Parses a typed amount into the smallest unit; null if it is invalid. */
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

/** Shows a text, and announces it to screen readers if it is new. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Whether a field has the keyboard focus. */
export function isTyping(event) {
  const plain = !event.ctrlKey && !event.altKey && !event.metaKey;
  const fields = "textarea, select, input:not([type=radio], [type=checkbox])";
  return !plain || event.target.closest(fields) !== null;
}

/** The name of a kind of instruction. */
export function nameOf(instruction) {
  if (instruction.preAuthorization) return "Pre-authorization";
  return { payment: "Sale", refund: "Refund", signature: "Signature" }[instruction.kind];
}
