// One payment device. The simulator sends its state; the page sends the operator's actions.

import { focusOn, keyboard } from "./keys.js";
import { link, make, money, nameOf, say, typed } from "./link.js";
import { signatureField } from "./signature.js";

const $ = (id) => document.getElementById(id);
const screen = $("screen");
const serial = decodeURIComponent(location.pathname.split("/")[2]);
const TIPS = [10, 15, 20];
const NO_AMOUNT = "Type an amount such as 1.50, without a currency.";
const PROMPTS = { tap: "tap", insert: "insert", swipe: "swipe", keyed: "enter the card manually" };
const DONE_WITH = { tap: "tapped", insert: "inserted", swipe: "swiped", keyed: "entered manually" };

let device = null;
let linked = false;
// Actions are numbered: the simulator acknowledges the last one that it has handled.
let sent = 0;
let handled = 0;
// Stored, so that a reopened page shows only results that were not seen before.
let dismissed = localStorage.getItem(`payroc-done-${serial}`);
let shown = "";

const paper = signatureField($("paper"), (some) => {
  $("sign-done").disabled = !some;
});

const send = link(
  `/device/${encodeURIComponent(serial)}/socket`,
  (said) => {
    device = said.device;
    handled = Math.max(handled, said.heard);
    say($("notice"), (said.notices ?? []).join(" "));
    show();
    keys.replay();
  },
  (state) => {
    linked = state;
    handled = sent;
    keys.forget();
    $("no-link").hidden = linked;
    show();
  },
);

const running = () => device?.running ?? null;

const keys = keyboard({
  view: () => screen.dataset.view,
  subject: () => (running() ?? device?.last)?.id ?? null,
  waits: () => linked && handled < sent,
  switched: () => $("keys").checked,
});

/** Sends an action for the running instruction. */
function does(what) {
  send({ ...what, instruction: running()?.id ?? null, number: ++sent });
}

function viewOf() {
  if (device === null) return "loading";
  if (!linked || !device.on) return "off";
  const now = running();
  if (now === null) {
    return device.last !== null && device.last.id !== dismissed ? "result" : "idle";
  }
  if (!now.byHand) return "scripted";
  if (now.kind === "signature") return "sign";
  if (now.asksForTip && now.tip === null) return "tip";
  return now.entry === null ? "card" : "issuer";
}

function show() {
  const view = viewOf();
  const now = running() ?? device?.last ?? null;
  const changed = shown !== `${view} ${now?.id}`;
  shown = `${view} ${now?.id}`;
  screen.dataset.view = view;
  if (changed && view === "sign") {
    paper.clear();
    $("sign-name").value = "";
  }
  if (changed) $("part-amount").value = $("own-tip-amount").value = "";
  if (now !== null) fill(view, now);
  const online = device?.on ?? true;
  say($("strip-what"), view === "idle" || now === null || !online ? "" : nameOf(now));
  say($("strip-state"), linked && online ? "● Online" : "○ Offline");
  const where = "The till gets “the device is offline”. What runs stays in progress.";
  say($("off-text"), linked ? where : "The simulator is gone. What runs stays in progress.");
  enable(view, now);
  say($("announce"), inWords(view, now));
  document.title = `${inWords(view, now).split(".")[0]} · ${serial}`;
  if (changed) focusOn(view);
}

function fill(view, now) {
  const amount = "amount" in now ? money(now.total, now) : "";
  for (const one of document.querySelectorAll("[data-amount]")) say(one, amount);
  const description = [now.description, now.orderId].filter(Boolean).join(" · ");
  for (const one of document.querySelectorAll("[data-description]")) say(one, description);
  const tipped = now.tip ? `with a tip of ${money(now.tip, now)}` : "";
  for (const one of document.querySelectorAll("[data-tip]")) say(one, tipped);
  if (view === "tip") fillTips(now);
  if (view === "card") say($("card-prompt"), promptOf(now));
  if (view === "issuer") {
    say($("issuer-card"), `${now.card.type} ${now.card.number}, ${DONE_WITH[now.entry]}`);
  }
  if (view === "result") fillResult(now);
  if ("amount" in now) {
    $("part-amount").placeholder = (Math.floor(now.total / 2) / 10 ** now.digits).toFixed(now.digits);
  }
  const refuses = view === "issuer" && now.kind === "payment" && !now.acceptsPart;
  say($("part-hint"), refuses ? "This order does not accept a partial amount." : "");
}

function fillTips(now) {
  if ($("tips").dataset.of === now.id) return;
  $("tips").dataset.of = now.id;
  $("tips").replaceChildren(
    ...TIPS.map((percent, index) => {
      const tip = Math.round((now.amount * percent) / 100);
      const keys = make("kbd", { "aria-hidden": "true" }, String(index + 1));
      const button = make("button", { type: "button", "data-key": String(index + 1) });
      button.append(make("b", {}, `${percent} %`), make("span", {}, money(tip, now)), keys);
      button.onclick = () => does({ do: "tip", amount: tip });
      return button;
    }),
  );
}

