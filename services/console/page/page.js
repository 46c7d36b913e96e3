"use strict";
// Everything shown comes from the data in this page; text is only ever set as text.
const $ = (id) => document.getElementById(id);

function el(tag, attributes = {}, ...children) {
  const node = tag.startsWith("svg:")
    ? document.createElementNS("http://www.w3.org/2000/svg", tag.slice(4))
    : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") for (const [event, act] of Object.entries(value)) node.addEventListener(event, act);
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}

async function unpacked(text) {
  const bytes = Uint8Array.from(atob(text.trim()), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).text();
}

const number = (value, digits = 2) => Number(value).toLocaleString("en", { maximumFractionDigits: digits });
const bits = (value) => Number(value).toFixed(2);
const NAMES = { domain: "Domain entropy", mode_exact: "Reasoning mode, exact", mode_coarse: "Reasoning mode, coarse" };
const COLOURS = { domain: "var(--one)", mode_exact: "var(--two)", mode_coarse: "var(--three)" };

function section(id, title, note, ...children) {
  return el("section", { id }, el("h2", {}, title), note ? el("p", { class: "note" }, note) : null, ...children);
}

// Charts are drawn as wide as their place is, and again when that changes.
function drawn(place, draw) {
  let width = 0;
  new ResizeObserver(() => {
    const now = Math.round(place.clientWidth);
    if (now && now !== width) { width = now; place.replaceChildren(draw(now)); }
  }).observe(place);
  return place;
}

function steps(most, wanted) {
  const rough = most / wanted || 1, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough);
  const found = [];
  for (let at = 0; at <= most * 1.0001; at += step) found.push(at);
  return found;
}

function line(xs, ys, x, y) {
  return xs.map((value, at) => (at ? "L" : "M") + x(value).toFixed(1) + " " + y(ys[at]).toFixed(1)).join("");
}

function lineChart(name, series) {
  const readout = el("div", { class: "readout" });
  const ns = series.n, values = series[name], limit = series.ceiling, last = ns.length - 1;
  const tell = (at) => { readout.textContent = `after ${ns[at]}: H ${bits(values[at])}, log2 N ${bits(limit[at])} bits`; };
  const place = el("div", { class: "chart" });
  drawn(place, (width) => {
    const height = 190, left = 28, right = 8, top = 8, bottom = 22;
    const most = Math.max(1, ...limit, ...values);
    const x = (n) => left + (width - left - right) * (n - ns[0]) / Math.max(1, ns[last] - ns[0]);
    const y = (v) => height - bottom - (height - top - bottom) * v / most;
    const svg = el("svg:svg", { viewBox: `0 0 ${width} ${height}`, height, role: "img",
      "aria-label": `${NAMES[name]}: ${bits(values[last])} bits after ${ns[last]} trajectories; log2 N is ${bits(limit[last])}` });
    for (const v of steps(most, 4)) svg.append(
      el("svg:line", { class: "axis", x1: left, x2: width - right, y1: y(v), y2: y(v) }),
      el("svg:text", { x: left - 6, y: y(v) + 4, "text-anchor": "end" }, number(v, 1)));
    for (const n of steps(ns[last], Math.max(2, Math.floor(width / 90)))) if (n >= ns[0]) svg.append(
      el("svg:text", { x: x(n), y: height - 5, "text-anchor": "middle" }, number(n)));
    svg.append(
      el("svg:path", { d: line(ns, limit, x, y), fill: "none", stroke: "var(--limit)", "stroke-width": 1.5, "stroke-dasharray": "5 4" }),
      el("svg:path", { d: line(ns, values, x, y), fill: "none", stroke: COLOURS[name], "stroke-width": 2.2 }));
    const cross = el("svg:line", { class: "axis", y1: top, y2: height - bottom, visibility: "hidden" });
    svg.append(cross);
    svg.addEventListener("pointermove", (event) => {
      const box = svg.getBoundingClientRect(), px = (event.clientX - box.left) * width / box.width;
      let at = 0;
      for (let i = 0; i <= last; i += 1) if (Math.abs(x(ns[i]) - px) < Math.abs(x(ns[at]) - px)) at = i;
      cross.setAttribute("x1", x(ns[at])); cross.setAttribute("x2", x(ns[at])); cross.setAttribute("visibility", "visible");
      tell(at);
    });
    svg.addEventListener("pointerleave", () => { cross.setAttribute("visibility", "hidden"); tell(last); });
    return svg;
  });
  tell(last);
  return el("div", { class: "card", "data-chart": name }, el("h3", {}, NAMES[name]),
    el("div", { class: "note" }, el("span", { class: "key", style: `color:${COLOURS[name]}` }), "H in bits",
      el("span", { class: "key dashed", style: "margin-left:16px" }), "log2 N"), place, readout);
}

