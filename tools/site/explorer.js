// Looks up what `explorer.py` computed, multiplies, and draws.
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const control = id => document.getElementById(id);
const total = data.factors.linear[0].length;
const FRAME = { left: 62, right: 620, top: 34, bottom: 386 };

// A number in as few characters as its size allows, as in every picture of the package: 0.05, 12000, 3.5e-6.
function number(value) {
  const size = Math.abs(value);
  if (value === 0 || (size >= 1e-3 && size < 1e6)) return size < 1e4 ? String(Number(value.toPrecision(4))) : value.toFixed(0);
  const [mantissa, exponent] = value.toExponential(2).split("e");
  return `${Number(mantissa)}e${Number(exponent)}`;
}

function state() {
  const layers = control("layers").value, lr = data.rates[control("lr").value];
  const decay = data.decays[control("decay").value], warmup = data.warmups[control("warmup").value];
  const head = control("head").value === "" ? null : data.rates[control("head").value];
  const schedule = control("schedule").value;
  const peaks = data.peaks[layers][control("decay").value].map(share => lr * share);
  if (head !== null) peaks[peaks.length - 1] = head;
  return {
    layers, lr, decay, warmup, head, schedule, peaks, looks: data.lines[layers], log: control("log").checked,
    factors: data.factors[schedule][control("warmup").value], step: Number(control("step").value),
    warmupSteps: data.warmup_steps[control("warmup").value],
  };
}

// Neighbours with equal rates share a line, named after both ends; the head stays by itself unless all are equal.
function groups({ peaks, looks }) {
  if (peaks.every(peak => peak === peaks[0])) return [{ name: "all layers", at: peaks.length - 1, look: ["", "var(--ink)", "var(--ink)", ""] }];
  const found = [];
  peaks.forEach((peak, i) => {
    const last = found[found.length - 1];
    if (last && i < peaks.length - 1 && peaks[last.at] === peak) { last.at = i; last.look = looks[i]; }
    else found.push({ first: i, at: i, look: looks[i] });
  });
  for (const group of found) {
    group.name = group.first === group.at ? looks[group.at][0] : `${looks[group.first][0]} to ${looks[group.at][0]}`;
  }
  return found;
}

function say(now, lines) {
  const highest = Math.max(...now.factors), lowest = now.factors[total - 1];
  let parts = lines.map(line => {
    const peak = now.peaks[line.at];
    return `${line.name} ${number(peak * highest)} at step ${peak ? now.factors.indexOf(highest) : 0}`;
  });
  if (parts.length > 3) parts = [parts[0], parts[parts.length - 2], parts[parts.length - 1]];
  const last = now.peaks.map(peak => peak * lowest), low = Math.min(...last), high = Math.max(...last);
  const end = low === high ? number(low) : `${number(low)} to ${number(high)}`;
  const warm = now.warmupSteps ? `; warm-up ends at step ${now.warmupSteps}` : "";
  return `Learning rate over ${total} steps; highest: ${parts.join(", ")}; at the last step ${end}${warm}.`;
}

function code(now) {
  const fields = [];
  const python = value => Number.isInteger(value) ? `${value}.0` : number(value);
  if (now.schedule !== data.defaults.schedule) fields.push(`schedule="${now.schedule}"`);
  if (now.warmup !== data.defaults.warmup) fields.push(`warmup=${python(now.warmup)}`);
  if (now.decay !== data.defaults.layer_decay) fields.push(`layer_decay=${python(now.decay)}`);
  fields.push(`lr=${number(now.lr)}`);
  if (now.head !== null) fields.push(`head_lr=${number(now.head)}`);
  const model = data.models[now.layers];
  if (model !== data.defaults.model) fields.unshift(`model="${model}"`);
  return `recipe = ft.Recipe(${fields.join(", ")})`;
}

