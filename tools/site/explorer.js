// Looks up what `explorer.py` computed, multiplies, and draws: a free setting of the controls, or a run that was trained.
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const control = id => document.getElementById(id);
const MOVED = ["schedule", "warmup", "decay", "lr", "head", "layers"];
const size = () => data.sizes[control("size").value];
const recipe = () => size().recipes.find(one => one.name === control("recipe").value) || null;
let last = data.start.recipe; // the recipe that "Back" returns to

// An array by its number: 32 bits a value, or corners with straight lines between them.
function array(i) {
  const held = data.arrays[i];
  if (typeof held === "string") return [...new Float32Array(Uint8Array.from(atob(held), byte => byte.charCodeAt(0)).buffer)];
  const [steps, values] = held, filled = [values[0]];
  for (let i = 1; i < steps.length; i += 1) {
    const length = steps[i] - steps[i - 1], rise = values[i] - values[i - 1];
    for (let k = 1; k < length; k += 1) filled.push(values[i - 1] + rise * k / length);
    filled.push(values[i]);
  }
  return filled;
}

// The rates of every place at every step: those of the run's recipe, or peaks times the schedule's factors.
function columnsOf(chosen) {
  if (chosen) return chosen.rates.map(array);
  const lr = data.rates[control("lr").value], head = control("head").value;
  const peaks = data.peaks[control("decay").value].slice(-data.lines[control("layers").value].length).map(share => lr * share);
  if (head !== "") peaks[peaks.length - 1] = data.rates[head];
  const factors = array(size().factors[control("schedule").value][control("warmup").value]);
  return peaks.map(peak => factors.map(factor => peak * factor));
}

const widthOf = svg => Math.max(280, svg.getBoundingClientRect().width); // 0 before the first layout

function state() {
  const chosen = recipe(), columns = columnsOf(chosen), total = columns[0].length;
  control("step").max = total - 1;
  const now = {
    recipe: chosen, columns, total, epoch: size().steps_per_epoch, looks: data.lines[control("layers").value],
    warmupSteps: chosen ? chosen.warmup_steps : size().warmup_steps[control("warmup").value], swaStep: chosen && chosen.swa_step,
    step: Number(control("step").value), log: control("log").checked, width: widthOf(control("picture")),
    place: control("place").value, seed: control("seed").value,
  };
  now.lines = groups(now);
  return now;
}

// Neighbours with equal rates share a line, named after both ends; the head stays by itself unless all are equal.
function groups({ columns, looks }) {
  const equal = (a, b) => columns[a].every((rate, step) => rate === columns[b][step]);
  const top = columns.length - 1;
  if (columns.every((_, i) => equal(i, top))) return [{ name: "all layers", at: top, look: ["", "var(--ink)", "var(--ink)", ""] }];
  const found = [];
  columns.forEach((_, i) => {
    const before = found[found.length - 1];
    if (before && i < top && equal(before.at, i)) before.at = i;
    else found.push({ first: i, at: i });
  });
  for (const group of found) {
    group.look = looks[group.at];
    group.name = group.first === group.at ? group.look[0] : `${looks[group.first][0]} to ${group.look[0]}`;
  }
  return found;
}

function sayRates(now) {
  let parts = now.lines.map(line => {
    const column = now.columns[line.at], highest = Math.max(...column);
    return `${line.name} ${number(highest)} at step ${column.indexOf(highest)}`;
  });
  if (parts.length > 3) parts = [parts[0], parts[parts.length - 2], parts[parts.length - 1]];
  const ends = now.columns.map(column => column[now.total - 1]), low = Math.min(...ends), high = Math.max(...ends);
  const end = low === high ? number(low) : `${number(low)} to ${number(high)}`;
  const warm = now.warmupSteps ? `; warm-up ends at step ${now.warmupSteps}` : "";
  const averaged = now.swaStep ? `; averaging starts at step ${now.swaStep}` : "";
  return `Learning rate over ${now.total} steps; highest: ${parts.join(", ")}; at the last step ${end}${warm}${averaged}.`;
}

// A committed run; its validation scores are squared, so that they are losses like those of the batches.
function runOf(chosen, now) {
  if (!chosen) return null;
  const [loss, validation, averaged, scores] = size().runs[chosen.name][`${now.place}/${now.seed}`];
  const smoothed = loss.map((_, i) => {
    const window = loss.slice(Math.max(0, i + 1 - chosen.window), i + 1);
    return window.reduce((sum, value) => sum + value, 0) / window.length;
  });
  const squared = scores => scores.map(score => score === null ? null : score ** 2);
  return { loss, smoothed, at: chosen.evals, rmse: validation, validation: squared(validation), averaged: squared(averaged), scores };
}