function histogram(complexity) {
  const counts = complexity.histogram, step = complexity.bin_width, most = Math.max(1, ...counts);
  const label = (at) => at + 1 < counts.length ? `${at * step}–${(at + 1) * step}` : `${at * step}+`;
  return drawn(el("div", {}), (width) => {
    const height = 210, left = 36, bottom = 24, top = 8, wide = (width - left) / counts.length;
    const svg = el("svg:svg", { viewBox: `0 0 ${width} ${height}`, height, role: "img", "aria-label": "Histogram of complexity" });
    const y = (v) => height - bottom - (height - top - bottom) * v / most;
    for (const v of steps(most, 4)) if (v === Math.round(v)) svg.append(
      el("svg:line", { class: "axis", x1: left, x2: width, y1: y(v), y2: y(v) }),
      el("svg:text", { x: left - 6, y: y(v) + 4, "text-anchor": "end" }, number(v)));
    counts.forEach((count, at) => {
      const bar = el("svg:rect", { x: left + at * wide + 1.5, width: Math.max(1, wide - 3), y: y(count), height: height - bottom - y(count), fill: "var(--one)", rx: 2 },
        el("svg:title", {}, `complexity ${label(at)}: ${count}`));
      svg.append(bar);
      if (wide > 44 || at % 2 === 0) svg.append(el("svg:text", { x: left + at * wide + (wide > 44 ? wide / 2 : 2), y: height - 6, "text-anchor": wide > 44 ? "middle" : "start" }, wide > 44 ? label(at) : String(at * step)));
    });
    return svg;
  });
}

function bars(pairs, colour) {
  const most = Math.max(...pairs.map((pair) => pair[1]), 1e-9), grid = el("div", { class: "bars" });
  for (const [name, mass] of pairs) grid.append(el("span", {}, name),
    el("span", {}, el("i", { style: `width:${(100 * mass / most).toFixed(2)}%;background:${colour}` })), el("span", {}, number(mass, 1)));
  return grid;
}

function longBars(pairs, colour, shown = 16) {
  const place = el("div", {}, bars(pairs.slice(0, shown), colour));
  if (pairs.length > shown) place.append(el("details", {}, el("summary", {}, `${pairs.length - shown} more`), bars(pairs.slice(shown), colour)));
  return place;
}

function heatMap(archive) {
  const { domains, modes, cells } = archive, gap = 2;
  const left = 8 + 7.2 * Math.max(...domains.map((d) => d.length)), top = 10 + 5.2 * Math.max(...modes.map((m) => m.length));
  const most = Math.max(1, ...cells.map((cell) => Math.max(...cell[2])));
  const filled = new Map(cells.map((cell) => [cell[0] + " " + cell[1], cell[2]]));
  const place = drawn(el("div", {}), (room) => {
    const side = Math.max(22, Math.min(40, (room - left - 70) / modes.length - gap));
    const width = left + modes.length * (side + gap) + 70, height = top + domains.length * (side + gap);
    const svg = el("svg:svg", { viewBox: `0 0 ${width} ${height}`, height, style: `width:${width}px`, role: "img", "aria-label": "Archive: domain by coarse mode; four slots a cell, one per complexity band" });
    modes.forEach((mode, m) => svg.append(el("svg:text", { transform: `translate(${left + m * (side + gap) + side / 2},${top - 6}) rotate(-45)` }, mode)));
    domains.forEach((domain, d) => {
      const y = top + d * (side + gap);
      svg.append(el("svg:text", { x: left - 8, y: y + side / 2 + 4, "text-anchor": "end" }, domain));
      modes.forEach((mode, m) => {
        const x = left + m * (side + gap), counts = filled.get(d + " " + m) || [0, 0, 0, 0];
        const cell = el("svg:g", {}, el("svg:rect", { x, y, width: side, height: side, fill: "var(--line)", opacity: 0.45, rx: 2 }));
        counts.forEach((count, b) => { if (count) cell.append(el("svg:rect", { x: x + b * side / 4 + 0.5, y: y + 1, width: side / 4 - 1, height: side - 2, fill: `rgba(var(--heat),${(0.3 + 0.7 * Math.log1p(count) / Math.log1p(most)).toFixed(2)})` })); });
        cell.append(el("svg:title", {}, `${domain}, ${mode}: ${counts.map((count, b) => `${count} in band ${b}`).join(", ")}`));
        svg.append(cell);
      });
    });
    return svg;
  });
  return el("div", { class: "card scroll", id: "heat" }, place);
}