function element(name, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function roundTicks(high) {
  const raw = high / 5, power = 10 ** Math.floor(Math.log10(raw));
  const gap = [1, 2, 5, 10].map(m => m * power).find(m => m >= 0.7 * raw);
  return Array.from({ length: Math.floor(high / gap) + 1 }, (_, i) => Number((i * gap).toPrecision(12)));
}

function powersOfTen(low, high) {
  const first = Math.ceil(Math.log10(low)), last = Math.floor(Math.log10(high)), every = Math.ceil((last - first + 1) / 7);
  const ticks = [];
  for (let exponent = first; exponent <= last; exponent += every) ticks.push(10 ** exponent);
  return ticks;
}

function sample(look) {
  const svg = element("svg", { viewBox: "0 0 30 10", "aria-hidden": "true" });
  svg.append(element("path", { d: "M0,5H30", class: "line", "stroke-width": 2.2, "stroke-dasharray": look[3],
    style: `--light:${look[1]};--dark:${look[2]}` }));
  return svg;
}

const across = step => FRAME.left + (FRAME.right - FRAME.left) * step / total;

function draw() {
  const now = state(), lines = groups(now), picture = control("picture"), text = say(now, lines);
  const rates = lines.map(line => now.factors.map(factor => now.peaks[line.at] * factor));
  const seen = rates.flat().filter(rate => rate > 0);
  const high = seen.length ? Math.max(...seen) * (now.log ? 1.3 : 1.08) : 1;
  const low = now.log && seen.length ? Math.min(...seen) / 1.3 : 0;
  const place = rate => now.log ? Math.log(rate / low) / Math.log(high / low) : rate / high;
  const up = rate => FRAME.bottom - (FRAME.bottom - FRAME.top) * place(rate);

  picture.replaceChildren();
  picture.setAttribute("aria-label", text);
  picture.append(element("text", { x: 8, y: 17, "font-weight": 600 }, "Learning rate of every layer"));
  const rule = { stroke: "currentColor", fill: "none" };
  for (const tick of now.log && seen.length ? powersOfTen(low, high) : roundTicks(high)) {
    const y = up(tick).toFixed(1);
    picture.append(element("path", { ...rule, d: `M${FRAME.left},${y}H${FRAME.right}`, opacity: 0.15 }));
    picture.append(element("text", { x: FRAME.left - 6, y: Number(y) + 4, "text-anchor": "end" }, number(tick)));
  }
  picture.append(element("path", { ...rule, d: `M${FRAME.left},${FRAME.top}V${FRAME.bottom}H${FRAME.right}` }));
  for (let step = 0; step <= total; step += data.steps_per_epoch) {
    picture.append(element("path", { ...rule, d: `M${across(step)},${FRAME.bottom}v5` }));
    picture.append(element("text", { x: across(step), y: FRAME.bottom + 19, "text-anchor": "middle" }, step));
  }
  const middle = (FRAME.left + FRAME.right) / 2;
  picture.append(element("text", { x: middle, y: FRAME.bottom + 38, "text-anchor": "middle" }, `step (${data.steps_per_epoch} an epoch)`));
  lines.forEach((line, i) => {
    let path = "", gap = true;
    rates[i].forEach((rate, step) => {
      if (now.log && !(rate > 0)) { gap = true; return; }
      path += `${gap ? "M" : "L"}${across(step).toFixed(1)},${up(rate).toFixed(1)}`;
      gap = false;
    });
    picture.append(element("path", { d: path, class: "line", "stroke-width": 2, "stroke-dasharray": line.look[3],
      style: `--light:${line.look[1]};--dark:${line.look[2]}` }));
  });
  const x = across(now.step).toFixed(1), late = now.step > 0.8 * total;
  picture.append(element("path", { ...rule, d: `M${x},${FRAME.top}V${FRAME.bottom}`, "stroke-dasharray": "2 3", id: "mark" }));
  picture.append(element("text", { x: late ? x - 5 : Number(x) + 5, y: FRAME.top + 4, "text-anchor": late ? "end" : "start" }, `step ${now.step}`));

  control("said").textContent = text;
  control("recipe").textContent = code(now);
  control("at-step").textContent = `at step ${now.step}`;
  const rows = [...lines].reverse().map(line => {
    const row = document.createElement("tr"), name = document.createElement("th");
    name.scope = "row";
    name.append(sample(line.look), line.name);
    row.append(name);
    const peak = now.peaks[line.at];
    for (const rate of [peak, peak * now.factors[now.step]]) row.insertCell().textContent = number(rate);
    return row;
  });
  control("rates").replaceChildren(...rows);
  const shown = {
    warmup: `${now.warmup} (${now.warmupSteps} steps)`, decay: String(now.decay), lr: number(now.lr), step: String(now.step),
  };
  for (const [id, words] of Object.entries(shown)) {
    control(`${id}-value`).textContent = words;
    control(id).setAttribute("aria-valuetext", words);
  }
}

function fill() {
  for (const [family, names] of Object.entries(data.families)) {
    const group = document.createElement("optgroup");
    group.label = family;
    group.append(...names.map(name => new Option(name)));
    control("schedule").append(group);
  }
  control("head").append(new Option("as the top layer", ""), ...data.rates.map((rate, i) => new Option(number(rate), i)));
  for (const layers of Object.keys(data.peaks)) {
    control("layers").append(new Option(`${layers} (${data.models[layers].split("/").pop()})`, layers));
  }
  const start = data.start;
  const ranges = { warmup: data.warmups, decay: data.decays, lr: data.rates, step: data.factors.linear[0] };
  for (const [id, values] of Object.entries(ranges)) control(id).max = values.length - 1;
  control("warmup").value = data.warmups.indexOf(start.warmup);
  control("decay").value = data.decays.indexOf(start.layer_decay);
  control("lr").value = data.rates.indexOf(start.lr);
  control("step").value = data.steps_per_epoch;
  control("schedule").value = start.schedule;
  control("layers").value = start.layers;
}

fill();
draw();
document.querySelector("form").addEventListener("input", draw);
document.querySelector("form").addEventListener("submit", event => event.preventDefault());
control("picture").addEventListener("pointermove", event => {
  const box = control("picture").getBoundingClientRect();
  const x = (event.clientX - box.left) * 640 / box.width;
  const step = Math.round((x - FRAME.left) * total / (FRAME.right - FRAME.left));
  control("step").value = Math.max(0, Math.min(total - 1, step));
  draw();
});
