// The page docs/machine.md: shows what docs/playground says, and tells it what was pressed. No logic of the cache is here.

const FIELDS = [
  ["ttl", 60],
  ["stale_while_revalidate", 60],
  ["stale_if_error", 300],
  ["negative_ttl", 0],
  ["load_timeout", 10],
  ["soft_timeout", ""],
  ["max_waiters", ""],
];
const LABELS = {
  put: "put", invalidate: "invalidate", expire: "expire", refresh: "refresh", evict: "evict (no room)", restart: "restart",
  row: "the row changes", "time 1": "+1 s", "time 10": "+10 s", "time 60": "+60 s",
};
const GROUPS = [
  ["Callers", (name) => /^(get|leave|patience) /.test(name)],
  ["The key", (name) => ["put", "invalidate", "expire", "refresh", "evict", "restart"].includes(name)],
  ["Loads", (name) => name.startsWith("load ")],
  ["The world", (name) => name.startsWith("time ") || name === "row"],
];

const by = (id) => document.getElementById(id);
let call; // calls a function of docs/playground/web.py

function element(tag, text, attributes = {}) {
  const made = document.createElement(tag);
  made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

async function load() {
  const home = new URL("vendored/", import.meta.url);
  const { loadPyodide } = await import(new URL("pyodide/pyodide.mjs", home));
  const pyodide = await loadPyodide({ indexURL: new URL("pyodide/", home).href });
  const archive = await (await fetch(new URL("herdless.zip", home))).arrayBuffer();
  pyodide.unpackArchive(archive, "zip");
  const page = pyodide.pyimport("docs.playground.web").Page();
  call = (name, ...args) => JSON.parse(page.call(name, JSON.stringify(args)));
  const picture = await (await fetch(new URL("../states.svg", import.meta.url))).text();
  by("picture").innerHTML = picture;
}

function mark(state) {
  for (const box of by("picture").querySelectorAll("rect")) {
    const label = box.nextElementSibling;
    if (label?.getAttribute("font-weight") === "bold") {
      box.classList.toggle("present", label.textContent.trim() === state);
    }
  }
  by("machine").dataset.state = state;
}

function showStep(step, title = "") {
  const parts = [];
  if (step) {
    parts.push(element("h3", title || `Step: ${step.by}, ${step.event}`));
    const list = document.createElement("dl");
    const row = (name, ...values) => list.append(element("dt", name), ...values.map((value) => {
      const cell = document.createElement("dd");
      cell.append(...[value].flat());
      return cell;
    }));
    row("before", step.before);
    row("after", step.after);
    row("effects", ...(step.effects.length ? step.effects : ["none"]));
    if (step.told) row("told", step.told.join(", ") || "nobody");
    row("rule", [
      element("a", `${step.name} in ${step.from}`, { href: `states.html#${step.name.toLowerCase()}` }), `: ${step.rule}`,
    ]);
    row("promises", step.promises.length
      ? step.promises.flatMap((name, at) => [at ? ", " : "", element("a", name, { href: `spec/promises.html#${name.toLowerCase()}` })])
      : ["none is about it"]);
    row("judged", step.violated.length
      ? `BROKEN: ${step.violated.join(", ")}` : `all ${step.judged} predicates hold of this step`);
    parts.push(list);
  }
  by("step").replaceChildren(...parts);
}

function show(view) {
  mark(view.state);
  by("clock").textContent = `${view.seconds} s; the row in the database is ${view.row}`;
  by("entry").textContent = view.entry;
  by("removed").textContent = view.removed.map((entry) => `Out of reach: ${entry}`).join("; ");
  by("callers").replaceChildren(...view.callers.map(({ name, waits_for, told }) =>
    element("li", waits_for === null ? `${name}: ${told || "has not asked"}` : `${name} waits for load ${waits_for}`)));
  by("loads").replaceChildren(...(view.loads.length
    ? view.loads.map(([generation, reads, state]) => element("li", `load ${generation}, which read ${reads}: ${state}`))
    : [element("li", "none yet")]));
  by("buttons").replaceChildren(...GROUPS.flatMap(([title, belongs]) => {
    const names = view.buttons.filter(belongs);
    if (!names.length) return [];
    const group = element("fieldset", "");
    group.append(element("legend", title), ...names.map((name) => {
      const button = element("button", LABELS[name] ?? name.replace(/^patience (.*)$/, "$1's soft_timeout"), { "data-press": name });
      button.onclick = () => show(call("press", name));
      return button;
    }));
    return [group];
  }));
  showStep(view.step);
  by("story").replaceChildren(...view.story.map((line) => element("li", line)));
}

function policy() {
  const given = {};
  for (const [name] of FIELDS) {
    const text = by(`policy-${name}`).value;
    if (text !== "") given[name] = Number(text);
  }
  return given;
}

function restart() {
  const view = call("new", policy(), by("can-cancel").checked);
  by("refused").textContent = view.error ?? "";
  if (!view.error) show(view);
}

function preparePolicy() {
  by("policy").replaceChildren(...FIELDS.map(([name, value]) => {
    const label = element("label", `${name} `);
    label.append(element("input", "", { id: `policy-${name}`, type: "number", min: 0, step: "any", value }));
    return label;
  }));
  const label = element("label", "loads can be cancelled ");
  label.append(element("input", "", { id: "can-cancel", type: "checkbox", checked: "" }));
  by("policy").append(label, element("button", "Begin again", { id: "again", type: "submit" }));
  by("policy").onsubmit = (event) => {
    event.preventDefault();
    restart();
  };
}

function prepareTour() {
  const races = call("tour");
  const race = by("race");
  race.replaceChildren(...races.map(({ name }, at) => element("option", name, { value: at })));
  let moves = 0;
  const render = () => {
    const { policy: given, moves: all, elsewhere, sources } = races[race.value];
    show(call("race", Number(race.value), moves));
    by("place").textContent = `${moves} of ${all.length}, with ${given}`;
    by("see").textContent = moves ? all[moves - 1].see : "Press Next.";
    by("elsewhere").replaceChildren(...(moves === all.length
      ? [`Elsewhere: ${elsewhere} Sources: `, element("a", "measured", { href: "explanation/compared.html" }),
        ...sources.flatMap((address) => [", ", element("a", address.replace("https://github.com/", ""), { href: address })]), "."]
      : []));
    by("back").disabled = moves === 0;
    by("next").disabled = moves === all.length;
  };
  race.onchange = () => { moves = 0; render(); };
  by("back").onclick = () => { moves -= 1; render(); };
  by("next").onclick = () => { moves += 1; render(); };
  return render;
}

function prepareTrace() {
  let replayed = null;
  let at = 0;
  const render = () => {
    by("earlier").disabled = !replayed || at === 0;
    by("later").disabled = !replayed || at >= replayed.steps.length - 1;
    if (!replayed) {
      by("line").textContent = "";
      mark("");
      showStep(null);
      return;
    }
    const step = replayed.steps[at];
    const more = replayed.left_out ? `, ${replayed.left_out} later ones left out` : "";
    by("line").textContent = `step ${at + 1} of ${replayed.steps.length}${more}; line ${step.line}, ${step.seconds} s`;
    mark(step.to);
    showStep(step, `${step.by}, key ${step.key}: ${step.said}`);
  };
  by("file").onclick = () => { by("file").value = ""; }; // so that the same file can be chosen again
  by("file").onchange = async () => {
    const [file] = by("file").files;
    if (!file) return;
    let found;
    try {
      found = call("replay", await file.text());
    } catch (error) {
      found = { error: error.message };
    }
    replayed = found.error ? null : found;
    at = found.departs ? Math.max(0, found.steps.findIndex(({ line }) => line === found.departs)) : 0;
    by("verdict").textContent = `${file.name}: ${found.error ?? found.verdict}`;
    render();
  };
  by("earlier").onclick = () => { at -= 1; render(); };
  by("later").onclick = () => { at += 1; render(); };
  return render;
}

function choose(mode, renders) {
  for (const button of document.querySelectorAll("[data-mode]")) {
    button.setAttribute("aria-pressed", String(button.dataset.mode === mode));
  }
  for (const section of document.querySelectorAll("[data-for]")) {
    section.hidden = !section.dataset.for.split(" ").includes(mode);
  }
  renders[mode]();
}

by("start").onclick = async () => {
  by("start").disabled = true;
  by("loading").textContent = "Python is loading ...";
  try {
    await load();
  } catch (error) {
    by("start").disabled = false;
    by("loading").textContent = `It could not be loaded: ${error.message}`;
    return;
  }
  preparePolicy();
  const renders = { free: restart, tour: prepareTour(), trace: prepareTrace() };
  for (const button of document.querySelectorAll("[data-mode]")) {
    button.onclick = () => choose(button.dataset.mode, renders);
  }
  by("start").parentElement.hidden = true;
  by("bench").hidden = false;
  choose("free", renders);
};