function table(headings, rows) {
  const cell = (tag, value, at) => el(tag, { class: at && typeof rows[0]?.[at] === "number" ? "n" : null }, typeof value === "number" ? number(value, 3) : String(value));
  return el("div", { class: "scroll" }, el("table", {}, el("thead", {}, el("tr", {}, ...headings.map((h, at) => cell("th", h, at)))),
    el("tbody", {}, ...rows.map((row) => el("tr", {}, ...row.map((value, at) => cell("td", value, at)))))));
}

function pretty(text) {
  try { return JSON.stringify(JSON.parse(text), null, 2); } catch { return text; }
}

function long(text) {
  if (text.length <= 700) return el("pre", {}, text);
  return el("details", {}, el("summary", {}, text.slice(0, 160).replace(/\s+/g, " ") + ` … (${number(text.length)} characters)`), el("pre", {}, text));
}

function plan(one) {
  const left = [...one.messages.flatMap((message) => message.tool_calls || []).map((call) => call.function.name)];
  return one.steps.map((step) => {
    const at = left.indexOf(step.tool), done = at >= 0;
    if (done) left.splice(at, 1);
    return el("div", { class: "step " + (done ? "done" : "missed") }, el("div", { class: "who" }, `${step.id} · wave ${step.wave}${done ? "" : " · not called"}`),
      el("code", {}, step.tool), step.purpose ? el("div", {}, step.purpose) : null,
      ...step.arguments.map(([name, value]) => el("div", { class: "facts", style: "margin:0" }, `${name} = ${value}`)),
      step.fault ? el("div", { class: "bad" }, `injected fault: ${step.fault}`) : null);
  });
}

