// The overview: devices, instructions, requests and faults, as the simulator pushes them.

import { link, make, money, nameOf, say } from "./link.js";
import { ending, wire } from "./wire.js";

const $ = (id) => document.getElementById(id);
const KEPT = 300;

const devices = new Map();
const instructions = new Map();
const requests = new Map();
let menu = { on: [], faults: [] };
let selected = null;

const send = link("/gateway/socket", hear, (linked) => {
  $("no-link").hidden = linked;
});

function hear(said) {
  if (said.whole) {
    for (const known of [devices, instructions, requests]) known.clear();
    for (const id of ["devices", "instructions", "requests"]) $(id).replaceChildren();
    offer(said.menu);
  }
  for (const one of said.devices) keep(devices, one.serial, one);
  for (const one of said.instructions) {
    announce(instructions.get(one.id), one, said.whole);
    keep(instructions, one.id, one);
  }
  for (const one of said.requests) keep(requests, one.number, one);
  for (const one of said.devices) put("devices", one.serial, deviceRow(one), false);
  for (const one of said.instructions) put("instructions", one.id, instructionRow(one), true);
  for (const one of said.requests) showRequest(one);
  trim();
  showFaults(said.faults);
  showViolations(said.violations);
  say($("notice"), (said.notices ?? []).join(" "));
  showEmpty();
}

function keep(map, key, value) {
  map.set(key, value);
}

/** Puts a row where the old one of this key is, or first or last. */
function put(list, key, row, first) {
  row.dataset.of = key;
  const old = $(list).querySelector(`[data-of="${CSS.escape(key)}"]`);
  if (old === null) $(list)[first ? "prepend" : "append"](row);
  else {
    const focused = old.contains(document.activeElement);
    old.replaceWith(row);
    if (focused) row.querySelector("a, button, summary")?.focus();
  }
}

function trim() {
  for (const [list, map] of [["requests", requests], ["instructions", instructions]]) {
    while (map.size > KEPT) {
      const oldest = map.keys().next().value;
      map.delete(oldest);
      $(list).querySelector(`[data-of="${CSS.escape(String(oldest))}"]`)?.remove();
    }
  }
}

function showEmpty() {
  for (const id of ["devices", "instructions", "requests"]) {
    const list = $(id);
    const some = list.children.length > 0;
    (list.closest("table") ?? list).hidden = !some;
    list.closest("section").querySelector(".empty").hidden = some;
  }
}

const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString(undefined, { hour12: false });
const badge = (tone, text) => make("span", { class: `badge ${tone}` }, text);

function sumOf(one) {
  return "amount" in one ? `${nameOf(one)} ${money(one.total, one)}` : nameOf(one);
}

function driven(device) {
  if (!device.byHand) return badge("plain", "by script");
  if (device.pages === 0) return badge("bad", "page closed");
  return device.on ? badge("good", "by hand") : badge("bad", "offline");
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
  const at = make("td", { class: "code dim" }, clock(one.at));
  const on = make("td", { class: "code" }, one.serial);
  return make("tr", { class: selected === one.id ? "chosen" : null }, at, cell(what), on, cell(statusOf(one)));
}

function announce(before, now, whole) {
  if (whole || before?.status === now.status) return;
  say($("announce"), `${sumOf(now)} on ${now.serial}: ${statusOf(now).textContent}`);
}

/** Shows the requests of one instruction in the order of its steps, or all, the newest first. */
function select(id) {
  const before = selected;
  selected = id;
  for (const one of [before, id]) {
    if (instructions.has(one)) put("instructions", one, instructionRow(instructions.get(one)), true);
  }
  $("selected").hidden = id === null;
  if (id !== null) say($("selected").firstElementChild, `of ${sumOf(instructions.get(id))}, step by step`);
  $("requests").replaceChildren();
  for (const one of requests.values()) showRequest(one);
  showEmpty();
}

function showRequest(one) {
  if (selected !== null && one.instruction !== selected) return;
  const row = requestRow(one);
  const old = $("requests").querySelector(`[data-of="${one.number}"] details`);
  if (old?.open || (old === null && selected !== null)) {
    row.firstElementChild.open = true;
  }
  put("requests", String(one.number), row, selected === null);
}

function requestRow(one) {
  const [tone, word] = ending(one);
  const took = one.took === null ? "" : one.took < 1000 ? `${one.took} ms` : `${(one.took / 1000).toFixed(1)} s`;
  const summary = make(
    "summary",
    {},
    make("span", { class: "code dim" }, clock(one.at)),
    make("b", { class: `method code ${one.method}` }, one.method),
    make("span", { class: "path code" }, one.path + (one.query && `?${one.query}`)),
    one.fault ? badge("half", `fault: ${one.fault}`) : null,
    badge(tone, word),
    make("span", { class: "took code dim" }, took),
  );
  const details = make("details", {}, summary);
  // Made when it is looked at: most never are.
  details.ontoggle = () => {
    if (details.open && details.children.length === 1) details.append(wire(one));
  };
  return make("li", {}, details);
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
  const left = one.times === null ? "every time" : `${one.times - one.hits} × to go`;
  const text = `${one.fault} on ${one.on}${one.serial ? ` of ${one.serial}` : ""}`;
  const after = one.skip > 0 ? `, after ${one.skip} good` : "";
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
