"use strict";
// Everything that comes from outside is set as text, never as markup.
const at = (id) => document.getElementById(id);
const searched = at("search");

// In the order in which they want attention.
const STATES = {refusing: "bad", behind: "wait", disconnected: "gone", converged: "good"};
const COLUMNS = 8;
const SHOWN_OF_A_STATE = 25;
const SHOWN_MORE = 500;
const SEARCH_FROM = 10;
const LEAST_PAUSE_MS = 2000;
// Of the time, so that a page that is left open costs the control plane of a large fleet little.
const MOST_OF_THE_TIME = 0.05;

const byId = new Intl.Collator("en", {numeric: true});

let told = null;
let lastAnswer = null;
let timer = null;
let asking = false;
let only = null;
const opened = new Set();
const shownOf = {};

function element(tag, className, ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...children);
  return node;
}

function button(className, words, pressed) {
  const made = element("button", className, words);
  made.type = "button";
  made.addEventListener("click", () => { pressed(); show(); });
  return made;
}

// What has not changed stays as it is, so that it keeps the focus and what is marked in it.
function fill(parent, text, make) {
  if (parent.dataset.text === text) return;
  parent.dataset.text = text;
  parent.replaceChildren(...make());
}

function place(parent, children) {
  const same = parent.childNodes.length === children.length
    && children.every((child, index) => parent.childNodes[index] === child);
  if (!same) parent.replaceChildren(...children);
}

function envoys(count) {
  return count === 1 ? "1 Envoy" : count.toLocaleString("en") + " Envoys";
}

function named(nodes) {
  const first = nodes.slice(0, 10).map((node) => node.id).join(", ");
  return nodes.length > 10 ? first + " and " + (nodes.length - 10).toLocaleString("en") + " more" : first;
}

function ago(text) {
  const seconds = Math.max(0, Math.floor((new Date(told.at) - new Date(text)) / 1000));
  for (const [unit, length] of [["d", 86400], ["h", 3600], ["min", 60]]) {
    if (seconds >= length) return Math.floor(seconds / length) + " " + unit;
  }
  return seconds + " s";
}

function stateOf(node) {
  if (node.rejected) return "refusing";
  if (!node.connected) return "disconnected";
  return node.converged ? "converged" : "behind";
}

function whatOf(rejected) {
  return rejected.type_url.split(".").pop() + " " + (rejected.resource || "(Envoy does not say which)");
}

function verdictOf(groups, error) {
  const {refusing, behind, converged} = groups;
  const connected = told.nodes.filter((node) => node.connected).length;
  if (error !== null) {
    const serving = connected ? envoys(connected) + (connected === 1 ? " goes" : " go") : "Envoys go";
    return ["bad", "The newest edit is refused; " + serving + " on with what was good before"];
  }
  if (refusing.length) {
    const verb = refusing.length === 1 ? " refuses" : " refuse";
    const of = refusing.length.toLocaleString("en") + " of " + envoys(told.nodes.length);
    return ["bad", of + verb + " a part of this revision"];
  }
  const kept = behind.filter((node) => node.kept_from);
  if (kept.length) {
    const verb = kept.length === 1 ? " is" : " are";
    const of = kept.length.toLocaleString("en") + " of " + envoys(connected);
    return ["bad", of + verb + " not given a part of this revision, as another refused it"];
  }
  if (!connected) return ["wait", "No Envoy is connected"];
  if (behind.length) {
    return ["wait", converged.length.toLocaleString("en") + " of " + envoys(connected) + " on this revision"];
  }
  return ["good", envoys(connected) + (connected === 1 ? ", on this revision" : ", all on this revision")];
}

// The same refusal of several Envoys is told once, with the line of the file that is to blame.
function blameOf(nodes) {
  const causes = new Map();
  for (const node of nodes) {
    const why = node.rejected ?? node.kept_from;
    if (!why) continue;
    const cause = JSON.stringify([why.type_url, why.resource, why.registry_place]);
    if (!causes.has(cause)) causes.set(cause, {why, refusing: [], kept: []});
    causes.get(cause)[node.rejected ? "refusing" : "kept"].push(node);
  }
  return [...causes.values()].sort((one, other) => other.refusing.length - one.refusing.length);
}

function blameBox({why, refusing, kept}) {
  const verb = refusing.length === 1 ? " refuses " : " refuse ";
  const who = refusing.length ? envoys(refusing.length) + verb : why.by + " refused ";
  const box = element("section", "box bad", element("h2", "", who + whatOf(why)));
  if (why.registry_place) {
    box.append(element("p", "", "It comes from ", element("code", "place", why.registry_place)));
  }
  box.append(element("pre", "", "Envoy says: " + why.error_detail));
  if (refusing.length) box.append(element("p", "faint", named(refusing)));
  if (kept.length) box.append(element("p", "faint", "So it is not given to " + named(kept)));
  return box;
}

const WHY_NOT_GONE = {
  behind: "has not taken the edit",
  reporting: "has to say once more that nothing is in progress",
  no_reports: "sends no load reports",
  not_counted: "counts anew",
  disconnected: "lost its connection",
};