function happened(one) {
  const found = [];
  for (const message of one.messages) {
    if (message.role === "system") continue;
    if (message.role === "tool") {
      const failed = /^\s*\{\s*"error"\s*:/.test(message.content);
      found.push(el("div", { class: "turn tool" + (failed ? " failed" : "") }, el("div", { class: "who" }, (message.name || "tool") + (failed ? " fails" : " returns")), long(pretty(message.content))));
      continue;
    }
    if (message.content) found.push(el("div", { class: "turn " + message.role }, el("div", { class: "who" }, message.role), el("div", { class: "words" }, message.content)));
    for (const call of message.tool_calls || []) found.push(el("div", { class: "turn call" }, el("div", { class: "who" }, message.role + " calls"), el("code", {}, call.function.name), long(pretty(call.function.arguments))));
  }
  return found;
}

function detail(one) {
  const facts = one.facts.map(([name, value]) => `${name}: ${value}`).join(" · ");
  return [el("h3", {}, one.id), el("p", {}, one.goal), el("p", { class: "facts" }, facts),
    el("div", { class: "two" },
      el("div", { id: "plan" }, el("h3", {}, "The blueprint"), ...plan(one),
        one.holds.length ? el("details", {}, el("summary", {}, `${one.holds.length} ${one.holds.length === 1 ? "fact" : "facts"} that the user holds`), ...one.holds.map((fact) => el("div", { class: "facts", style: "margin:0" }, fact))) : null,
        one.answers.length ? el("p", { class: "facts" }, "The answer must report: " + one.answers.join(", ")) : null,
        one.distractors.length ? el("p", { class: "facts" }, "On offer and not needed: " + one.distractors.join(", ")) : null),
      el("div", { id: "happened" }, el("h3", {}, "What happened"), ...happened(one)))];
}

// Trajectories: a line of each in ``rows``, which may grow; ``chunkOf`` promises the texts of ``size`` of them.
function reader(rows, size, chunkOf) {
  const ROW = 76, texts = new Map();
  const search = el("input", { type: "search", id: "search", placeholder: "Search goals, tools, domains, modes", "aria-label": "Search" });
  const choose = (name) => el("select", { "aria-label": name }, el("option", { value: "" }, name));
  const options = (at, values) => { for (const value of values) if (![...at.options].some((one) => one.value === value)) at.append(el("option", { value }, value)); };
  const domain = choose("every domain"), mode = choose("every mode"), band = choose("every band");
  options(band, ["band 0", "band 1", "band 2", "band 3"]);
  const whole = el("input", { type: "checkbox", id: "whole" }), count = el("span", { class: "note", id: "count", style: "margin:0" });
  const space = el("div", { class: "space" }), list = el("div", { id: "list", class: "card" }, space), shown = el("div", { id: "detail", class: "card" });
  const place = el("div", { class: "reader" }, list, shown);
  let found = rows.map((_, at) => at), current = -1, turn = 0;

  const chunk = async (at) => {  // the last few are kept, unless there is more of one by now
    const wanted = Math.min(size, rows.length - at * size);
    if (!texts.has(at) || texts.get(at).length < wanted) {
      texts.set(at, (await chunkOf(at)).split("\n"));
      if (texts.size > 8) texts.delete(texts.keys().next().value);
    }
    return texts.get(at);
  };
  const paint = () => {  // only what is in sight
    const from = Math.max(0, Math.floor(list.scrollTop / ROW) - 4), to = Math.min(found.length, from + Math.ceil(list.clientHeight / ROW) + 8);
    space.style.height = found.length * ROW + "px";
    space.replaceChildren(...found.slice(from, to).map((at, n) => {
      const row = rows[at];
      return el("button", { type: "button", style: `top:${(from + n) * ROW}px`, "aria-current": String(at === current), on: { click: () => open(at) } },
        el("b", {}, row.goal), el("span", {}, `${row.id} · ${row.domains.join(", ")}`), el("span", {}, `${row.mode} · complexity ${number(row.complexity, 1)}`));
    }));
  };
  const open = async (at) => {
    current = at;
    const line = (await chunk(Math.floor(at / size)))[at % size];
    shown.replaceChildren(el("button", { type: "button", id: "back", on: { click: () => { wrap.classList.remove("open"); place.classList.remove("open"); paint(); } } }, "← all trajectories"), ...detail(JSON.parse(line)));
    shown.scrollTop = 0;
    if (place.dataset.ready) { place.classList.add("open"); wrap.classList.add("open"); }
    paint();
  };
  const filter = async (stay) => {
    const mine = turn += 1, wanted = search.value.trim().toLowerCase();
    const fits = (row) => (!domain.value || row.domains.includes(domain.value)) && (!mode.value || row.mode === mode.value) && (!band.value || "band " + row.band === band.value);
    const next = [];
    let texts = null, loaded = -1;
    for (let at = 0; at < rows.length; at += 1) {
      const row = rows[at];
      if (!fits(row)) continue;
      let hit = !wanted || [row.goal, row.id, row.mode, row.operator, ...row.domains, ...row.tools].join(" ").toLowerCase().includes(wanted);
      if (!hit && whole.checked) {
        const n = Math.floor(at / size);
        if (n !== loaded) { texts = (await chunk(n)).map((text) => text.toLowerCase()); loaded = n; }
        if (mine !== turn) return;
        hit = texts[at % size].includes(wanted);
      }
      if (hit) next.push(at);
    }
    found = next;
    count.textContent = `${number(found.length)} of ${number(rows.length)}`;
    if (!stay) list.scrollTop = 0;
    paint();
  };
  let waiting = 0;
  search.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(filter, 150, false); });
  for (const control of [domain, mode, band, whole]) control.addEventListener("change", () => filter(false));
  list.addEventListener("scroll", paint, { passive: true });
  const wrap = section("reader", "Trajectories", "", el("div", { class: "filters" }, search, domain, mode, band, el("label", {}, whole, " in the whole text"), count), place);
  new ResizeObserver(paint).observe(list);
  const refresh = async (meta) => {
    options(domain, meta.domains.map((pair) => pair[0]));
    options(mode, meta.modes.map((pair) => pair[0]));
    await filter(true);
    if (current < 0 && rows.length) await open(0);
    if (rows.length) place.dataset.ready = "1";
  };
  return [wrap, refresh];
}

