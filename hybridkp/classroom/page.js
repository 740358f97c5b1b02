// The page: sliders and pictures in, columns, levels and glyphs out.  What is shown comes from an engine (a
// server, or models in the page itself); nothing is fetched from anywhere else.
"use strict";

const DATA = JSON.parse(document.getElementById("data").textContent);
const SIDE = DATA.side, TRUTH = "#00d6ff", POINT = "#ffe128";
const $ = id => document.getElementById(id);
const engine = makeEngine(DATA);
const state = {
  picture: DATA.pictures[0].id, landmark: DATA.landmark, part: [0.5, 0.5, 1],
  models: DATA.first.slice(), knobs: Object.fromEntries(DATA.sliders.map(s => [s.key, s.start])),
};
const view = { stage: Infinity, level: 0 };
let shown = null, busy = false, waiting = false;

// ---------------------------------------------------------------------------------------------
// asking: the newest state only, one at a time
// ---------------------------------------------------------------------------------------------

async function ask() {
  if (busy) { waiting = true; return; }
  busy = true;
  document.body.dataset.busy = "yes";
  try {
    do {
      waiting = false;
      const asked = structuredClone(state);
      const answer = await engine.answer(asked);
      shown = { ...answer, state: asked, pixels: Core.bytes(answer.crop) };
      draw();
      complain("");
    } while (waiting);
  } catch (error) {
    complain(error.message);
  } finally {
    busy = false;
    document.body.dataset.busy = "no";
  }
}

function complain(text) {
  $("complaint").textContent = text;
  $("complaint").hidden = !text;
}

// ---------------------------------------------------------------------------------------------
// drawing
// ---------------------------------------------------------------------------------------------

/** A canvas as sharp as the screen; gives its pen and its side in px of the drawing. */
function pen(canvas) {
  const side = Math.max(64, Math.round(canvas.clientWidth * Math.min(devicePixelRatio || 1, 2)));
  if (canvas.width !== side) canvas.width = canvas.height = side;
  const to = canvas.getContext("2d");
  to.imageSmoothingEnabled = false;
  return [to, side];
}

const stamp = document.createElement("canvas");

/** Pixels (a function of their number gives red, green, blue, opacity), enlarged over the whole canvas. */
function paint(to, side, h, w, colour) {
  stamp.width = w; stamp.height = h;
  const small = stamp.getContext("2d"), pixels = small.createImageData(w, h);
  for (let i = 0; i < w * h; i++) pixels.data.set(colour(i), 4 * i);
  small.putImageData(pixels, 0, 0);
  to.drawImage(stamp, 0, 0, side, side);
}

const cropColour = crop => i => [crop[3 * i + 2], crop[3 * i + 1], crop[3 * i], 255];

function dot(to, x, y, radius, colour, ring) {
  to.beginPath();
  to.arc(x, y, radius, 0, 7);
  if (ring) {
    to.lineWidth = radius * 0.9; to.strokeStyle = "#000"; to.stroke();
    to.lineWidth = radius * 0.5; to.strokeStyle = colour; to.stroke();
  } else {
    to.fillStyle = "#000"; to.fill();
    to.beginPath(); to.arc(x, y, radius * 0.72, 0, 7); to.fillStyle = colour; to.fill();
  }
}

/** An error as people read it: a share, or px of the picture, or mm, where the data are measured in those. */
const told = v => v === null || v === undefined ? "–" : DATA.unit === "%" ? `${(100 * v).toFixed(1)} %` : `${v.toFixed(1)} ${DATA.unit}`;

const stageOf = model => model.stages[Math.min(view.stage, model.stages.length - 1)];