function leaving(one) {
  const stage = one.stage === "routes" ? "Envoys are taking the routes away"
    : one.in_progress === 1 ? "1 request in progress" : one.in_progress + " requests in progress";
  const left = Math.max(0, Math.ceil((new Date(one.until) - new Date(told.at)) / 1000));
  const whom = one.waits_for.map(({node, why, in_progress}) => why === "in_progress"
    ? node + ": " + in_progress + " in progress" : node + ": " + (WHY_NOT_GONE[why] ?? why));
  if (one.waiting > whom.length) whom.push((one.waiting - whom.length).toLocaleString("en") + " more Envoys");
  const item = element("li", "", element("strong", "", one.what), ": " + stage + ", gone in " + left + " s at most");
  if (whom.length) item.append(element("div", "faint", whom.join("; ")));
  return item;
}

// How far a node is with a service of which it has not all.
function lagOf(type, refusedElsewhere) {
  if (type.sent !== type.acked) {
    return type.type + ": sent " + type.sent + ", accepted " + (type.acked ?? "nothing");
  }
  return type.type + (refusedElsewhere
    ? ": not sent, as long as another Envoy refuses a part of it" : ": not sent yet, runs " + type.acked);
}

function servicesOf(node) {
  if (!node.types.length) return element("p", "faint", "It has accepted nothing yet.");
  const row = (cell, ...cells) => element("tr", "", ...cells.map((text) => element(cell, cell === "td" ? "code" : "", text)));
  return element("table", "services", row("th", "Service", "Sent", "Accepted", ""),
    ...node.types.map((type) => row("td", type.type, type.sent ?? "nothing, it had all", type.acked ?? "nothing",
      type.converged ? "current" : "not current")));
}

function detailOf(node, state, refusedElsewhere) {
  const lines = [];
  if (state === "refusing") lines.push("refuses " + whatOf(node.rejected));
  if (node.kept_from && state === "behind") {
    lines.push("is not given " + whatOf(node.kept_from) + ", which " + node.kept_from.by + " refused");
  } else if (state === "behind") {
    lines.push(...node.types.filter((type) => !type.converged).map((type) => lagOf(type, refusedElsewhere)));
  }
  const cell = element("td", "", ...lines.map((line) => element("p", STATES[state], line)));
  if (opened.has(node.id)) {
    cell.append(servicesOf(node));
    const past = node.last_rejected;
    if (past && state !== "refusing") {
      cell.append(element("p", "faint", "Last refusal, " + ago(past.at) + " ago: " + whatOf(past)
        + (past.registry_place ? ", from " + past.registry_place : "") + ". Envoy said: " + past.error_detail));
    }
  }
  if (!cell.childNodes.length) return [];
  cell.colSpan = COLUMNS;
  return [element("tr", "detail", cell)];
}

function cell(column, className, words) {
  const made = element("td", className, words);
  made.dataset.column = column;
  return made;
}

const rowsById = new Map();

function rowsOf(node, state, refusedElsewhere) {
  const isOpen = opened.has(node.id);
  const text = JSON.stringify([node, isOpen, refusedElsewhere]);
  const known = rowsById.get(node.id);
  if (known?.text !== text) {
    const name = button("name", node.id, () => {
      if (!opened.delete(node.id)) opened.add(node.id);
    });
    name.setAttribute("aria-expanded", isOpen);
    const row = element("tr", "",
      element("td", "name-cell", name),
      element("td", "state-cell", element("span", "state " + STATES[state], state)),
      cell("runs", "code", node.revision ?? "none yet"),
      cell("gateway", "", node.gateway || "none"),
      cell("cluster", "", node.cluster || "none"),
      cell("variant", "", node.variant),
      cell("Envoy", "", node.envoy_version || "unknown"),
      cell(node.connected ? "connected" : "gone", "since", ""));
    rowsById.set(node.id, {text, rows: [row, ...detailOf(node, state, refusedElsewhere)]});
    const isFocused = known?.rows[0].contains(document.activeElement);
    if (isFocused) queueMicrotask(() => name.focus());
  }
  const {rows} = rowsById.get(node.id);
  const since = node.connected ? node.connected_at : node.disconnected_at;
  rows[0].lastChild.textContent = since ? ago(since) : "";
  rows[0].lastChild.title = since ? (node.connected ? "connected " : "gone ") + new Date(since).toLocaleString() : "";
  return rows;
}

function isFound(node) {
  const words = searched.value.trim().toLowerCase();
  return !words || [node.id, node.gateway, node.cluster, node.envoy_version, node.revision, node.variant]
    .some((text) => text?.toLowerCase().includes(words));
}

const moreRows = {};

function moreRow(state, left) {
  moreRows[state] ??= element("tr", "more", element("td", ""));
  const cell = moreRows[state].firstChild;
  cell.colSpan = COLUMNS;
  fill(cell, String(left), () => [button("", left.toLocaleString("en") + " more " + state, () => {
    shownOf[state] += SHOWN_MORE;
  })]);
  return moreRows[state];
}