function promptOf(now) {
  const ways = now.entries.map((one) => PROMPTS[one]);
  const text = ways.length > 1 ? `${ways.slice(0, -1).join(", ")} or ${ways.at(-1)}` : ways[0];
  return text[0].toUpperCase() + text.slice(1);
}

const RESULTS = {
  A: ["good", "✓", "Approved"],
  P: ["half", "½", "Partially approved"],
  D: ["bad", "✕", "Declined"],
};

function resultOf(last) {
  if (last.status === "canceled") return ["bad", "✕", "Canceled"];
  if (last.status === "failure") return ["bad", "!", "Failed"];
  if (last.kind === "signature") return ["good", "✓", "Signed"];
  return RESULTS[last.code] ?? ["half", "…", last.message];
}

function fillResult(last) {
  const [tone, mark, title] = resultOf(last);
  screen.dataset.tone = tone;
  say($("result-mark"), mark);
  say($("result-title"), title);
  const paid = "amount" in last;
  const sum = last.code === "P" ? last.authorized : paid ? last.total : 0;
  say($("result-amount"), paid ? money(sum, last) : "");
  $("result-image").hidden = !last.signature;
  if (last.signature) $("result-image").src = last.signature;
  const lines = [];
  if (last.byTill) lines.push("by the till");
  else if (last.status === "canceled") lines.push("at the device");
  if (last.code === "P") lines.push(`of ${money(last.total, last)}`);
  if (last.error) lines.push(last.error);
  if (last.card) lines.push(`${last.card.type} ${last.card.number}`);
  say($("result-text"), lines.join(", "));
  say($("result-id"), last.resource ? `${last.kind} ${last.resource}` : "");
}

function inWords(view, now) {
  const what = now && "amount" in now ? `${nameOf(now)} of ${money(now.total, now)}` : "";
  switch (view) {
    case "tip":
      return `${what}. Add a tip?`;
    case "card":
      return `${what}. ${promptOf(now)}.`;
    case "issuer":
      return `${what}. Card read. Approve or decline.`;
    case "sign":
      return "Please sign.";
    case "scripted":
      return `${what || "Signature"}. It follows a script.`;
    case "result":
      return `${resultOf(now)[2]}${now.byTill ? " by the till" : ""}. ${$("result-amount").textContent}`;
    case "off":
      return "Offline.";
    default:
      return view === "idle" ? "Ready." : "Starting.";
  }
}

function enable(view, now) {
  for (const one of document.querySelectorAll("[data-entry]")) {
    one.disabled = view !== "card" || !now.entries.includes(one.dataset.entry);
  }
  const asked = view === "issuer";
  $("approve").disabled = $("decline").disabled = !asked;
  $("approve-part").disabled = $("part-amount").disabled = !asked || now.kind !== "payment";
  $("cancel").disabled = !["tip", "card", "issuer", "sign"].includes(view);
  $("online").disabled = !linked;
  const on = device?.on ?? true;
  $("online").setAttribute("aria-pressed", String(!on));
  $("online").firstChild.textContent = on ? "Go offline " : "Go online ";
}

function present(entry) {
  const card = document.querySelector("[name=card]:checked").value;
  does({ do: "present", entry, card });
  if ($("at-once").checked) does({ do: "answer", code: "A" });
}

function done() {
  dismissed = device.last.id;
  localStorage.setItem(`payroc-done-${serial}`, dismissed);
  show();
}

for (const one of document.querySelectorAll("[data-entry]")) {
  one.onclick = () => present(one.dataset.entry);
}
$("approve").onclick = () => does({ do: "answer", code: "A" });
$("decline").onclick = () => does({ do: "answer", code: "D" });
$("part").onsubmit = (event) => {
  event.preventDefault();
  const field = $("part-amount");
  const amount = typed(field.value || field.placeholder, running());
  if (amount === null) say($("notice"), NO_AMOUNT);
  else does({ do: "answer", code: "P", amount });
};
$("own-tip").onsubmit = (event) => {
  event.preventDefault();
  const field = $("own-tip-amount");
  const amount = typed(field.value || field.placeholder, running());
  if (amount === null) say($("notice"), NO_AMOUNT);
  else does({ do: "tip", amount });
};
$("no-tip").onclick = () => does({ do: "tip", amount: 0 });
$("cancel").onclick = () => does({ do: "cancel" });
$("online").onclick = () => does({ do: "online", on: !device.on });
$("sign-clear").onclick = () => {
  paper.clear();
  $("sign-name").value = "";
};
$("sign-name").oninput = () => paper.write($("sign-name").value);
$("sign-done").onclick = () => {
  if (!paper.isEmpty()) does({ do: "sign", image: paper.image() });
};
$("result-done").onclick = done;

for (const id of ["at-once", "keys"]) {
  const kept = localStorage.getItem(`payroc-${id}`);
  if (kept !== null) $(id).checked = kept === "true";
  $(id).onchange = () => localStorage.setItem(`payroc-${id}`, String($(id).checked));
}
say($("serial"), serial);
say($("idle-serial"), serial);
show();