function drawColumn(n) {
  const figure = $(`say${n}`), model = shown.models[n], [to, side] = pen(figure.querySelector("canvas"));
  const at = v => (v + 0.5) * side / SIDE, k = shown.state.landmark, stage = stageOf(model);
  paint(to, side, SIDE, SIDE, cropColour(shown.pixels));
  const radius = Math.max(2.5, side / 75);
  shown.truth.forEach(p => p && dot(to, at(p[0]), at(p[1]), radius, TRUTH, true));
  stage.xy.forEach((p, i) => p && i !== k && dot(to, at(p[0]), at(p[1]), radius, POINT));
  const path = model.stages.slice(0, model.stages.indexOf(stage) + 1).map(s => s.xy[k]).filter(Boolean);
  for (const [width, colour] of [[radius * 1.1, "#000"], [radius * 0.55, "#fff"]]) {
    to.beginPath(); to.lineWidth = width; to.strokeStyle = colour;
    path.forEach((p, i) => i ? to.lineTo(at(p[0]), at(p[1])) : to.moveTo(at(p[0]), at(p[1])));
    to.stroke();
  }
  const own = stage.xy[k];
  if (own) {
    const [x, y] = own.map(at);
    dot(to, x, y, radius * 1.5, POINT);
    to.lineWidth = Math.max(1, radius / 2.5); to.strokeStyle = "#000";
    to.beginPath(); to.moveTo(x - radius, y); to.lineTo(x + radius, y); to.moveTo(x, y - radius); to.lineTo(x, y + radius); to.stroke();
  }
  const errors = Core.errors(stage.xy, shown.truth, shown.length), all = Core.mean(errors), name = DATA.landmarks[k];
  const sure = model.score[k], last = model.stages.length - 1;
  const words = figure.querySelector("dl");
  words.querySelector(".all").textContent = told(all);
  words.querySelector(".own").textContent = told(errors[k]);
  words.querySelector(".sure").textContent = sure === null ? "–" : `${Math.round(100 * sure)} %`;
  words.querySelector(".bar").style.width = `${Math.round(100 * (sure || 0))}%`;
  figure.querySelector(".stage").textContent = last ? `${Math.min(view.stage, last)} of ${last}: ${stage.name}` : "";
  figure.querySelector(".voices").textContent = model.voices.length
    ? `${name}: ${model.voices.map(v => `${v.name} ${Math.round(100 * v.weight)} %`).join(", ")}` : "";
  figure.querySelector("canvas").setAttribute("aria-label",
    `${stage.xy.filter(Boolean).length} points of ${model.name} on the crop; ` + (own
      ? `${name} at ${own[0].toFixed(1)}, ${own[1].toFixed(1)}; mean error ${told(all)}` : `${name} not found`));
  return [model.name, all, errors[k]];
}

function drawMap(n) {
  const figure = $(`map${n}`), model = shown.models[n], [to, side] = pen(figure.querySelector("canvas"));
  const map = model.map, k = shown.state.landmark, name = DATA.landmarks[k];
  paint(to, side, SIDE, SIDE, i => { const v = (shown.pixels[3 * i] + shown.pixels[3 * i + 1] + shown.pixels[3 * i + 2]) / 6; return [v, v, v, 255]; });
  let words = `${model.name} has no map of ${name}: it moves all points together` + (model.stages.length > 1 ? ", stage by stage." : ".");
  if (map) {
    const values = Core.bytes(map.values), [h, w] = map.size_hw, colours = Core.bytes(DATA.inferno);
    to.imageSmoothingEnabled = true;
    paint(to, side, h, w, i => [...colours.slice(3 * values[i], 3 * values[i] + 3), Math.round(0.85 * values[i])]);
    words = map.kind === "response" ? `${model.name}: where it believes ${name} to be${map.of ? ` (the map of ${map.of})` : ""}.`
      : `${model.name}: how much each place counts for ${name}.`;
  }
  const own = model.stages.at(-1).xy[k];
  if (own) dot(to, (own[0] + 0.5) * side / SIDE, (own[1] + 0.5) * side / SIDE, Math.max(2.5, side / 60), POINT);
  figure.querySelector("figcaption").textContent = words;
  figure.querySelector("canvas").setAttribute("aria-label", words);
}

function drawSeen() {
  const levels = Core.pyramid(Core.grey(shown.pixels), SIDE, DATA.levels);
  const number = Math.min(view.level, levels.length - 1), level = levels[number];
  let [to, side] = pen($("crop"));
  paint(to, side, SIDE, SIDE, cropColour(shown.pixels));
  [to, side] = pen($("level"));
  paint(to, side, level.side, level.side, i => { const v = Math.round(level.values[i]); return [v, v, v, 255]; });
  $("level").setAttribute("aria-label", `level ${number} of the Gaussian pyramid, ${level.side} by ${level.side} pixels`);
  $("level-words").textContent = `Level ${number} of the Gaussian pyramid: ${level.side} × ${level.side} px. A window of ${DATA.cell} px sees ${DATA.cell * 2 ** number} px of the crop.`;
  [to, side] = pen($("hog"));
  const cells = Core.hog(level.values, level.side, DATA.cell), n = cells.length, size = side / Math.max(n, 1);
  to.fillStyle = "#000"; to.fillRect(0, 0, side, side);
  const sorted = cells.flat(2).sort((a, b) => a - b), top = sorted[Math.floor(0.995 * (sorted.length - 1))] || 1;
  to.lineWidth = Math.max(1, side / 330);
  cells.forEach((row, r) => row.forEach((bins, c) => bins.forEach((value, b) => {
    const angle = Math.PI * b / 9 + Math.PI / 2, x = Math.cos(angle) * (size / 2 - 1), y = Math.sin(angle) * (size / 2 - 1);
    to.strokeStyle = `rgba(255,255,255,${Math.min(1, value / top).toFixed(3)})`;
    to.beginPath(); to.moveTo((c + 0.5) * size - x, (r + 0.5) * size - y); to.lineTo((c + 0.5) * size + x, (r + 0.5) * size + y); to.stroke();
  })));
  $("hog").setAttribute("aria-label", `HOG of that level, ${n} by ${n} cells of ${DATA.cell} pixels`);
  $("hog-words").textContent = `HOG of that level: ${n} × ${n} cells of ${DATA.cell} px; strokes lie along the edges.`;
}

