// The overview: devices, instructions, requests and faults, as the simulator pushes them.

import { link, make, money, nameOf, say } from "./link.js";
import { RequestLog, badge, clock, put } from "./log.js";

const $ = (id) => document.getElementById(id);
const KEPT = 300;

const devices = new Map();
const instructions = new Map();
const clearedInstructions = new Set();
const requests = new RequestLog($("requests"));
let run = "";
let menu = { on: [], faults: [] };
let selected = null;

const send = link("/gateway/socket", hear, (linked) => {
  $("no-link").hidden = linked;
});

function hear(said) {
  if (said.whole) startAnew(said);
  for (const one of said.devices) {
    devices.set(one.serial, one);
    showDevice(one);
  }
  for (const one of said.instructions) {
    if (clearedInstructions.has(one.id)) continue;
    announce(instructions.get(one.id), one, said.whole);
    instructions.set(one.id, one);
    showInstruction(one);
  }
  for (const one of said.requests) requests.take(one);
  trim();
  showFaults(said.faults);
  showViolations(said.violations);
  say($("notice"), (said.notices ?? []).join(" "));
  showEmpty();
}

function startAnew(said) {
  for (const known of [devices, instructions]) known.clear();
  for (const id of ["devices", "closed-devices", "instructions"]) $(id).replaceChildren();
  requests.restart(said.run !== run);
  run = said.run;
  offer(said.menu);
}

function trim() {
  while (instructions.size > KEPT) drop(instructions.keys().next().value);
}

function drop(id) {
  instructions.delete(id);
  $("instructions").querySelector(`[data-of="${CSS.escape(id)}"]`)?.remove();
}

function showEmpty() {
  for (const [id, some] of [
    ["devices", devices.size > 0],
    ["instructions", instructions.size > 0],
    ["requests", requests.shown > 0],
  ]) {
    const list = $(id);
    (list.closest("table") ?? list).hidden = !some;
    list.closest("section").querySelector(".empty").hidden = some || id === "requests" && requests.size > 0;
  }
  $("no-match").hidden = requests.shown > 0 || requests.size === 0;
  $("clear-requests").disabled = requests.size === 0;
  $("clear-instructions").hidden = instructions.size === 0;
}

function sumOf(one) {
  return "amount" in one ? `${nameOf(one)} ${money(one.total, one)}` : nameOf(one);
}

/** Whether a device is inactive: its page is closed, and no instruction runs on it. */
const isQuiet = (device) => device.byHand && device.pages === 0 && device.running === null;

function driven(device) {
  if (!device.byHand) return badge("plain", "by script");
  if (device.pages === 0) return badge(isQuiet(device) ? "plain" : "bad", "page closed");
  return device.on ? badge("good", "by hand") : badge("bad", "offline");
}

/** Shows a device; closed ones come last. */
function showDevice(device) {
  const [list, other] = isQuiet(device) ? ["closed-devices", "devices"] : ["devices", "closed-devices"];
  $(other).querySelector(`[data-of="${CSS.escape(device.serial)}"]`)?.remove();
  put($(list), device.serial, deviceRow(device), false);
}

function showInstruction(one) {
  put($("instructions"), one.id, instructionRow(one), true);
}

function deviceRow(device) {
  const name = `${device.serial} ↗`;
  const open = make("a", { href: device.page, target: "_blank", class: "code" }, name);
  const now = device.running ? sumOf(device.running) : "—";
  return make("tr", {}, make("th", { scope: "row" }, open), cell(driven(device)), cell(now));
}

const cell = (...children) => make("td", {}, ...children);

function statusOf(one) {
  if (one.status === "inProgress") return badge("open", "in progress");
  if (one.status === "canceled") return badge("plain", one.byTill ? "canceled by till" : "canceled");
  if (one.status === "failure") return badge("bad", "failure");
  if (one.status !== "completed") return badge("half", one.status);
  const outcome = { A: ["good", "approved"], P: ["half", "in part"], D: ["bad", "declined"] };
  return badge(...(outcome[one.code] ?? (one.code ? ["half", one.code] : ["good", "completed"])));
}

function instructionRow(one) {
  const what = make("button", { type: "button", class: "link" }, sumOf(one));
  what.setAttribute("aria-pressed", String(selected === one.id));
  what.setAttribute("aria-label", `${sumOf(one)}: show its requests`);
  what.onclick = () => select(selected === one.id ? null : one.id);
  const at = make("td", { class: "code dim at" }, clock(one.at));
  const on = make("td", { class: "code" }, one.serial);
  return make("tr", { class: selected === one.id ? "chosen" : null }, at, cell(what), on, cell(statusOf(one)));
}