const placeOf = now => `${size().place} ${now.place}, seed ${now.seed}`;

function sayLoss(now, run, baseline) {
  if (!run) return "No loss: no committed run has this setting.";
  const { smoothed, rmse } = run, end = one => number(one.smoothed[one.smoothed.length - 1]);
  const other = baseline ? `; baseline, dashed: training loss ${end(baseline)} at the end` : "";
  return `${now.recipe.name}, ${placeOf(now)}: training loss ${number(smoothed[0])} at the start, ${end(run)} at the end (smoothed); `
    + `validation RMSE ${rmse[0].toFixed(3)} at first, ${rmse[rmse.length - 1].toFixed(3)} at the last of ${rmse.length}${other}.`;
}

const signed = (value, digits = 3) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(digits)}`;

function sayScores(now, run, baseline) {
  if (!run) return ["No committed run has this setting: only its learning rates are drawn."];
  const [validation, test, seconds] = run.scores, [count, mean, lower] = now.recipe.pairs;
  const strong = document.createElement("strong");
  strong.textContent = test.toFixed(3);
  const against = baseline ? `, baseline ${baseline.scores[1].toFixed(3)} (${signed(test - baseline.scores[1])})` : "";
  const weights = now.recipe.averages ? " of the averaged weights" : "";
  const chosen = now.recipe.averages ? "" : ", by which its checkpoint was chosen";
  const all = baseline ? ` One pair shows little: over all ${count} the mean difference is ${signed(mean, 4)}, and ${lower} are lower.` : "";
  return [`${now.recipe.name}, ${placeOf(now)}: test RMSE${weights} `, strong, `${against}; validation ${validation.toFixed(3)}${chosen}; ${seconds} s (${size().device}).${all}`];
}

function code(now) {
  if (now.recipe) {
    const seed = now.seed === "0" ? "" : `${now.recipe.python.endsWith("()") ? "" : ", "}seed=${now.seed}`;
    const load = size().python.replaceAll("{seed}", now.seed).replaceAll("{place}", now.place);
    return `recipe = ft.${now.recipe.python.slice(0, -1)}${seed})\n${load}\nrun = ft.fit(recipe, data, fold=${size().place === "fold" ? now.place : 0})`;
  }
  const fields = [...size().base], value = id => data[{ warmup: "warmups", decay: "decays", lr: "rates", head: "rates" }[id]][control(id).value];
  const python = value => Number.isInteger(value) ? `${value}.0` : number(value);
  const schedule = control("schedule").value, model = data.models[control("layers").value];
  if (schedule !== data.defaults.schedule) fields.push(`schedule="${schedule}"`);
  if (value("warmup") !== data.defaults.warmup) fields.push(`warmup=${python(value("warmup"))}`);
  if (value("decay") !== data.defaults.layer_decay) fields.push(`layer_decay=${python(value("decay"))}`);
  fields.push(`lr=${number(value("lr"))}`);
  if (control("head").value !== "") fields.push(`head_lr=${number(value("head"))}`);
  if (model !== data.defaults.model) fields.unshift(`model="${model}"`);
  return `recipe = ft.Recipe(${fields.join(", ")})`;
}

function sample(look) {
  const svg = element("svg", { viewBox: "0 0 30 10", "aria-hidden": "true" });
  svg.append(element("path", { d: "M0,5H30", class: "line", "stroke-width": 2.2, "stroke-dasharray": look[3], style: colours([look[1], look[2]]) }));
  return svg;
}

function draw() {
  const now = state(), run = runOf(now.recipe, now);
  const baseline = now.recipe && now.recipe.name !== "baseline" ? runOf(size().recipes[0], now) : null;
  drawRates(control("picture"), now);
  drawLoss(control("loss"), now, run, baseline, ["no committed run has this setting:", "no loss to draw"]);
  const frame = frameOf(now.width);
  control("stage").style.setProperty("--left", `${frame.left - 8}px`);
  control("stage").style.setProperty("--long", `${across(frame, now.total, now.total - 1) - frame.left + 16}px`);

  control("said").textContent = sayRates(now);
  control("picture").setAttribute("aria-label", control("said").textContent);
  control("loss").setAttribute("aria-label", sayLoss(now, run, baseline));
  control("scores").replaceChildren(...sayScores(now, run, baseline));
  control("back").hidden = Boolean(run);
  control("back").textContent = `Back to ${last}`;
  control("recipe-code").textContent = code(now);
  control("at-step").textContent = `at step ${now.step}`;
  control("rates").replaceChildren(...[...now.lines].reverse().map(line => {
    const row = document.createElement("tr"), name = document.createElement("th"), column = now.columns[line.at];
    name.scope = "row";
    name.append(sample(line.look), line.name);
    row.append(name);
    for (const rate of [Math.max(...column), column[now.step]]) row.insertCell().textContent = number(rate);
    return row;
  }));
  const shown = {
    warmup: `${data.warmups[control("warmup").value]} (${now.warmupSteps} steps)`, decay: String(data.decays[control("decay").value]),
    lr: number(data.rates[control("lr").value]), step: `${now.step}`,
  };
  for (const [id, words] of Object.entries(shown)) {
    control(`${id}-value`).textContent = words;
    control(id).setAttribute("aria-valuetext", words);
  }
}

function fillSize() {
  const { recipes, places, place, note } = size(), before = control("place").value;
  const options = recipes.map(one => new Option(one.what ? `${one.name}: ${one.what}` : one.name, one.name));
  const free = new Option("none: a free setting", "");
  free.disabled = true;
  control("recipe").replaceChildren(free, ...options);
  control("place-name").textContent = place[0].toUpperCase() + place.slice(1);
  control("place").replaceChildren(...Object.keys(places).map(name => new Option(name)));
  if (before in places) control("place").value = before;
  control("size-help").textContent = note;
  fillSeeds();
}

function fillSeeds() {
  const seeds = size().places[control("place").value].map(String), before = control("seed").value;
  control("seed").replaceChildren(...seeds.map(seed => new Option(seed)));
  if (seeds.includes(before)) control("seed").value = before;
}

// Choose a recipe that was trained, and set every control to it.
function choose(name) {
  const found = size().recipes.find(one => one.name === name) || size().recipes[0];
  control("recipe").value = last = found.name;
  for (const id of MOVED) control(id).value = found.at[id];
}

function moved(event) {
  const id = event.target.id, share = control("step").value / control("step").max;
  if (id === "size") { fillSize(); choose(last); }
  if (id === "recipe") choose(control("recipe").value);
  if (id === "place") fillSeeds();
  if (MOVED.includes(id)) { // a recipe that differs from the baseline in nothing but these may stand there now
    const found = size().recipes.find(one => one.plain && MOVED.every(name => one.at[name] === control(name).value));
    control("recipe").value = found ? found.name : "";
    if (found) last = found.name;
  }
  const total = columnsOf(recipe())[0].length;
  if (id !== "step" && total - 1 !== Number(control("step").max)) {
    control("step").max = total - 1;
    control("step").value = Math.round(share * (total - 1));
  }
  draw();
}

let timer = null;

function pause() {
  clearInterval(timer);
  timer = null;
  control("play").textContent = "▶";
  control("play").setAttribute("aria-label", "Play the run");
}

function play() {
  if (timer) { pause(); return; }
  const step = control("step");
  if (step.value === step.max) step.value = 0;
  control("play").textContent = "❚❚";
  control("play").setAttribute("aria-label", "Pause");
  timer = setInterval(() => {
    step.value = Number(step.value) + Math.max(1, Math.round(step.max / 120));
    draw();
    if (step.value === step.max) pause();
  }, 60);
}

function point(event) {
  pause();
  const frame = frameOf(widthOf(event.currentTarget)), box = event.currentTarget.getBoundingClientRect(), total = Number(control("step").max) + 1;
  control("step").value = Math.round((event.clientX - box.left - frame.left) * total / (frame.right - frame.left));
  draw();
}

for (const [family, names] of Object.entries(data.families)) {
  const group = document.createElement("optgroup");
  group.label = family;
  group.append(...names.map(name => new Option(name)));
  control("schedule").append(group);
}
control("head").append(new Option("as the top layer", ""), ...data.rates.map((rate, i) => new Option(number(rate), i)));
control("layers").append(...Object.entries(data.models).map(([layers, model]) => new Option(`${layers} (${model.split("/").pop()})`, layers)));
control("size").append(...data.sizes.map((one, i) => new Option(one.name, i)));
for (const [id, values] of [["warmup", data.warmups], ["decay", data.decays], ["lr", data.rates]]) control(id).max = values.length - 1;
control("size").value = data.start.size;
fillSize();
choose(data.start.recipe);
control("step").max = columnsOf(recipe())[0].length - 1;
control("step").value = Math.round(data.start.step * control("step").max);
pause();
draw();
control("explorer").addEventListener("input", moved);
control("step").addEventListener("input", pause);
control("explorer").addEventListener("submit", event => event.preventDefault());
control("play").addEventListener("click", play);
control("back").addEventListener("click", () => { choose(last); draw(); control("recipe").focus(); });
for (const id of ["picture", "loss"]) for (const kind of ["pointermove", "pointerdown"]) control(id).addEventListener(kind, point);
new ResizeObserver(() => requestAnimationFrame(draw)).observe(control("stage"));