function draw() {
  const most = Math.max(...shown.models.map(m => m.stages.length)) - 1, slider = $("stage");
  slider.max = most;
  slider.disabled = most === 0;
  slider.value = Math.min(view.stage, most);
  label(slider, view.stage >= most ? "last" : String(view.stage));
  const said = shown.models.map((_, n) => drawColumn(n));
  shown.models.forEach((_, n) => drawMap(n));
  drawSeen();
  const known = said.some(([, all]) => all !== null);
  $("status").textContent = known
    ? `Mean error: ${said.map(([name, all]) => `${name} ${told(all)}`).join(", ")}.`
    : "Nobody has marked the true points of this picture: judge by eye.";
}

// ---------------------------------------------------------------------------------------------
// controls
// ---------------------------------------------------------------------------------------------

function label(slider, text) {
  slider.setAttribute("aria-valuetext", text);
  document.querySelector(`output[for="${slider.id}"]`).textContent = text;
}

function ready() {
  for (const s of DATA.sliders) {
    const slider = $(`knob-${s.key}`), digits = s.step < 0.1 ? 2 : s.step < 1 ? 1 : 0;
    const tell = () => label(slider, `${(+slider.value).toFixed(digits)} ${s.unit}`);
    slider.addEventListener("input", () => { state.knobs[s.key] = +slider.value; tell(); ask(); });
    tell();
  }
  $("reset").onclick = () => {
    for (const s of DATA.sliders) {
      const slider = $(`knob-${s.key}`);
      slider.value = s.start;
      slider.dispatchEvent(new Event("input"));
    }
  };
  $("stage").addEventListener("input", () => {
    view.stage = +$("stage").value >= +$("stage").max ? Infinity : +$("stage").value;
    if (shown) draw();
  });
  const level = () => { view.level = +$("pyramid").value; label($("pyramid"), String(view.level)); if (shown) drawSeen(); };
  $("pyramid").addEventListener("input", level);
  level();
  $("landmark").onchange = () => { state.landmark = +$("landmark").value; ask(); };
  state.models.forEach((name, n) => {
    const choice = $(`model${n}`);
    choice.value = name;
    choice.onchange = () => { state.models[n] = choice.value; ask(); };
    $(`say${n}`).querySelector("canvas").onclick = event => nearest(event, n);
  });
  document.querySelectorAll("input[name=picture]").forEach(radio => {
    radio.onchange = () => { stopCamera(); choose(radio.value, false); };
  });
  $("file").onchange = () => { take($("file").files[0]); $("file").value = ""; };
  ["x", "y", "size"].forEach((key, i) => {
    const slider = $(`part-${key}`);
    slider.addEventListener("input", () => { state.part[i] = +slider.value / 100; label(slider, `${slider.value} %`); ask(); });
    label(slider, `${slider.value} %`);
  });
  $("camera").onclick = () => film ? stopCamera() : startCamera();
  $("sweep").onclick = sweep;
  document.body.ondragover = event => { event.preventDefault(); document.body.classList.add("over"); };
  document.body.ondragleave = event => { if (!event.relatedTarget) document.body.classList.remove("over"); };
  document.body.ondrop = event => {
    event.preventDefault();
    document.body.classList.remove("over");
    take(event.dataTransfer.files[0]);
  };
  addEventListener("resize", () => shown && draw());
}

function choose(picture, own) {
  state.picture = picture;
  $("part").hidden = !own;
  if (own) document.querySelectorAll("input[name=picture]").forEach(r => { r.checked = false; });
  return ask();
}

async function take(file) {
  if (!file) return;
  stopCamera();
  try {
    const picture = await engine.own(file);
    $("own-words").textContent = `Yours: ${file.name}`;
    await choose(picture, true);
  } catch (error) {
    complain(error.message);
  }
}

/** A click on a column's picture chooses the landmark that lies there. */
function nearest(event, n) {
  const box = event.target.getBoundingClientRect();
  const x = (event.clientX - box.left) / box.width * SIDE - 0.5, y = (event.clientY - box.top) / box.height * SIDE - 0.5;
  let best = Infinity;
  stageOf(shown.models[n]).xy.forEach((p, k) => {
    const far = p ? Math.hypot(p[0] - x, p[1] - y) : Infinity;
    if (far < best) { best = far; state.landmark = k; }
  });
  $("landmark").value = state.landmark;
  ask();
}