function announce(before, now, whole) {
  if (whole || before?.status === now.status) return;
  say($("announce"), `${sumOf(now)} on ${now.serial}: ${statusOf(now).textContent}`);
}

/** Shows the requests of one instruction, or all of them. */
function select(id) {
  const before = selected;
  selected = id;
  for (const one of [before, id]) {
    if (instructions.has(one)) showInstruction(instructions.get(one));
  }
  $("selected").hidden = id === null;
  if (id !== null) say($("selected").firstElementChild, `of ${sumOf(instructions.get(id))}, step by step`);
  requests.select(id);
  showEmpty();
}

function offer(offered) {
  const serial = $("fault-serial").value;
  const names = [...offered.faults.map((one) => one.name)].join();
  if (menu.faults.map((one) => one.name).join() !== names) {
    menu = offered;
    const texts = { any: "any request" };
    $("fault-on").replaceChildren(
      ...menu.on.map((one) => make("option", { value: one }, texts[one] ?? one.replaceAll("_", " "))),
    );
    $("fault-on").value = "submit";
    $("fault-name").replaceChildren(
      ...menu.faults.map((one) => make("option", { value: one.name }, one.name.replaceAll("_", " "))),
    );
    describe();
  }
  $("fault-serial").value = serial;
}

function describe() {
  const fault = menu.faults.find((one) => one.name === $("fault-name").value);
  say($("fault-text"), fault.text);
  $("fault-asks").hidden = fault.asks === "";
  say($("fault-asks").firstElementChild, fault.asks);
  $("fault-value").value = fault.example;
}

function showFaults(faults) {
  say($("faults-count"), faults.length > 0 ? `${faults.length} active` : "");
  const key = JSON.stringify(faults);
  const serials = ["", ...devices.keys()];
  if ($("fault-serial").options.length !== serials.length) {
    const chosen = $("fault-serial").value;
    $("fault-serial").replaceChildren(
      ...serials.map((one) => make("option", { value: one }, one || "any")),
    );
    $("fault-serial").value = chosen;
  }
  if ($("faults").dataset.key === key) return;
  $("faults").dataset.key = key;
  $("faults").replaceChildren(...faults.map(faultRow));
}

function faultRow(one) {
  const left = one.times === null ? "every time" : `${one.times - one.hits} to go`;
  const text = `${one.fault} on ${one.on}${one.serial ? ` of ${one.serial}` : ""}`;
  const after = one.skip > 0 ? `, skips the first ${one.skip}` : "";
  const remove = make("button", { type: "button", "aria-label": `Remove ${text}` }, "Remove");
  remove.onclick = () => {
    send({ do: "unfault", number: one.number });
    $("fault-on").focus();
  };
  return make("li", {}, make("span", { class: "code" }, text), make("span", { class: "hint" }, left + after), remove);
}

function showViolations(violations) {
  $("violations").hidden = violations.length === 0;
  const shown = [...$("violations").children].map((one) => one.textContent);
  if (shown.join("\n") === violations.join("\n")) return;
  $("violations").replaceChildren(...violations.map((one) => make("li", {}, one)));
}

$("show-all").onclick = () => {
  select(null);
  $("requests").querySelector("summary")?.focus();
};
$("search").oninput = () => {
  requests.search($("search").value);
  showEmpty();
};
$("clear-requests").onclick = () => {
  requests.clear();
  showEmpty();
};
$("clear-instructions").onclick = () => {
  for (const one of [...instructions.values()]) {
    if (one.status === "inProgress") continue;
    clearedInstructions.add(one.id);
    drop(one.id);
  }
  if (selected !== null && !instructions.has(selected)) select(null);
  showEmpty();
};
// Open if there is room for the form; otherwise it would push the requests away.
const folded = localStorage.getItem("payroc-faults-folded");
$("faults-box").open = folded === null ? matchMedia("(min-width: 1001px)").matches : folded === "false";
$("faults-box").querySelector("summary").onclick = () => {
  localStorage.setItem("payroc-faults-folded", String($("faults-box").open));
};
$("fault-name").onchange = describe;
$("fault-always").onchange = () => {
  $("fault-times").disabled = $("fault-always").checked;
};
$("fault").onsubmit = (event) => {
  event.preventDefault();
  send({
    do: "fault",
    on: $("fault-on").value,
    fault: $("fault-name").value,
    value: $("fault-asks").hidden ? "" : $("fault-value").value,
    times: $("fault-always").checked ? null : Number($("fault-times").value),
    skip: Number($("fault-skip").value),
    serial: $("fault-serial").value || null,
  });
};
say($("address"), location.host);