function tableOf(groups) {
  const rows = [];
  for (const [state, nodes] of Object.entries(groups)) {
    if (only && only !== state) continue;
    const found = nodes.filter(isFound);
    shownOf[state] ??= SHOWN_OF_A_STATE;
    for (const node of found.slice(0, shownOf[state])) rows.push(...rowsOf(node, state, groups.refusing.length > 0));
    const left = found.length - shownOf[state];
    if (left > 0) rows.push(moreRow(state, left));
  }
  const shown = new Set(rows);
  for (const [id, known] of rowsById) if (!shown.has(known.rows[0])) rowsById.delete(id);
  return rows;
}

function showLegend(groups) {
  const present = Object.entries(groups).filter(([, nodes]) => nodes.length);
  if (only && !groups[only].length) only = null;
  const text = JSON.stringify([only, present.map(([state, nodes]) => [state, nodes.length])]);
  at("legend").hidden = present.length < 2;
  fill(at("legend"), text, () => present.map(([state, nodes]) => {
    const made = button(STATES[state], nodes.length.toLocaleString("en") + " " + state, () => {
      only = only === state ? null : state;
    });
    made.setAttribute("aria-pressed", only === state);
    return made;
  }));
  fill(at("bar"), text, () => present.map(([state, nodes]) => {
    const part = element("span", STATES[state]);
    part.style.flexGrow = nodes.length;
    return part;
  }));
}

function show() {
  if (!told) return;
  const {nodes, registry} = told;
  const groups = Object.fromEntries(Object.keys(STATES).map((state) => [state, []]));
  const inOrder = [...nodes].sort((one, other) => byId.compare(one.id, other.id));
  for (const node of inOrder) groups[stateOf(node)].push(node);
  const [kind, words] = verdictOf(groups, registry.error);
  const summary = at("summary");
  summary.className = kind;
  if (summary.textContent !== words) summary.textContent = words;
  document.title = words + " · Modelyard";
  showLegend(groups);
  at("refused").hidden = registry.error === null;
  at("refused-text").textContent = registry.error ?? "";
  const blame = blameOf([...groups.refusing, ...groups.behind]);
  fill(at("blamed"), JSON.stringify(blame.map((one) => [one.why, named(one.refusing), named(one.kept)])), () => blame.map(blameBox));
  const unmatched = nodes.filter((node) => node.connected && !node.gateway);
  at("unmatched").hidden = !unmatched.length;
  at("unmatched-text").textContent = named(unmatched);
  const drains = told.draining ?? [];
  at("draining").hidden = !drains.length;
  const shown = drains.slice(0, SHOWN_OF_A_STATE).map(leaving);
  const rest = drains.length - shown.length;
  if (rest > 0) shown.push(element("li", "", rest.toLocaleString("en") + " more"));
  at("draining-list").replaceChildren(...shown);
  at("path").textContent = registry.path;
  at("loaded").textContent = ago(registry.loaded_at) + " ago";
  at("loaded").title = new Date(registry.loaded_at).toLocaleString();
  at("revision").textContent = told.revision;
  at("nodes").hidden = !nodes.length;
  at("finding").hidden = nodes.length < SEARCH_FROM;
  at("none").hidden = nodes.length > 0;
  const rows = tableOf(groups);
  at("unfound").hidden = rows.length > 0 || !nodes.length;
  place(at("nodes").tBodies[0], rows);
}

// Not relative: a page whose own address holds a password may not ask by that.
const address = new URL("status", location.origin + location.pathname);

// Nothing is asked again: only a person has another token, whom the browser asks on a reload.
function shut() {
  at("lost-title").textContent = "The control plane wants another token";
  at("lost-text").textContent = "Reload the page to give one that is good now.";
  at("lost").hidden = false;
  document.title = "no token · Modelyard";
  asking = false;
}

async function refresh() {
  if (asking) return;
  asking = true;
  clearTimeout(timer);
  const started = performance.now();
  try {
    const answer = await fetch(address, {cache: "no-store", signal: AbortSignal.timeout(10000)});
    if (answer.status === 401) {
      shut();
      return;
    }
    if (!answer.ok) throw new Error("it answered " + answer.status);
    told = await answer.json();
    show();
    lastAnswer = new Date();
    at("lost").hidden = true;
  } catch (error) {
    const since = lastAnswer ? "This is what it told at " + lastAnswer.toLocaleTimeString() + ". " : "";
    at("lost-text").textContent = since + "Envoys keep routing with what they have. (" + error.message + ")";
    at("lost").hidden = false;
    document.title = "no answer · Modelyard";
  }
  const pause = Math.max(LEAST_PAUSE_MS, (performance.now() - started) / MOST_OF_THE_TIME);
  at("pace").textContent = "Refreshes every " + Math.round(pause / 1000) + " seconds";
  timer = setTimeout(() => { if (!document.hidden) refresh(); }, pause);
  asking = false;
}

// A page that nobody sees asks nothing.
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
searched.addEventListener("input", show);
refresh();
