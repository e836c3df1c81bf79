// Two pictures over the same steps: the learning rate of every layer, and below it the loss of a run.
"use strict";

// A number in as few characters as its size allows, as in every picture of the package: 0.05, 12000, 3.5e-6.
function number(value) {
  const size = Math.abs(value);
  if (value === 0 || (size >= 1e-3 && size < 1e6)) return size < 1e4 ? String(Number(value.toPrecision(4))) : value.toFixed(0);
  const [mantissa, exponent] = value.toExponential(2).split("e");
  return `${Number(mantissa)}e${Number(exponent)}`;
}

const brief = value => number(Number(value.toPrecision(2)));

function element(name, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

// Where the frame of a picture stands at a width; both pictures share left and right.
function frameOf(width, top = 38) {
  const wide = width >= 560, tall = wide ? 215 : width >= 440 ? 190 : 142;
  return { width, wide, left: 50, right: width - (wide ? 164 : 106), top, bottom: top + tall, row: wide ? 16 : 14 };
}

function roundTicks(high, most) {
  const raw = high / most, power = 10 ** Math.floor(Math.log10(raw));
  const gap = [1, 2, 5, 10].map(m => m * power).find(m => m >= raw);
  return Array.from({ length: Math.floor(high / gap) + 1 }, (_, i) => Number((i * gap).toPrecision(12)));
}

function logTicks(low, high, most) {
  const first = Math.floor(Math.log10(low)), last = Math.floor(Math.log10(high)), ticks = [];
  const every = Math.ceil((last - first) / most), steps = last - first < 2 ? [1, 2, 5] : [1];
  for (let exponent = first; exponent <= last; exponent += every) steps.forEach(step => ticks.push(Number((step * 10 ** exponent).toPrecision(3))));
  return ticks.filter(tick => tick >= low && tick <= high);
}

// The y axis that holds all values: {low, high, up(value), ticks}.
function axisOf(values, log, frame) {
  const seen = values.filter(value => value > 0);
  const high = seen.length ? Math.max(...seen) * (log ? 1.25 : 1.06) : 1, low = log && seen.length ? Math.min(...seen) / 1.25 : 0;
  const share = value => low ? Math.log(value / low) / Math.log(high / low) : value / high;
  const most = frame.wide ? 5 : 3;
  return {
    shows: value => value !== null && (!low || value > 0),
    up: value => frame.bottom - (frame.bottom - frame.top) * share(value),
    ticks: low ? logTicks(low, high, most) : roundTicks(high, most),
  };
}

const across = (frame, total, step) => frame.left + (frame.right - frame.left) * step / total;
const colours = ([light, dark]) => `--light:${light};--dark:${dark}`;

// Empty the picture and draw what both have: title, ticks, grid, epochs. steps: whether the steps are written below.
function open(svg, frame, now, { title, note, axis, steps }) {
  const height = frame.bottom + (steps ? 40 : 28);
  svg.setAttribute("viewBox", `0 0 ${frame.width} ${height}`);
  svg.setAttribute("height", height);
  svg.setAttribute("class", frame.wide ? "" : "small");
  const heading = element("text", { x: 0, y: 13, class: "title" }, title);
  heading.append(element("tspan", { class: "quiet", dx: 6 }, note));
  const inside = element("clipPath", { id: `${svg.id}-inside` });
  inside.append(element("rect", { x: frame.left, y: frame.top, width: frame.right - frame.left, height: frame.bottom - frame.top + 1 }));
  svg.replaceChildren(heading, inside);
  for (const tick of axis.ticks) {
    const y = axis.up(tick).toFixed(1);
    svg.append(element("path", { class: "grid", d: `M${frame.left},${y}H${frame.right}` }));
    svg.append(element("text", { class: "quiet", x: frame.left - 6, y: Number(y) + 4, "text-anchor": "end" }, number(tick)));
  }
  const every = Math.ceil(34 * now.total / now.epoch / (frame.right - frame.left) / 1.01) * now.epoch;
  for (let step = 0; step <= now.total; step += now.epoch) {
    const x = across(frame, now.total, step).toFixed(1);
    if (step) svg.append(element("path", { class: "grid", d: `M${x},${frame.top}V${frame.bottom}`, "stroke-dasharray": "2 3" }));
    if (steps && step % every === 0) svg.append(element("text", { class: "quiet", x, y: frame.bottom + 17, "text-anchor": "middle" }, step));
  }
  svg.append(element("path", { class: "rule", d: `M${frame.left},${frame.bottom}H${frame.right}` }));
  const middle = (frame.left + frame.right) / 2;
  if (steps) svg.append(element("text", { class: "quiet", x: middle, y: frame.bottom + 35, "text-anchor": "middle" }, `optimizer step (${now.epoch} an epoch)`));
}

function curve(svg, frame, now, axis, values, attributes, at = null) {
  let path = "", gap = true;
  values.forEach((value, i) => {
    if (!axis.shows(value)) { gap = true; return; }
    path += `${gap ? "M" : "L"}${across(frame, now.total, at ? at[i] : i).toFixed(1)},${axis.up(value).toFixed(1)}`;
    gap = false;
  });
  svg.append(element("path", { d: path, class: "line", "clip-path": `url(#${svg.id}-inside)`, ...attributes }));
}

// What the playhead has not reached is faint: a veil in the page's colour lies over it.
function playhead(svg, frame, now, words) {
  const x = across(frame, now.total, now.step);
  svg.append(element("rect", { class: "veil", x: x.toFixed(1), y: frame.top, width: Math.max(0, frame.right + 7 - x).toFixed(1), height: frame.bottom - frame.top }));
  svg.append(element("path", { class: "head", d: `M${x.toFixed(1)},${frame.top - 4}V${frame.bottom + 6}` }));
  const half = 3.4 * words.length, place = Math.min(Math.max(x, frame.left + half), frame.right - half);
  if (words) svg.append(element("text", { class: "head", x: place.toFixed(1), y: frame.top - 8, "text-anchor": "middle" }, words));
}

// Names beside the lines, moved apart where they would lie over each other; of too many lines, evenly chosen ones.
function labels(svg, frame, axis, lines) {
  const rows = Math.floor((frame.bottom - frame.top + 10) / frame.row), every = Math.max(1, Math.ceil((lines.length - 1) / (rows - 1)));
  const shown = lines.filter((_, i) => i % every === 0 || i === lines.length - 1).filter((_, i, kept) => kept.length <= rows || i !== kept.length - 2);
  const places = shown.map(line => ({ line, y: axis.shows(line.value) ? axis.up(line.value) : frame.bottom })).sort((a, b) => a.y - b.y);
  places.forEach((place, i) => { place.y = Math.max(place.y, frame.top, i ? places[i - 1].y + frame.row : 0); });
  for (let i = places.length - 1, floor = frame.bottom; i >= 0; i -= 1, floor -= frame.row) places[i].y = Math.min(places[i].y, floor);
  for (const { line, y } of places) {
    svg.append(element("path", { class: "line", d: `M${frame.right + 11},${y.toFixed(1)}h14`, "stroke-width": 2.4, "stroke-dasharray": line.dash, style: line.style }));
    const text = element("text", { x: frame.right + 30, y: (y + 4).toFixed(1) }, line.name);
    if (frame.wide && line.note) text.append(element("tspan", { class: "quiet", dx: 5 }, line.note));
    svg.append(text);
  }
}

function drawRates(svg, now) {
  const frame = frameOf(now.width), axis = axisOf(now.columns.flatMap(column => [...column]), now.log, frame);
  const note = frame.wide ? "of every layer; bold: applied, faint: to come" : "of every layer";
  open(svg, frame, now, { title: "Learning rate", note, axis, steps: false });
  for (const line of now.lines) {
    const [, light, dark, dash] = line.look;
    curve(svg, frame, now, axis, now.columns[line.at], { "stroke-width": 2, "stroke-dasharray": dash, style: colours([light, dark]) });
  }
  playhead(svg, frame, now, `step ${now.step} of ${now.total}`);
  for (const [step, words] of [[now.warmupSteps, "warm-up ends"], [now.swaStep, "averaging starts"]]) {
    if (!step) continue;
    const x = across(frame, now.total, step), late = x > frame.right - 60;
    svg.append(element("path", { class: "rule", d: `M${x.toFixed(1)},${frame.top}V${frame.bottom + 5}`, "stroke-dasharray": "1 3" }));
    svg.append(element("text", { class: "quiet", x: x.toFixed(1), y: frame.bottom + 16, "text-anchor": late ? "end" : x < frame.left + 40 ? "start" : "middle" }, words));
  }
  labels(svg, frame, axis, now.lines.map(({ name, at, look: [, light, dark, dash] }) => {
    const column = now.columns[at];
    return { name, value: Math.max(...column), note: brief(column[now.step]), dash, style: colours([light, dark]) };
  }).reverse());
}

// run, baseline: {loss, smoothed, at, validation, averaged}, or null.
function drawLoss(svg, now, run, baseline, empty) {
  const frame = frameOf(now.width, 26), drawn = [run, baseline].filter(Boolean);
  const tops = drawn.flatMap(one => [...one.smoothed, ...one.validation]);
  const axis = axisOf(now.log ? tops.concat(run ? run.loss : []) : tops, now.log, frame);
  const diamonds = run && run.averaged.length ? "; diamonds: averaged weights" : "";
  const note = frame.wide ? `of each batch, and smoothed; circles: validation${diamonds}` : `circles: validation${diamonds}`;
  open(svg, frame, now, { title: "Loss", note: run ? note : "", axis: run ? axis : { ...axis, ticks: [] }, steps: true });
  const style = Object.fromEntries(Object.entries(data.colours).map(([name, pair]) => [name, colours(pair)]));
  if (run) curve(svg, frame, now, axis, run.loss, { id: "each-step", "stroke-width": 1, opacity: 0.35, style: style.run });
  if (baseline) curve(svg, frame, now, axis, baseline.smoothed, { id: "baseline", "stroke-width": 1.6, "stroke-dasharray": "5 4", style: style.baseline });
  if (run) curve(svg, frame, now, axis, run.smoothed, { id: "smoothed", "stroke-width": 2.6, style: style.run });
  for (const [one, name] of [[baseline, "baseline"], [run, "run"]]) {
    if (!one) continue;
    one.validation.forEach((value, i) => svg.append(element("circle", { class: "line dot", cx: across(frame, now.total, one.at[i]).toFixed(1), cy: axis.up(value).toFixed(1), r: 4, style: style[name] })));
  }
  if (run) run.averaged.forEach((value, i) => {
    if (value === null) return;
    const x = across(frame, now.total, run.at[i]), y = axis.up(value);
    svg.append(element("path", { class: "line dot averaged", d: `M${x.toFixed(1)},${(y - 5.5).toFixed(1)}l5.5,5.5l-5.5,5.5l-5.5,-5.5Z`, style: style.averaged }));
  });
  if (!run) {
    empty.forEach((words, i) => svg.append(element("text", { class: "quiet", x: (frame.left + frame.right) / 2, y: (frame.top + frame.bottom) / 2 + 18 * i, "text-anchor": "middle" }, words)));
    return;
  }
  playhead(svg, frame, now, "");
  const here = one => one.smoothed[Math.min(now.step, one.smoothed.length - 1)];
  const x = across(frame, now.total, now.step);
  svg.append(element("circle", { class: "now", cx: x.toFixed(1), cy: axis.up(here(run)).toFixed(1), r: 4.5, style: style.run }));
  const last = one => one.smoothed[one.smoothed.length - 1];
  const named = [{ name: "this run", value: last(run), note: brief(here(run)), dash: "", style: style.run }];
  if (baseline) named.push({ name: "baseline", value: last(baseline), note: brief(here(baseline)), dash: "5 4", style: style.baseline });
  labels(svg, frame, axis, named);
}
