"use strict";
// The page of a trace: see minigrad/engine/tracefile.py for the schema. Everything is drawn from the address (`#...`).
const $ = id => document.getElementById(id);
const OP = 0, DTYPE = 1, SHAPE = 2, ARG = 3, SRC = 4, LINE = 5;             // fields of a node
const TABS = [["overview", "Overview"], ["graph", "Graph"], ["timeline", "Timeline"], ["memory", "Memory"], null,
              ["source", "Source"], ["rewrites", "Rewrites"], ["why", "Why"], ["opts", "Opts"], ["uops", "UOps"]];
const state = {v: "overview", s: -1, k: -1, step: 0, whole: 0, q: "", run: "all", order: "time", g: "kernels"};
let D, items = [], byAst = new Map(), unfolded = new Set(), zoom = 1, shown = [];

// ---- small helpers

const escapeHtml = t => String(t).replace(/[&<>"]/g, c => ({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}[c]));
const si = (x, unit) => { for (const [n, l] of [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]]) if (x >= n) return (x / n).toPrecision(3) + " " + l + unit; return +x.toPrecision(3) + " " + unit; };
const time = s => s >= 1 ? s.toFixed(2) + " s" : s >= 1e-3 ? (s * 1e3).toFixed(2) + " ms" : (s * 1e6).toFixed(2) + " µs";
const lineOf = n => n == null ? "" : D.lines[n];
const shortLine = l => l.split("/").slice(-1)[0];
const amount = (x, unit) => typeof x === "number" ? si(x, unit) : x + " " + unit;
const el = (tag, attributes = {}, html = "") => { const e = document.createElement(tag); for (const [k, v] of Object.entries(attributes)) k.startsWith("on") ? e[k] = v : e.setAttribute(k, v); e.innerHTML = html; return e; };
const grade = share => share >= .7 ? "good" : share >= .3 ? "fair" : "poor";

async function inflate(id) {
  const bytes = Uint8Array.from(atob($(id).textContent), c => c.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
}

function tip(text, event) {
  const t = $("tip"); t.hidden = !text; if (!text) return;
  t.textContent = text;
  t.style.left = Math.min(event.clientX + 14, innerWidth - t.offsetWidth - 8) + "px";
  t.style.top = Math.min(event.clientY + 14, innerHeight - t.offsetHeight - 8) + "px";
}

// ---- the model: every kernel of every schedule, with its launches

function prepare() {
  D.programs.forEach((p, i) => byAst.set(p.ast, i));
  D.schedules.forEach((schedule, s) => schedule.kernels.forEach((kernel, k) => {
    const p = byAst.has(kernel.ast) ? byAst.get(kernel.ast) : -1;
    kernel.item = {s, k, p, kernel, launches: [], seconds: 0, operations: 0, bytes: 0, line: kernel.lines.length ? lineOf(kernel.lines[0]) : "",
                   name: p >= 0 ? D.programs[p].name : D.nodes[kernel.ast][OP].toLowerCase()};
  }));
  for (const l of D.launches) {
    const item = D.schedules[l[0]].kernels[l[1]].item;
    if (l[2] >= 0) { item.p = l[2]; item.name = D.programs[l[2]].name; }
    item.launches.push(l); item.seconds += l[5]; item.operations += l[6]; item.bytes += l[7]; item.device = l[3];
  }
}

function roof(item) {
  const device = D.devices[item.device];
  if (!device || !device.bandwidth || !item.seconds) return null;
  const memory = item.bytes / device.bandwidth, compute = item.operations / device.compute;
  return {share: Math.max(memory, compute) / item.seconds, by: memory >= compute ? "memory" : "compute"};
}

const likeness = item => item.p + "|" + item.kernel.ast + "|" + item.line;
function isChosen(item) { const c = current(); return !!c && (state.run === "all" ? likeness(item) === likeness(c) : item.s === c.s && item.k === c.k); }
function merged(list) {  // equal programs of equal lines become one
  const groups = new Map();
  for (const item of list) {
    const key = likeness(item), known = groups.get(key);
    if (!known) { groups.set(key, {...item, launches: [...item.launches]}); continue; }
    known.seconds += item.seconds; known.operations += item.operations; known.bytes += item.bytes; known.launches.push(...item.launches);
    if (item.launches.length) Object.assign(known, {s: item.s, k: item.k, kernel: item.kernel, device: item.device});
  }
  return [...groups.values()];
}

function repeats(sequence) {  // [start, period, count]: parts that follow each other several times
  const found = [];
  for (let i = 0; i < sequence.length;) {
    let best = null;
    for (let p = 1; p <= Math.min(80, (sequence.length - i) / 2); p++) {
      let n = 1;
      while (i + (n + 1) * p <= sequence.length) { let same = true; for (let j = 0; j < p && same; j++) same = sequence[i + j] === sequence[i + n * p + j]; if (!same) break; n++; }
      if (n > 1 && p * n >= 4 && (!best || p * n > best[1] * best[2])) best = [i, p, n];
    }
    if (best) { found.push(best); i += best[1] * best[2]; } else i++;
  }
  return found;
}

// ---- the list on the left

function matching(item) {
  const words = state.q.toLowerCase().split(/\s+/).filter(Boolean);
  const text = (item.name + " " + item.kernel.lines.map(lineOf).join(" ")).toLowerCase();
  return words.every(w => text.includes(w) || (w.length > 2 && item.p >= 0 && D.programs[item.p].source.toLowerCase().includes(w)));
}

function listed() {
  let list = state.run === "all" ? merged(D.schedules.flatMap(s => s.kernels.map(k => k.item))) : D.schedules[+state.run].kernels.map(k => k.item);
  list = list.filter(matching);
  if (state.order === "time") list = [...list].sort((a, b) => b.seconds - a.seconds);
  if (state.order === "roof") list = [...list].sort((a, b) => ((roof(a) || {share: 9}).share) - ((roof(b) || {share: 9}).share));
  return list;
}

function drawList() {
  items = listed();
  const most = Math.max(...items.map(i => i.seconds), 1e-12), list = $("list"); list.textContent = ""; shown = [];
  const folds = state.run !== "all" && state.order === "launch" && !state.q ? repeats(items.map(i => i.kernel.ast)) : [];
  const starts = new Map(folds.map(f => [f[0], f]));
  const add = (item, inner) => {
    const r = roof(item), li = el("li", {role: "option", "aria-selected": isChosen(item), class: inner ? "inner" : ""},
      `<div class="name"><span>${escapeHtml(item.name)}</span><span>${item.seconds ? time(item.seconds) : ""}</span></div>` +
      `<div class="under"><span title="${escapeHtml(item.line)}">${escapeHtml(shortLine(item.line) || "copy")}</span><span>${item.launches.length > 1 ? item.launches.length + " × " : ""}` +
      (r ? `<b class="${grade(r.share)}">${Math.min(999, r.share * 100).toFixed(0)}%</b> ${r.by}` : "") + `</span></div><div class="bar" style="width:${item.seconds / most * 100}%"></div>`);
    li.onclick = () => choose(item);
    list.append(li); shown.push([item, li]);
  };
  for (let i = 0; i < items.length;) {
    const f = starts.get(i);
    if (!f) { add(items[i++]); continue; }
    const [, p, n] = f, open = unfolded.has(i), at = i;
    let total = 0; for (let j = i; j < i + p * n; j++) total += items[j].seconds;
    const head = el("li", {class: "fold", "aria-expanded": open}, `${open ? "▾" : "▸"} ${n} × ${p} kernel${p > 1 ? "s" : ""} <span style="float:right">${time(total)}</span>`);
    head.onclick = () => { open ? unfolded.delete(at) : unfolded.add(at); drawList(); };
    list.append(head);
    for (let j = i; j < i + (open ? p * n : p); j++) add(items[j], true);
    i += p * n;
  }
  if (!items.length) list.append(el("li", {class: "soft"}, "nothing matches"));
}

function choose(item) { go({s: item.s, k: item.k, step: 0, v: ["source", "rewrites", "why", "opts", "uops"].includes(state.v) ? state.v : "source"}); }
function move(by) {
  const at = shown.findIndex(([i]) => isChosen(i)), to = Math.max(0, Math.min(shown.length - 1, at + by));
  if (!shown.length) return; choose(shown[to][0]); shown[to] && shown[to][1].scrollIntoView({block: "nearest"});
}
const current = () => D.schedules[state.s] && D.schedules[state.s].kernels[state.k] ? D.schedules[state.s].kernels[state.k].item : null;

// ---- the address

function go(changes) { Object.assign(state, changes); const text = "#" + Object.entries(state).filter(([, v]) => v !== "" && v !== -1).map(([k, v]) => k + "=" + encodeURIComponent(v)).join("&"); if (location.hash !== text) history[changes.q != null ? "replaceState" : "pushState"](null, "", text); draw(); }
function readAddress() {
  for (const part of location.hash.slice(1).split("&")) { const [k, v] = part.split("="); if (k in state) state[k] = typeof state[k] === "number" ? +v : decodeURIComponent(v || ""); }
  if (!TABS.some(t => t && t[0] === state.v)) state.v = "overview";
  if (state.run !== "all" && !D.schedules[+state.run]) state.run = "all";
}

// ---- drawing

function draw() {
  zoom = 1; tip("");
  const tabs = $("tabs"); tabs.textContent = ""; let number = 0;
  for (const tab of TABS) {
    if (!tab) { tabs.append(el("span", {class: "gap"})); continue; }
    tabs.append(el("button", {role: "tab", id: "tab-" + tab[0], "aria-selected": state.v === tab[0], onclick: () => show(tab[0])}, `${tab[1]}<small>${++number}</small>`));
  }
  $("search").value = state.q; $("run").value = state.run; $("order").value = state.order;
  drawList();
  const view = $("view"); view.textContent = ""; view.scrollTop = 0;
  views[state.v](view);
  document.body.dataset.ready = state.v;
}
function show(name) {
  if (["source", "rewrites", "why", "opts", "uops"].includes(name) && !current() && items.length) return go({v: name, s: items[0].s, k: items[0].k, step: 0});
  go({v: name});
}

function heading(view, item) {
  const r = roof(item), p = D.programs[item.p];
  view.append(el("div", {class: "head"}, `<h2>${escapeHtml(item.name)}</h2><span>${item.kernel.lines.slice(0, 3).map(l => `<span class="chip" title="${escapeHtml(lineOf(l))}">${escapeHtml(shortLine(lineOf(l)))}</span>`).join("")}</span>` +
    `<span class="soft">${item.launches.length ? `${time(item.seconds / item.launches.length)} each, ${si(item.operations / item.seconds, "FLOP/s")}, ${si(item.bytes / item.seconds, "B/s")}` : p ? `${amount(p.operations, "op")}, ${amount(p.bytes, "B")}` : ""}` +
    (r ? `, <b class="${grade(r.share)}">${(r.share * 100).toFixed(0)}% of ${r.by}</b>` : "") + `</span>`));
}
function forKernel(view, body) {
  const item = current();
  if (!item) { view.append(el("p", {class: "soft"}, "Choose a kernel on the left.")); return; }
  heading(view, item); body(item, D.programs[item.p]);
}

function highlighted(source) {
  const rule = /(\/\/.*|\/\*[^]*?\*\/)|\b(void|for|if|else|return|const|static|inline|restrict|typedef|while|struct|extern|__global__|__shared__|__device__)\b|\b((?:unsigned|signed|long|int|float|double|char|short|half|_Float16|__bf16|bool|size_t)\b|[fiub]\d+x\d+u?\b|[fiu]\d+\b)|\b(\d[\d.]*(?:e[+-]?\d+)?f?)\b|\b([A-Za-z_]\w*)(?=\()/g;
  let out = "", at = 0;
  for (const m of source.matchAll(rule)) {
    out += escapeHtml(source.slice(at, m.index)); const kind = ["co", "kw", "ty", "nu", "fn"][m.slice(1).findIndex(g => g !== undefined)];
    out += `<span class="${kind}">${escapeHtml(m[0])}</span>`; at = m.index + m[0].length;
  }
  return (out + escapeHtml(source.slice(at))).split("\n").map((l, i) => `<span class="l">${i + 1}</span>${l}`).join("\n");
}

const views = {
  overview(view) {
    const all = merged(D.schedules.flatMap(s => s.kernels.map(k => k.item))).filter(i => i.launches.length);
    const seconds = all.reduce((a, i) => a + i.seconds, 0), launches = D.launches.length;
    const scheduling = D.schedules.reduce((a, s) => a + (s.name === "realize" ? s.seconds : 0), 0);
    const cards = el("div", {class: "cards"});
    for (const [a, b] of [[time(seconds), "inside of kernels"], [launches, "launches"], [D.programs.length, "different kernels"], [D.schedules.length, "schedules"], [time(scheduling), "scheduling"], [time(D.seconds), "in all, tracing included"],
                          [si(all.reduce((x, i) => x + i.operations, 0), "op"), "operations"], [si(all.reduce((x, i) => x + i.bytes, 0), "B"), "moved at least"]])
      cards.append(el("div", {class: "card"}, `<b>${a}</b><span class="soft">${b}</span>`));
    view.append(cards);
    const columns = el("div", {class: "columns"}); view.append(columns);
    for (const [name, device] of Object.entries(D.devices)) if (device.bandwidth) columns.append(roofline(name, device, all.filter(i => i.device === name)));
    const lines = new Map();
    for (const i of all) { const l = lines.get(i.line) || {line: i.line, seconds: 0, n: 0}; l.seconds += i.seconds; l.n += i.launches.length; lines.set(i.line, l); }
    const box = el("div"), table = el("table", {}, "<tr><th class=n>time</th><th class=n>share</th><th class=n>launches</th><th>line</th></tr>");
    for (const l of [...lines.values()].sort((a, b) => b.seconds - a.seconds).slice(0, 14)) {
      const row = el("tr", {class: "go", title: l.line}, `<td class=n>${time(l.seconds)}</td><td class=n>${(l.seconds / seconds * 100).toFixed(1)}%</td><td class=n>${l.n}</td><td>${escapeHtml(shortLine(l.line) || "copies")}</td>`);
      row.onclick = () => go({q: shortLine(l.line)}); table.append(row);
    }
    box.append(el("h2", {}, "Time by line"), table);
    columns.append(box);
    if (D.recordings.length) view.append(el("h3", {}, "Jitted functions: why they were recorded"), el("table", {}, D.recordings.map(r => `<tr><td>${escapeHtml(r[0])}</td><td>${escapeHtml(r[1])}</td><td class="n soft">${time(r[2])}</td></tr>`).join("")));
    view.append(el("p", {class: "soft"}, Object.values(D.devices).map(d => escapeHtml(d.description) + (d.bandwidth ? `: ${si(d.bandwidth, "B/s")}, ${si(d.compute, "FLOP/s")}` : "")).join("<br>")));
  },

  graph(view) {
    const bar = el("div", {class: "tools"}), select = el("select", {"aria-label": "schedule"}, D.schedules.map((s, i) => `<option value="${i}">${scheduleName(i)}</option>`).join(""));
    const at = state.run !== "all" ? +state.run : state.s >= 0 ? state.s : biggest(); select.value = at; select.onchange = () => go({run: select.value, s: -1, k: -1});
    const mode = el("select", {"aria-label": "what"}, `<option value="kernels">kernels and buffers</option><option value="lines">lines of the program</option>`); mode.value = state.g; mode.onchange = () => go({g: mode.value});
    const pane = el("div", {class: "pane", tabindex: 0}); bar.append(select, mode, ...zoomButtons(() => pane)); view.append(bar, pane); view.style.gap = "8px";
    const [dot, clicked, tips] = state.g === "lines" ? linesDot(at) : scheduleDot(at);
    layout(pane, dot, clicked, tips);
  },

  timeline(view) {
    view.append(el("div", {class: "tools"}, `<span class="soft">wheel or <kbd>+</kbd> <kbd>-</kbd> zoom, drag or arrows move, <kbd>0</kbd> fits; a click opens the kernel</span>`));
    const canvas = el("canvas", {tabindex: 0, id: "timeline", "aria-label": "timeline of launches"}); view.append(canvas); timeline(canvas);
  },

  memory(view) {
    const bar = el("div", {class: "tools"}), select = el("select", {"aria-label": "schedule"}, D.schedules.map((s, i) => `<option value="${i}">${scheduleName(i)}</option>`).join(""));
    const at = state.run !== "all" ? +state.run : state.s >= 0 ? state.s : biggest(); select.value = at; select.onchange = () => go({run: select.value, s: -1, k: -1});
    bar.append(select); view.append(bar); memoryPlan(view, at);
  },

  source(view) { forKernel(view, (item, p) => view.append(el("pre", {tabindex: 0}, p && p.source ? highlighted(p.source) : "no source: a copy between devices, or an interpreted kernel"))); },

  why(view) {
    forKernel(view, (item, p) => {
      const k = item.kernel;
      k.written.forEach((slot, i) => {
        const b = D.buffers[k.buffers[slot]], [text, edit, inside, stored, readers] = k.reasons[i], part = text.split(": ");
        view.append(el("div", {class: "why"}, `<b>${b[2]} (${b[1].join(", ")})</b> <span class="soft">${si(b[3], "B")}</span> lies in memory: <b>${escapeHtml(part[0])}</b>. ${escapeHtml(part.slice(1).join(": "))}` +
          (stored !== undefined ? `<br>computed inside of its ${readers} reader${readers > 1 ? "s" : ""} it would cost <b>${inside == null ? "too much to consider" : si(inside, "op")}</b>; stored it costs <b>${si(stored, "op")}</b> <span class="soft">(operations of the whole machine)</span>` : "") +
          `<br><span class="soft">to change it: ${escapeHtml(edit)}</span>`));
      });
      view.append(el("h3", {}, "Lines that it computes"), el("table", {}, k.lines.map(l => `<tr><td>${escapeHtml(lineOf(l))}</td></tr>`).join("") || "<tr><td class=soft>none</td></tr>"));
      view.append(el("h3", {}, "Buffers"), el("table", {}, "<tr><th>slot</th><th></th><th>what</th><th class=n>bytes</th><th>where</th></tr>" + k.buffers.map((n, i) => { const b = D.buffers[n]; return `<tr><td>${i}</td><td>${k.written.includes(i) ? "written" : "read"}</td><td>${b[2]} (${b[1].join(", ")})</td><td class=n>${si(b[3], "B")}</td><td class=soft>${b[4] == null ? "its own memory" : "byte " + b[5] + " of buffer " + b[4]}, ${b[0]}</td></tr>`; }).join("")));
      if (p) view.append(el("h3", {}, "By algebra"), el("table", {}, `<tr><td>operations</td><td>${amount(p.operations, "op")}</td></tr><tr><td>bytes at least</td><td>${amount(p.bytes, "B")}</td></tr><tr><td>intensity</td><td>${typeof p.operations === "number" && p.bytes ? (p.operations / p.bytes).toFixed(2) + " op/B" : "depends on variables"}</td></tr><tr><td>extent cut among threads</td><td>${p.threads}</td></tr><tr><td>workspace of a thread</td><td>${si(p.workspace, "B")}</td></tr>`));
    });
  },

  opts(view) {
    forKernel(view, (item, p) => {
      view.append(el("h3", {}, "Opts, in order"), el("ol", {}, p && p.opts.length ? p.opts.map(o => `<li><code>${escapeHtml(o)}</code></li>`).join("") : "<span class=soft>none</span>"));
      if (p) view.append(el("p", {class: "soft"}, p.tuned == null ? "The heuristic chose these." : `A search found these: ${(p.tuned * 100).toFixed(0)}% of the time that the heuristic's take.`));
      for (const s of D.searches.filter(s => s.ast === item.kernel.ast)) {
        const base = s.tried[0], used = p ? p.opts.join() : null;
        view.append(el("h3", {}, `What the search tried: ${s.tried.length}`), el("table", {class: "tried"}, "<tr><th class=n>time</th><th class=n>of the heuristic's</th><th></th><th>opts</th></tr>" + [...s.tried].sort((a, b) => a[1] - b[1]).slice(0, 200).map(t => `<tr class="${t[0].join() === used ? "used" : ""}"><td class=n>${time(t[1])}</td><td class=n>${(t[1] / base[1] * 100).toFixed(0)}%</td><td class=soft>${[t === base ? "heuristic" : "", t[0].join() === used ? "used" : ""].filter(Boolean).join(", ")}</td><td><code>${escapeHtml(t[0].join(", ")) || "none"}</code></td></tr>`).join("")));
      }
    });
  },

  uops(view) {
    forKernel(view, (item, p) => {
      view.append(el("h3", {}, "The kernel as the scheduler hands it on"), el("pre", {tabindex: 0, style: "flex: 0 0 auto; max-height: 45vh"}, escapeHtml(p && p.text || "not lowered while it was traced")));
      view.append(el("h3", {}, "The list that is rendered"), el("pre", {tabindex: 0}, escapeHtml(p && p.listing || "")));
    });
  },

  rewrites(view) { forKernel(view, (item, p) => rewrites(view, item, p)); },
};

const scheduleName = i => { const s = D.schedules[i]; return `${i}: ${s.name}, ${s.kernels.length} kernel${s.kernels.length > 1 ? "s" : ""}`; };
const biggest = () => D.schedules.reduce((best, s, i) => s.kernels.length >= D.schedules[best].kernels.length ? i : best, 0);

// ---- graphs of nodes

const INFIX = {ADD: "+", MUL: "*", IDIV: "//", MOD: "%", CMPLT: "<", CMPNE: "!=", AND: "&", OR: "|"};
const hidden = n => { const d = D.nodes[n]; return d[OP] === "CONST" || d[OP] === "VARIABLE" || d[OP] === "RANGE" || (d[DTYPE] === "index" && !["LOOP", "INDEX", "LOAD"].includes(d[OP])); };
function expression(n, depth = 6) {
  const d = D.nodes[n], arg = d[ARG];
  if (d[OP] === "CONST") return arg.split(":")[0];
  if (d[OP] === "RANGE" || d[OP] === "VARIABLE") return (/name='([^']*)'/.exec(arg) || /name="([^"]*)"/.exec(arg) || [0, arg])[1];
  if (!depth) return "…";
  if (INFIX[d[OP]] && d[SRC].length === 2) { const text = `${expression(d[SRC][0], depth - 1)}${INFIX[d[OP]]}${expression(d[SRC][1], depth - 1)}`; return d[OP] === "ADD" || d[OP] === "CMPLT" ? `(${text})` : text; }
  return `${d[OP].toLowerCase()}(${d[SRC].map(s => expression(s, depth - 1)).join(", ")})`;
}
function below(roots, stop = null) {
  const seen = new Set(), stack = [...roots], order = [];
  while (stack.length) { const n = stack.pop(); if (seen.has(n)) continue; seen.add(n); order.push(n); if (!(stop && stop.has(n))) stack.push(...D.nodes[n][SRC]); }
  return {seen, order};
}
const alike = n => D.nodes[n][OP] + "|" + D.nodes[n][DTYPE] + "|" + D.nodes[n][ARG];
function compare(before, after) {  // nodes that are new, gone, or only made again because of their sources
  const marks = new Map(); let gone = [...before].filter(n => !after.has(n)), made = [...after].filter(n => !before.has(n));
  for (const key of [n => alike(n) + "|" + D.nodes[n][SHAPE], alike]) {  // of the same shape first: lowering leaves none
    const waiting = new Map(); for (const n of gone) { const k = key(n); if (!waiting.has(k)) waiting.set(k, []); waiting.get(k).push(n); }
    made = made.filter(n => { const same = waiting.get(key(n)); if (!same || !same.length) return true; marks.set(n, "rebuilt"); marks.set(same.pop(), "rebuilt"); return false; });
    gone = gone.filter(n => !marks.has(n));
  }
  for (const n of made) marks.set(n, "new"); for (const n of gone) marks.set(n, "gone");
  return marks;
}

const quote = t => '"' + String(t).replace(/\\/g, "\\\\").replace(/"/g, '\\"').replace(/\n/g, "\\n") + '"';
const HEADER = 'digraph { rankdir=TB; bgcolor="transparent"; nodesep=0.18; ranksep=0.28; node [shape=box style=rounded fontname="Courier" fontsize=10 margin="0.09,0.04" height=0.2]; edge [arrowsize=0.5]; ';
const MOST = 90, MOST_WHOLE = 500;

function nodesDot(roots, marks, whole, stop = null) {
  const {order} = below(roots, stop); let visible = order.filter(n => !hidden(n)), left = 0;
  const cap = whole ? MOST_WHOLE : MOST;
  if (visible.length > cap) {  // what changed and what is near, then from the roots on
    const users = new Map(); for (const n of order) for (const s of D.nodes[n][SRC]) { if (!users.has(s)) users.set(s, []); users.get(s).push(n); }
    const chosen = new Set(), queue = visible.filter(n => ["new", "gone"].includes(marks.get(n))).slice(0, cap / 2);
    queue.push(...roots);
    for (let i = 0; i < queue.length && chosen.size < cap; i++) { const n = queue[i]; if (chosen.has(n) || hidden(n)) continue; chosen.add(n); queue.push(...D.nodes[n][SRC], ...(users.get(n) || [])); }
    left = visible.length - chosen.size; visible = visible.filter(n => chosen.has(n));
  }
  const there = new Set(visible); let dot = HEADER; const tips = {};
  for (const n of visible) {
    const d = D.nodes[n], inner = d[SRC].filter(hidden).map(s => expression(s)).join(", ");
    let label = d[OP]; const arg = d[ARG].replace(/views=\(/, "").replace(/View\(shape=/g, "(").replace(/strides=/g, "").replace(/, offset=0/g, "").replace(/\)+$/, ")");
    if (inner) label += " " + (inner.length > 44 ? inner.slice(0, 43) + "…" : inner);
    if (arg && d[OP] !== "BUFFER" && d[OP] !== "LOAD" && d[OP] !== "END") label += "\n" + (arg.length > 40 ? arg.slice(0, 39) + "…" : arg);
    if (d[SHAPE]) label += "\n" + d[DTYPE] + " (" + d[SHAPE].join(", ") + ")"; else if (d[DTYPE] !== "void") label += "  " + d[DTYPE];
    tips["n" + n] = `${d[OP]} ${d[DTYPE]}${d[SHAPE] ? " (" + d[SHAPE].join(", ") + ")" : ""}\n${d[ARG]}${inner ? "\n" + inner : ""}${d[LINE] != null ? "\nfrom " + lineOf(d[LINE]) : ""}`;
    dot += `n${n} [id="n${n}" class="${marks.get(n) || "kept"}" label=${quote(label)}];`;
    let missing = false;
    for (const s of d[SRC]) if (there.has(s)) dot += `n${s} -> n${n};`; else if (!hidden(s)) missing = true;
    if (missing && !(stop && stop.has(n))) dot += `e${n} [class="elided" label="⋯" width=0.2]; e${n} -> n${n};`;
  }
  return [dot + "}", left, tips];
}

function stepsOf(item, p) {  // what happened on the way, from the tensor graph on
  const steps = [], schedule = D.schedules[item.s];
  let source = schedule; if (!source.rewrites.length) source = D.schedules.find(s => s.rewrites.some(r => r[0] === "schedule" && r[3] === item.kernel.ast)) || schedule;
  const stored = source.rewrites.filter(r => r[0] === "schedule" && r[3] === item.kernel.ast);
  if (stored.length) {
    const stops = new Set(source.rewrites.filter(r => r[0] === "schedule").map(r => r[2])), own = new Set(stored.map(r => r[2]));
    for (const n of own) stops.delete(n);
    for (const [rules, rule, before, after] of source.rewrites.filter(r => r[0] === "graph")) {  // of tensors, before it was cut
      const stop = new Set([...stops].filter(n => n !== before && n !== after)), old = below([before], stop).seen, made = below([after], stop).seen;
      if (below([...own], stop).seen.has(before) || [...own].some(n => made.has(n) && !old.has(n))) steps.push({rules, rule, before: [before], after: [after], stop});
    }
    steps.push({rules: "schedule", rule: stored[0][1], before: [stored[0][2]], after: [item.kernel.ast], stop: stops});
  }
  let root = item.kernel.ast;
  if (p) for (const [rules, rule, next, before, after] of p.steps) { steps.push({rules, rule, before: root == null ? null : [root], after: next == null ? null : [next]}); root = next; }
  if (p && p.linear.length && root != null) steps.push({rules: "linearise", rule: "loops opened and closed, addresses and gates made", before: [root], after: null, text: p.listing});
  return steps;
}

function rewrites(view, item, p) {
  const steps = stepsOf(item, p);
  if (!steps.length) { view.append(el("p", {class: "soft"}, "This kernel was compiled before the trace began.")); return; }
  state.step = Math.max(0, Math.min(state.step, steps.length - 1));
  const box = el("div", {class: "rewrites"}), list = el("ol", {class: "steps", tabindex: 0, role: "listbox", "aria-label": "rewrites"}); view.append(box); box.append(list);
  steps.forEach((s, i) => { const li = el("li", {role: "option", "aria-selected": i === state.step}, `<small>${i + 1}. ${escapeHtml(s.rules)}</small>${escapeHtml(s.rule)}`); li.onclick = () => go({step: i}); list.append(li); if (i === state.step) setTimeout(() => li.scrollIntoView({block: "nearest"})); });
  const step = steps[state.step], panes = el("div", {class: "panes"}), pair = el("div", {class: "pair"}); box.append(panes);
  const set = roots => roots ? below(roots, step.stop).seen : new Set();
  const marks = step.after && step.before ? compare(set(step.before), set(step.after)) : new Map();
  const count = kind => [...marks.values()].filter(m => m === kind).length;
  const bar = el("div", {class: "tools"}, marks.size ? `<span class="chip new">${count("new")} new</span><span class="chip gone">${count("gone")} gone</span><span class="chip rebuilt">${count("rebuilt") / 2 | 0} made again</span>` : "");
  const whole = el("button", {onclick: () => go({whole: +!state.whole})}, state.whole ? "what changed (w)" : "whole graph (w)"); bar.append(whole);
  const both = [el("div", {class: "pane", tabindex: 0}), el("div", {class: "pane", tabindex: 0})];
  bar.append(...zoomButtons(() => panes)); panes.append(bar, pair); pair.append(...both);
  [["before", step.before], ["after", step.after]].forEach(([name, roots], i) => {
    if (roots) { const [dot, left, tips] = nodesDot(roots, marks, state.whole, i && step.rules !== "graph" ? null : step.stop); both[i].append(el("span", {class: "label"}, name + (left ? `: ${left} more nodes` : ""))); layout(both[i], dot, null, tips); }
    else if (step.text && i) both[i].append(el("pre", {style: "border: 0; min-height: 100%"}, escapeHtml(step.text)));
    else both[i].append(el("p", {class: "soft", style: "padding: 8px 12px"}, "too many nodes were made to keep this graph: see Source and UOps"));
  });
}

// ---- graphs of kernels and of lines

function scheduleDot(at) {
  const kernels = D.schedules[at].kernels, folds = kernels.length > 24 ? repeats(kernels.map(k => k.ast)) : [], groupOf = new Map(); let dot = HEADER; const clicked = {}, tips = {};
  for (const [start, p, n] of folds) for (let i = start; i < start + p * n; i++) groupOf.set(i, start);
  const named = k => groupOf.has(k) && !unfolded.has("g" + groupOf.get(k)) ? "g" + groupOf.get(k) : "k" + k;
  const most = Math.max(...kernels.map(k => k.item.seconds), 1e-12);
  for (const [start, p, n] of folds) if (!unfolded.has("g" + start)) {
    const seconds = kernels.slice(start, start + p * n).reduce((a, k) => a + k.item.seconds, 0);
    dot += `g${start} [id="g${start}" class="fold" label=${quote(`${n} × ${p} kernels\n${time(seconds)}`)} width=1.6];`; clicked["g" + start] = () => { unfolded.add("g" + start); draw(); };
    tips["g" + start] = "repeated kernels, such as layers: a click shows them all";
  }
  kernels.forEach((k, i) => {
    const name = named(i); if (name[0] === "g") return;
    const size = .3 + 1.1 * Math.sqrt(k.item.seconds / most), r = roof(k.item);
    dot += `k${i} [id="k${i}" class="${state.k === i && state.s === at ? "chosen" : "kept"}" height=${size.toFixed(2)} width=${(size * 1.6).toFixed(2)} label=${quote(`${k.item.name}\n${k.item.seconds ? time(k.item.seconds / k.item.launches.length) : ""}${r ? ` ${(r.share * 100).toFixed(0)}%` : ""}`)}];`;
    clicked["k" + i] = () => go({s: at, k: i, v: "source"}); tips["k" + i] = `${k.item.name}\n${k.item.line}\n${k.reasons.map(r => r[0]).join("\n")}`;
  });
  const writer = new Map(), edges = new Map(), buffers = new Map();
  const tiny = kernels.length > 40 ? 256 : 0;  // bytes: what everything reads would hide what matters
  kernels.forEach((k, i) => {
    k.buffers.forEach((b, slot) => { if (D.buffers[b][3] < tiny) return; const w = writer.get(b); if (w !== undefined && named(w) !== named(i)) { const id = `${named(w)}|${b}|${named(i)}`; edges.set(id, [named(w), b, named(i)]); } });
    k.written.forEach(slot => writer.set(k.buffers[slot], i));
  });
  const folded = new Map();
  for (const [from, b, to] of edges.values()) {
    const d = D.buffers[b];
    if (kernels.length <= 40 || from[0] === "k" || to[0] === "k") {
      const id = `b${b}_${from}`; if (!buffers.has(id)) { buffers.set(id, 1); const w = Math.min(1.6, .25 + .12 * Math.log2(1 + d[3] / 1024)); dot += `${id} [id="${id}" shape=ellipse class="memory" fontsize=8 margin="0.02,0.01" width=${w.toFixed(2)} height=0.18 label=${quote(si(d[3], "B"))}]; ${from} -> ${id} [arrowhead=none];`; tips[id] = `${d[2]} (${d[1].join(", ")}), ${si(d[3], "B")}`; }
      dot += `${id} -> ${to};`;
    } else folded.set(from + " -> " + to, (folded.get(from + " -> " + to) || 0) + 1);
  }
  for (const [edge, n] of folded) dot += `${edge} [penwidth=${Math.min(4, .6 + .4 * Math.log2(n)).toFixed(1)} label=${quote(n > 1 ? n + " buffers" : "")} fontsize=8];`;
  return [dot + "}", clicked, tips];
}

function linesDot(at) {
  let schedule = D.schedules[at]; if (!schedule.sinks.length) schedule = D.schedules.find(s => s.sinks.length && s.kernels.length === schedule.kernels.length) || schedule;
  const {order} = below(schedule.sinks), counts = new Map(), edges = new Map(), clicked = {}, tips = {}; let dot = HEADER;
  const line = n => D.nodes[n][LINE] == null ? -1 : D.nodes[n][LINE], seconds = new Map();
  for (const k of D.schedules[at].kernels) if (k.lines.length) seconds.set(k.lines[0], (seconds.get(k.lines[0]) || 0) + k.item.seconds);
  for (const n of order) { const l = line(n); counts.set(l, (counts.get(l) || 0) + 1); for (const s of D.nodes[n][SRC]) if (line(s) !== l) { const id = line(s) + "|" + l; edges.set(id, (edges.get(id) || 0) + 1); } }
  const most = Math.max(...seconds.values(), 1e-12);
  for (const [l, n] of counts) {
    const size = .3 + .9 * Math.sqrt((seconds.get(l) || 0) / most), text = l < 0 ? "no line" : shortLine(lineOf(l));
    dot += `l${l < 0 ? "x" : l} [id="l${l < 0 ? "x" : l}" class="kept" height=${size.toFixed(2)} label=${quote(`${text}\n${n} nodes${seconds.has(l) ? ", " + time(seconds.get(l)) : ""}`)}];`;
    tips["l" + l] = lineOf(l); clicked["l" + l] = () => go({q: text});
  }
  for (const [id, n] of edges) { const [a, b] = id.split("|"); dot += `l${a < 0 ? "x" : a} -> l${b < 0 ? "x" : b} [penwidth=${Math.min(3, .6 + .25 * Math.log2(n)).toFixed(1)}];`; }
  return [dot + "}", clicked, tips];
}

// ---- laying out: in a worker, so that the page never waits

let worker = null, jobs = new Map(), serial = 0, library = null;
async function startWorker() {
  library = library || await inflate("layout");
  worker = new Worker(URL.createObjectURL(new Blob([library, `\nconst ready = Viz.instance(); onmessage = async e => { try { postMessage([e.data[0], (await ready).renderString(e.data[1], {format: "svg"})]); } catch (error) { postMessage([e.data[0], null, String(error)]); } };`], {type: "text/javascript"})));
  worker.onmessage = e => { const job = jobs.get(e.data[0]); jobs.delete(e.data[0]); if (job) job(e.data[1], e.data[2]); };
}
async function layout(pane, dot, clicked, tips) {
  const note = el("p", {class: "soft", style: "padding: 20px"}, "laying out…"); pane.append(note);
  if (jobs.size > 3 && worker) { worker.terminate(); worker = null; jobs.clear(); }  // nobody looks at those any more
  if (!worker) await startWorker();
  const number = ++serial;
  jobs.set(number, (svg, error) => {
    if (!pane.isConnected) return;
    note.remove();
    if (!svg) { pane.append(el("p", {class: "soft"}, "no layout: " + escapeHtml(error))); return; }
    const holder = document.createElement("div"); holder.innerHTML = svg.slice(svg.indexOf("<svg")); const picture = holder.querySelector("svg");
    for (const title of picture.querySelectorAll("title")) title.remove();
    picture.dataset.width = parseFloat(picture.getAttribute("width")); picture.dataset.height = parseFloat(picture.getAttribute("height"));
    pane.append(picture); fit(pane); pane.dataset.done = "1";
    picture.addEventListener("mousemove", e => { const g = e.target.closest(".node"); tip(g && tips && tips[g.id] || "", e); });
    picture.addEventListener("mouseleave", () => tip(""));
    picture.addEventListener("click", e => { const g = e.target.closest(".node"); if (g && clicked && clicked[g.id]) clicked[g.id](); });
  });
  worker.postMessage([number, dot]);
}
function scale(pane, factor) { for (const svg of pane.querySelectorAll("svg[data-width]")) { svg.dataset.scale = factor === null ? svg.dataset.fit : Math.max(.02, Math.min(8, svg.dataset.scale * factor)); svg.setAttribute("width", svg.dataset.width * svg.dataset.scale * 1.333); svg.setAttribute("height", svg.dataset.height * svg.dataset.scale * 1.333); } }
function fit(pane) {
  for (const svg of pane.querySelectorAll("svg[data-width]")) { const box = svg.parentElement, f = Math.min(1.1, (box.clientWidth - 24) / (svg.dataset.width * 1.333)); svg.dataset.fit = Math.max(f, .5); svg.dataset.scale = svg.dataset.fit; }
  scale(pane, null); pane.scrollLeft = (pane.scrollWidth - pane.clientWidth) / 2;
}
const zoomButtons = pane => [["−", .8], ["+", 1.25], ["fit", null]].map(([text, factor]) => el("button", {onclick: () => scale(pane(), factor), "aria-label": text === "fit" ? "fit" : factor < 1 ? "zoom out" : "zoom in"}, text));

// ---- plots

function svgPlot(width, height, inner) { const box = el("div"); box.innerHTML = `<svg width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img">${inner}</svg>`; return box; }

function roofline(name, device, list) {
  const W = 520, H = 330, L = 64, B = 34, points = list.filter(i => i.bytes && i.seconds && i.operations);
  const xs = points.map(i => i.operations / i.bytes), ridge = device.compute / device.bandwidth;
  const x0 = Math.min(.1, ...xs) / 1.5, x1 = Math.max(ridge * 8, ...xs) * 1.5, y1 = Math.max(device.compute, ...points.map(i => i.operations / i.seconds)) * 2, y0 = Math.min(device.compute / 1e4, ...points.map(i => i.operations / i.seconds)) / 1.5;
  const X = x => L + Math.log(x / x0) / Math.log(x1 / x0) * (W - L - 8), Y = y => H - B - Math.log(y / y0) / Math.log(y1 / y0) * (H - B - 8);
  let inner = "";
  for (let e = Math.ceil(Math.log10(x0)); e <= Math.log10(x1); e++) inner += `<line class="axis" x1="${X(10 ** e)}" x2="${X(10 ** e)}" y1="8" y2="${H - B}"/><text class="soft" x="${X(10 ** e)}" y="${H - B + 14}" text-anchor="middle" font-size="11">${10 ** e < 1 ? (10 ** e).toPrecision(1) : 10 ** e}</text>`;
  for (let e = Math.ceil(Math.log10(y0)); e <= Math.log10(y1); e++) inner += `<line class="axis" x1="${L}" x2="${W - 8}" y1="${Y(10 ** e)}" y2="${Y(10 ** e)}"/><text class="soft" x="${L - 5}" y="${Y(10 ** e) + 4}" text-anchor="end" font-size="11">${si(10 ** e, "")}</text>`;
  inner += `<path class="roof" d="M${X(x0)},${Y(Math.max(y0, x0 * device.bandwidth))} L${X(ridge)},${Y(device.compute)} L${X(x1)},${Y(device.compute)}"/>`;
  const most = Math.max(...points.map(i => i.seconds), 1e-12);
  points.sort((a, b) => b.seconds - a.seconds).forEach((i, n) => inner += `<circle class="dot${i.s === state.s && i.k === state.k ? " chosen" : ""}" tabindex="0" data-n="${n}" cx="${X(i.operations / i.bytes)}" cy="${Y(i.operations / i.seconds)}" r="${3 + 11 * Math.sqrt(i.seconds / most)}"/>`);
  inner += `<text class="soft" x="${(L + W) / 2}" y="${H - 4}" text-anchor="middle" font-size="11">operations a byte</text>`;
  const box = svgPlot(W, H, inner); box.prepend(el("h2", {}, `Roofline of ${name} <span class="soft">FLOP/s; a dot is a kernel, its area the time</span>`));
  for (const dot of box.querySelectorAll(".dot")) { const i = points[+dot.dataset.n], r = roof(i); dot.onclick = () => choose(i); dot.onkeydown = e => e.key === "Enter" && choose(i); dot.onmousemove = e => tip(`${i.name}\n${i.line}\n${time(i.seconds)} in ${i.launches.length} launches\n${si(i.operations / i.seconds, "FLOP/s")}, ${(i.operations / i.bytes).toFixed(2)} op/B, ${(r.share * 100).toFixed(0)}% of ${r.by}`, e); dot.onmouseleave = () => tip(""); }
  return box;
}

function timeline(canvas) {
  const height = 190, lanes = [["schedule", 26], ["kernels", 62]], events = [];
  D.schedules.forEach((s, i) => s.name === "realize" && events.push({lane: 0, at: s.at, seconds: s.seconds, text: `schedule ${i}: ${s.kernels.length} kernels`, s: i}));
  for (const l of D.launches) { const item = D.schedules[l[0]].kernels[l[1]].item; events.push({lane: 1, at: l[4], seconds: l[5], item, text: `${item.name}\n${item.line}\n${time(l[5])} at ${time(l[4])}`}); }
  const start = Math.min(...events.map(e => e.at)), end = Math.max(...events.map(e => e.at + e.seconds)); let from = start, to = end;
  const table = el("table"), note = el("p", {class: "soft"}); canvas.after(note, table);
  const hues = new Map(), hue = p => { if (!hues.has(p)) hues.set(p, hues.size * 137.5 % 360); return hues.get(p); };
  const paint = () => {
    const ratio = devicePixelRatio || 1, width = canvas.clientWidth; canvas.width = width * ratio; canvas.height = height * ratio; canvas.style.height = height + "px";
    const c = canvas.getContext("2d"), style = getComputedStyle(document.documentElement), dark = document.documentElement.dataset.theme === "dark"; c.scale(ratio, ratio); c.clearRect(0, 0, width, height); c.font = "11px system-ui";
    const X = t => (t - from) / (to - from) * width, step = 10 ** Math.floor(Math.log10((to - from) / 6)), unit = (to - from) / step > 12 ? step * 2 : step;
    c.fillStyle = style.getPropertyValue("--soft"); c.strokeStyle = style.getPropertyValue("--line");
    for (let t = start + Math.ceil((from - start) / unit) * unit; t < to; t += unit) { c.beginPath(); c.moveTo(X(t), 0); c.lineTo(X(t), height); c.stroke(); c.fillText(t - start < unit / 2 ? "0" : time(t - start), X(t) + 3, 12); }
    for (const e of events) {
      const x = X(e.at), w = Math.max(1, X(e.at + e.seconds) - x); if (x > width || x + w < 0) continue;
      const y = 24 + e.lane * 60; c.fillStyle = e.lane ? `hsl(${hue(e.item.p)} 55% ${dark ? 45 : 68}%)` : style.getPropertyValue("--chip"); c.fillRect(x, y, w, e.lane ? 70 : 40);
      if (w > 44) { c.fillStyle = style.getPropertyValue("--text"); c.save(); c.beginPath(); c.rect(x, y, w, 70); c.clip(); c.fillText(e.lane ? e.item.name : e.text, Math.max(0, x) + 4, y + 16); if (e.lane) c.fillText(time(e.seconds), Math.max(0, x) + 4, y + 32); c.restore(); }
    }
    c.fillStyle = style.getPropertyValue("--soft"); c.fillText("scheduling", 4, 78); c.fillText("kernels", 4, 170);
    const seen = new Map(); let inside = 0;  // what lies in the window, by kernel
    for (const e of events) if (e.lane && e.at < to && e.at + e.seconds > from) { const k = e.item.name + "|" + e.item.line, v = seen.get(k) || {item: e.item, seconds: 0, n: 0}, d = Math.min(to, e.at + e.seconds) - Math.max(from, e.at); v.seconds += d; v.n++; inside += d; seen.set(k, v); }
    table.innerHTML = `<tr><th class=n>time</th><th class=n>share</th><th class=n>launches</th><th>kernel</th><th>line</th></tr>`;
    for (const v of [...seen.values()].sort((a, b) => b.seconds - a.seconds).slice(0, 16)) { const row = el("tr", {class: "go"}, `<td class=n>${time(v.seconds)}</td><td class=n>${(v.seconds / (to - from) * 100).toFixed(1)}%</td><td class=n>${v.n}</td><td>${escapeHtml(v.item.name)}</td><td>${escapeHtml(shortLine(v.item.line))}</td>`); row.onclick = () => choose(v.item); table.append(row); }
    note.textContent = `in view: ${time(to - from)}, of which ${(inside / (to - from) * 100).toFixed(1)}% inside of kernels`;
  };
  const at = e => { const box = canvas.getBoundingClientRect(), t = from + (e.clientX - box.left) / box.width * (to - from), y = e.clientY - box.top, lane = y < 74 ? 0 : 1, slack = (to - from) / box.width; return events.find(v => v.lane === lane && v.at - slack <= t && t <= v.at + v.seconds + slack); };
  const zoomBy = (f, t) => { from = t - (t - from) * f; to = t + (to - t) * f; if (to - from > end - start) { from = start; to = end; } paint(); };
  canvas.onwheel = e => { e.preventDefault(); const box = canvas.getBoundingClientRect(); zoomBy(e.deltaY > 0 ? 1.25 : .8, from + (e.clientX - box.left) / box.width * (to - from)); };
  let drag = null, moved = false; canvas.onpointerdown = e => { drag = [e.clientX, from, to]; moved = false; };
  canvas.onpointermove = e => { if (drag && e.buttons) { const d = (e.clientX - drag[0]) / canvas.clientWidth * (drag[2] - drag[1]); if (Math.abs(e.clientX - drag[0]) > 3) moved = true; from = drag[1] - d; to = drag[2] - d; paint(); } else { const v = at(e); tip(v ? v.text : "", e); } };
  canvas.onpointerup = e => { drag = null; if (moved) return; const v = at(e); if (v && v.item) choose(v.item); else if (v) go({run: String(v.s), v: "graph"}); };
  canvas.onmouseleave = () => tip("");
  canvas.onkeydown = e => { const m = (from + to) / 2, d = (to - from) / 5; const act = {"+": () => zoomBy(.8, m), "=": () => zoomBy(.8, m), "-": () => zoomBy(1.25, m), "0": () => { from = start; to = end; paint(); }, ArrowLeft: () => { from -= d; to -= d; paint(); }, ArrowRight: () => { from += d; to += d; paint(); }}[e.key]; if (act) { act(); e.preventDefault(); e.stopPropagation(); } };
  paint(); canvas.repaint = paint;
}

function memoryPlan(view, at) {
  const kernels = D.schedules[at].kernels, life = new Map();
  kernels.forEach((k, i) => k.buffers.forEach((b, slot) => { const l = life.get(b) || {b, first: i, last: i, written: false}; l.last = i; l.written = l.written || k.written.includes(slot); life.set(b, l); }));
  const inside = [...life.values()].filter(l => D.buffers[l.b][4] != null), outside = [...life.values()].filter(l => D.buffers[l.b][4] == null);
  const size = Math.max(1, ...inside.map(l => D.buffers[l.b][5] + D.buffers[l.b][3])), W = Math.max(640, view.clientWidth - 48), L = 70, H = 360, X = i => L + i / kernels.length * (W - L);
  const sum = list => list.reduce((a, l) => a + D.buffers[l.b][3], 0);
  view.append(el("p", {}, `<b>${inside.length}</b> buffers between kernels share <b>${si(size, "B")}</b>; apart they would take ${si(sum(inside), "B")}. <b>${outside.length}</b> others have memory of their own: ${si(sum(outside.filter(l => l.written)), "B")} written, ${si(sum(outside.filter(l => !l.written)), "B")} only read.`));
  const plot = (list, height, y, h, label) => {
    let inner = `<text class="soft" x="0" y="12" font-size="11">${label}</text>`;
    for (let f = 0; f <= 4; f++) inner += `<line class="axis" x1="${L}" x2="${W}" y1="${height * f / 4 + 18}" y2="${height * f / 4 + 18}"/>`;
    list.forEach((l, n) => inner += `<rect data-n="${n}" class="dot" x="${X(l.first)}" width="${Math.max(2, X(l.last + 1) - X(l.first) - 1)}" y="${y(l) + 18}" height="${Math.max(1.5, h(l))}" rx="1"/>`);
    const box = svgPlot(W, height + 24, inner); view.append(box);
    for (const r of box.querySelectorAll("rect")) { const l = list[+r.dataset.n], d = D.buffers[l.b], k = kernels[l.first]; r.onmousemove = e => tip(`${d[2]} (${d[1].join(", ")}), ${si(d[3], "B")}\nkernels ${l.first} to ${l.last}${l.written ? "" : ", only read"}\n${k.item.name}\n${k.item.line}`, e); r.onmouseleave = () => tip(""); r.onclick = () => choose(k.item); }
  };
  if (inside.length) plot(inside, H, l => D.buffers[l.b][5] / size * H, l => D.buffers[l.b][3] / size * H - .5, `bytes of the arena, downwards; kernels 0 to ${kernels.length - 1} to the right`);
  const written = outside.filter(l => l.written).sort((a, b) => D.buffers[b.b][3] - D.buffers[a.b][3]).slice(0, 60), rest = outside.filter(l => !l.written).sort((a, b) => D.buffers[b.b][3] - D.buffers[a.b][3]).slice(0, 60);
  if (written.length) plot(written, written.length * 7, l => written.indexOf(l) * 7, () => 5, "memory of its own that is written, largest first");
  if (rest.length) plot(rest, rest.length * 7, l => rest.indexOf(l) * 7, () => 5, "memory that is only read, such as weights");
}

// ---- keys and the start

function theme(next) { document.documentElement.dataset.theme = next; const t = $("timeline"); if (t) t.repaint(); }
addEventListener("keydown", e => {
  if (e.target.tagName === "INPUT") { if (e.key === "Escape") { e.target.blur(); go({q: ""}); } else if (e.key === "Enter") { e.target.blur(); if (items.length) choose(items[0]); } return; }
  if (e.ctrlKey || e.metaKey || e.altKey || e.target.tagName === "SELECT" || $("keys").open) return;
  const names = TABS.filter(Boolean).map(t => t[0]), number = "123456789".indexOf(e.key);
  if (number >= 0 && names[number]) return show(names[number]);
  const act = {j: () => move(1), k: () => move(-1), "]": () => go({step: state.step + 1}), "[": () => go({step: Math.max(0, state.step - 1)}), w: () => go({whole: +!state.whole}), "/": () => $("search").focus(),
               t: () => $("theme").click(), "?": () => $("keys").showModal(), "+": () => scale($("view"), 1.25), "=": () => scale($("view"), 1.25), "-": () => scale($("view"), .8), "0": () => scale($("view"), null),
               ArrowDown: () => document.activeElement === $("list") && move(1), ArrowUp: () => document.activeElement === $("list") && move(-1)}[e.key];
  if (act) { if (act() !== false) e.preventDefault(); }
});
let stored = null; try { stored = localStorage.getItem("minigrad-theme"); } catch (e) { /* a file may have no storage */ }
theme(stored || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"));
$("theme").onclick = () => { theme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"); try { localStorage.setItem("minigrad-theme", document.documentElement.dataset.theme); } catch (e) { /* a file may have no storage */ } };
$("help").onclick = () => $("keys").showModal();
addEventListener("popstate", () => { readAddress(); draw(); });
addEventListener("resize", () => { const t = $("timeline"); if (t) t.repaint(); });
(async () => {
  await new Promise(r => requestAnimationFrame(() => setTimeout(r)));  // paint first
  D = JSON.parse(await inflate("data"));
  prepare();
  $("what").textContent = D.command.join(" "); $("what").title = D.command.join(" "); document.title = "minigrad: " + (D.command[0] || "").split("/").slice(-1)[0];
  $("run").append(el("option", {value: "all"}, "all runs")); D.schedules.forEach((s, i) => $("run").append(el("option", {value: i}, scheduleName(i))));
  for (const [value, text] of [["time", "by time"], ["launch", "as launched"], ["roof", "by roof"]]) $("order").append(el("option", {value}, text));
  $("search").oninput = () => go({q: $("search").value}); $("run").onchange = () => go({run: $("run").value, order: $("run").value === "all" ? "time" : "launch", s: -1, k: -1}); $("order").onchange = () => go({order: $("order").value});
  readAddress(); draw();
})();
