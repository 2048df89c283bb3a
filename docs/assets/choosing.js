// The page docs/how-to/choose.md: which adapter, and what it costs. The texts are in choices.json, the counts in figures.json.

const fetched = async (name) => (await fetch(new URL(name, import.meta.url))).json();
const [choices, figures] = await Promise.all([fetched("choices.json"), fetched("figures.json")]);
const by = (id) => document.getElementById(id);

function element(tag, text, attributes = {}) {
  const made = document.createElement(tag);
  made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function link(text, href) {
  return element("a", text, { href: `../${href}` });
}

function advise() {
  const { runtime, processes, persistent, cancels, hot } = by("questions").elements;
  const isFleet = processes.value === "several" && runtime.value !== "workers";
  const name = isFleet ? `${runtime.value}-fleet` : runtime.value;
  const choice = choices[name];
  const parts = [element("h3", choice.title), element("p", choice.promised)];
  const say = (text, ...more) => {
    const line = element("p", text);
    line.append(...more);
    parts.push(line);
  };
  if (persistent.checked && !isFleet && runtime.value !== "workers") {
    say("A cache in memory is empty after a restart. Dump it and restore it: ", link("a warm start", "guide.html#a-warm-start"), ".");
  }
  if (cancels.checked && (runtime.value === "threads" || runtime.value === "workers")) {
    say("Here no load can be stopped: it finishes, and is stored. Give it a load_timeout, and the client that it uses a time limit.");
  }
  if (hot.checked) {
    say(...(runtime.value === "workers"
      ? ["One object answers 500 to 1,000 requests a second: put ", link("readers", "durable-objects.html#hot-keys"), " in front of it."]
      : ["That is no load: a hit is a lookup in a dict of this process, a few hundred nanoseconds. ", link("What costs what", "performance.html#what-costs-what-and-why"), "."]));
  }
  const code = document.createElement("pre");
  code.append(element("code", choice.snippet));
  parts.push(code, element("p", ""));
  parts.at(-1).append(link("All about it", choice.page));
  by("advice").replaceChildren(...parts);
}

// Operations by kind, for so many requests: the loads of the sale, stretched.
function rows(requests, processes) {
  const scale = requests / figures.sale.requests;
  const { fleet, object } = figures;
  const loads = figures.sale.plain * scale;
  const fetches = Math.min(requests - loads, loads * (processes - 1));
  return [
    ["no cache", { query: requests }],
    ["a ttl, no coalescing", { query: figures.sale.without * scale }],
    ["one process", { query: loads }],
    ["a fleet on Redis, at most", { query: loads, command: loads * fleet.load + fetches * fleet.fetch }],
    ["Durable Objects", { query: loads, object: requests, row: loads * object.load }],
    ["an actor or entity engine", { query: loads, message: requests, state: loads }],
  ];
}

const NAMES = {
  query: "queries", command: "store commands", object: "object requests", row: "rows written", message: "messages", state: "state writes",
};

function bill() {
  const { requests, processes, ...prices } = Object.fromEntries(new FormData(by("prices")));
  const table = document.createElement("table");
  table.append(element("tr", ""));
  for (const title of ["deployment", "operations a month, millions", "cost a month"]) table.rows[0].append(element("th", title));
  for (const [name, operations] of rows(Number(requests) * 1e6, Math.max(1, Number(processes)))) {
    const kinds = Object.entries(operations);
    const counted = kinds.map(([kind, count]) => `${(count / 1e6).toLocaleString("en", { maximumFractionDigits: 1 })} ${NAMES[kind]}`);
    const missing = kinds.filter(([kind]) => prices[kind] === "").map(([kind]) => NAMES[kind]);
    const sum = kinds.reduce((total, [kind, count]) => total + (count / 1e6) * Number(prices[kind]), 0);
    const row = document.createElement("tr");
    const cost = missing.length ? `enter the price of ${missing.join(" and ")}` : sum.toLocaleString("en", { maximumFractionDigits: 2 });
    row.append(element("td", name), element("td", counted.join(", ")), element("td", cost));
    table.append(row);
  }
  by("bill").replaceChildren(table);
}

by("questions").oninput = advise;
by("prices").oninput = bill;
by("questions").onsubmit = by("prices").onsubmit = (event) => event.preventDefault();
advise();
bill();