// ---------------------------------------------------------------------------------------------
// the camera
// ---------------------------------------------------------------------------------------------

let film = null;

async function startCamera() {
  if (!navigator.mediaDevices) { complain("this browser gives no camera to this page"); return; }
  try {
    film = await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 480 } });
  } catch (error) {
    complain(`no camera: ${error.message}`);
    return;
  }
  $("camera").textContent = "Stop the camera";
  $("camera").setAttribute("aria-pressed", "true");
  $("own-words").textContent = "Yours: the camera";
  const video = document.createElement("video"), frame = document.createElement("canvas");
  video.srcObject = film;
  video.muted = video.playsInline = true;
  await video.play();
  while (film) {
    frame.width = video.videoWidth; frame.height = video.videoHeight;
    frame.getContext("2d").drawImage(video, 0, 0);
    const blob = await new Promise(done => frame.toBlob(done, "image/jpeg", 0.9));
    try {
      const picture = await engine.own(blob);
      if (film) await choose(picture, true);
    } catch (error) {
      complain(error.message);
      stopCamera();
    }
    await new Promise(done => setTimeout(done, 40));
  }
}

function stopCamera() {
  if (film) film.getTracks().forEach(track => track.stop());
  film = null;
  $("camera").textContent = "Use the camera";
  $("camera").setAttribute("aria-pressed", "false");
}

// ---------------------------------------------------------------------------------------------
// a curve: every position of one slider
// ---------------------------------------------------------------------------------------------

async function sweep() {
  const s = DATA.sliders.find(x => x.key === $("sweep-key").value), n = 13, rows = [], as = structuredClone(state);
  $("sweep").disabled = true;
  try {
    for (let i = 0; i < n; i++) {
      const value = s.low + (s.high - s.low) * i / (n - 1), asked = structuredClone(as);
      asked.knobs[s.key] = value;
      const { models, truth, length } = await engine.answer(asked);
      rows.push([value, models.map(m => Core.mean(Core.errors(m.stages.at(-1).xy, truth, length)))]);
      $("sweep-words").textContent = `${i + 1} of ${n} …`;
    }
    curve(s, rows, as.models);
  } catch (error) {
    complain(error.message);
  } finally {
    $("sweep").disabled = false;
  }
}

function curve(s, rows, names) {
  const all = rows.flatMap(([, errors]) => errors).filter(v => v !== null);
  if (!all.length) { $("sweep-words").textContent = "Nobody has marked the true points of this picture: there is no error to draw."; return; }
  const top = Math.max(...all), w = 640, h = 260, left = 58, right = w - 12, low = h - 40;
  const x = v => left + (v - s.low) / (s.high - s.low) * (right - left), y = e => low - e / top * (low - 14);
  const marks = ["", "7 5", "2 4"], text = (at, up, words, anchor) => `<text x="${at}" y="${up}" text-anchor="${anchor}">${words}</text>`;
  const lines = names.map((_, m) => {
    const points = rows.filter(([, e]) => e[m] !== null).map(([v, e]) => `${x(v).toFixed(1)},${y(e[m]).toFixed(1)}`);
    return `<polyline class="line${m}" points="${points.join(" ")}" stroke-dasharray="${marks[m]}"/>` +
      points.map(p => `<circle class="line${m}" cx="${p.split(",")[0]}" cy="${p.split(",")[1]}" r="2.6"/>`).join("");
  });
  $("curve").innerHTML = `<line x1="${left}" y1="${low}" x2="${right}" y2="${low}"/><line x1="${left}" y1="14" x2="${left}" y2="${low}"/>` +
    text(left - 6, y(top) + 4, told(top), "end") + text(left - 6, low + 4, "0", "end") +
    text(left, low + 18, `${s.low} ${s.unit}`, "start") + text(right, low + 18, `${s.high} ${s.unit}`, "end") +
    text((left + right) / 2, low + 34, s.label, "middle") + lines.join("");
  const legend = $("curve-key");
  legend.replaceChildren(...names.map((name, m) => {
    const item = document.createElement("span");
    item.className = `key key${m}`;
    item.textContent = name;
    return item;
  }));
  const worst = names.map((name, m) => `${name} ${told(Math.min(...rows.map(r => r[1][m])))} to ${told(Math.max(...rows.map(r => r[1][m])))}`);
  $("sweep-words").textContent = `Mean error over ${s.label.toLowerCase()}: ${worst.join(", ")}.`;
  $("curve").setAttribute("aria-label", $("sweep-words").textContent);
  $("curve").removeAttribute("hidden");
}

ready();
engine.start().then(ask, error => complain(error.message));