function figures(meta) {
  const about = "Plug-in entropies are capped at log2 N: compare datasets at equal N.", cac = meta.complexity, found = [];
  const add = (...parts) => found.push(section(...parts));
  add("figures", "Figures", "", el("div", { class: "tiles" }, ...meta.tiles.map(([label, value, note]) =>
    el("div", { class: "card tile" }, el("b", {}, value), el("span", {}, label), note ? el("div", { class: "note", style: "margin:0" }, note) : null))));
  if (meta.series && meta.series.n.length > 1) add("entropy", "Entropies over time", "After each admitted trajectory. " + about,
    el("div", { class: "grid" }, ...Object.keys(NAMES).map((name) => lineChart(name, meta.series))));
  add("bits", "Entropies", meta.series ? "" : about, el("div", { class: "card" }, table(["entropy", "bits", "log2 N", "distinct", "2^H", "normalized"],
    Object.keys(NAMES).map((name) => { const one = meta.entropy[name]; return [NAMES[name], one.bits, meta.ceiling_bits, one.distinct, one.perplexity, one.normalized]; }))));
  if (meta.archive && meta.archive.cells.length) add("archive", "Archive", "Domain × coarse mode; in a cell one slot per complexity band, 0 to 3 from the left, stronger where more trajectories are.", heatMap(meta.archive));
  add("complexity", "Complexity", `Cumulative action complexity: mean ${number(cac.mean)}, p50 ${number(cac.p50)}, p90 ${number(cac.p90)}, per step ${number(cac.per_step)}.`, el("div", { class: "card" }, histogram(cac)));
  add("distributions", "Domains and modes", "", el("div", { class: "grid" },
    el("div", { class: "card" }, el("h3", {}, "Domains, in trajectories"), longBars(meta.domains, COLOURS.domain)),
    el("div", { class: "card" }, el("h3", {}, "Coarse modes"), longBars(meta.modes, COLOURS.mode_coarse)),
    meta.signatures && meta.signatures.length ? el("div", { class: "card" }, el("h3", {}, "Exact modes"), longBars(meta.signatures, COLOURS.mode_exact, 12)) : null));
  if (meta.rejections) add("rejections", "What was not taken", "", el("div", { class: "card" }, meta.rejections.length ? table(["stage", "reason", "runs"], meta.rejections) : "Nothing was rejected."));
  if (meta.operators && meta.operators.length) add("operators", "Operators", "Runs planned by each operator, how many were admitted, and that share.", el("div", { class: "card" }, table(["operator", "runs", "admitted", "yield"], meta.operators)));
  if (meta.bad && meta.bad.length) add("bad", "Rows that could not be measured", `${number(meta.bad_rows)} in all; the first ${number(meta.bad.length)}.`, el("div", { class: "card" }, table(["row", "code", "reason"], meta.bad.map((one) => [one.row, one.code, one.reason]))));
  return found;
}

const above = el("div", { id: "above" });

// Figures are drawn anew as they change; what was unfolded stays so, and the page where it was.
function show(meta, below) {
  document.title = meta.title;
  $("title").textContent = meta.title;
  $("subtitle").textContent = meta.subtitle;
  const folds = [...above.querySelectorAll("details")].map((one) => one.open), sections = figures(meta);
  above.style.minHeight = above.offsetHeight + "px";
  above.replaceChildren(...sections);
  [...above.querySelectorAll("details")].forEach((one, at) => { one.open = folds[at] || false; });
  setTimeout(() => { above.style.minHeight = ""; }, 100);
  $("contents").replaceChildren(...[...sections, ...below].map((one) => el("a", { href: "#" + one.id }, one.querySelector("h2").textContent)));
  if (!above.isConnected) $("main").replaceChildren(above, ...below);
}

function packed(meta) {
  if (!meta.trajectories) return show(meta, []);
  const chunks = [...document.querySelectorAll("script.chunk")];
  const [wrap, refresh] = reader(meta.trajectories, meta.chunk, (at) => unpacked(chunks[at].textContent));
  show(meta, [wrap]);
  return refresh(meta);
}

function live() {
  const rows = [], said = $("live"), tell = (text) => { said.textContent = text; };
  let made = null, over = false, turn = Promise.resolve();
  const listening = new EventSource("figures");
  const on = (name, act) => listening.addEventListener(name, (event) => { const data = JSON.parse(event.data); turn = turn.then(() => act(data)); });
  on("begin", (data) => {
    rows.length = Math.min(rows.length, data.had);
    made ||= reader(rows, data.chunk, async (at) => {
      const reply = await fetch(`rows/${at}`);
      if (!reply.ok) throw new Error(`rows/${at}: ${reply.status}`);
      return reply.text();
    });
  });
  on("rows", (data) => { rows.push(...data); });
  on("figures", (data) => {
    rows.length = Math.min(rows.length, data.rows);
    over = data.over;
    show(data, [made[0]]);
    tell(data.note || (over ? "the campaign has ended" : "live"));
    return made[1](data);
  });
  listening.onerror = () => tell(over ? "the campaign has ended" : "no answer; trying again");
}

if ($("meta")) unpacked($("meta").textContent).then((text) => packed(JSON.parse(text))).catch((error) => {
  $("main").replaceChildren(el("p", { class: "bad" }, `The data in this page cannot be read (${error}). A browser of 2023 or later is needed.`));
});
else live();
