// The engine inside of a page that has no server: pictures are altered here, models run in ONNX Runtime Web.
"use strict";

function makeEngine(data) {
  const plates = new Map(), graphs = new Map(data.graphs.map(g => [g.name, g])), sessions = new Map();
  const size = 2 * data.side;
  let ort = null, noise = null, own = null;

  async function unpacked(text) {
    const stream = new Blob([Core.bytes(text)]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }

  async function start() {
    const script = new Blob([await unpacked(data.script)], { type: "text/javascript" });
    ort = await import(URL.createObjectURL(script));
    ort.env.wasm.numThreads = 1;
    ort.env.wasm.wasmBinary = (await unpacked(data.wasm)).buffer;
    noise = new Int16Array((await unpacked(data.noise)).buffer);
    for (const plate of data.plates)
      plates.set(plate.id, { image: await unpacked(plate.image), xy: plate.xy, length: plate.length });
  }

  async function session(name) {
    if (!sessions.has(name)) sessions.set(name, await ort.InferenceSession.create(await unpacked(graphs.get(name).graph)));
    return sessions.get(name);
  }

  /** The square of a user's picture, with as much again around it; beyond the border its pixels repeat. */
  function ownPlate(part) {
    const { pixels, w, h } = own, side = Math.max(part[2], 0.05) * Math.min(w, h), step = side / data.side;
    const image = new Uint8Array(size * size * 3), fine = Math.max(1, Math.ceil(step));
    for (let r = 0; r < size; r++) for (let c = 0; c < size; c++) {
      const sum = [0, 0, 0];
      for (let i = 0; i < fine; i++) for (let j = 0; j < fine; j++) {
        const x = part[0] * w + (c + (j + 0.5) / fine - data.side) * step, y = part[1] * h + (r + (i + 0.5) / fine - data.side) * step;
        const at = 4 * (Math.min(Math.max(Math.floor(y), 0), h - 1) * w + Math.min(Math.max(Math.floor(x), 0), w - 1));
        for (let k = 0; k < 3; k++) sum[k] += pixels[at + 2 - k];
      }
      for (let k = 0; k < 3; k++) image[(r * size + c) * 3 + k] = Math.round(sum[k] / fine ** 2);
    }
    return { image, xy: data.landmarks.map(() => null), length: null };
  }

  async function said(name, planes, landmark) {
    const run = await session(name), side = data.side, k = data.landmarks.length;
    const out = await run.run({ image: new ort.Tensor("float32", planes, [1, 3, side, side]) });
    const points = n => Array.from({ length: k }, (_, i) => {
      const p = [out.stages.data[2 * (n * k + i)], out.stages.data[2 * (n * k + i) + 1]];
      return p.every(Number.isFinite) ? p : null;
    });
    let map = null;
    if (out.maps) {
      const [, h, w] = out.maps.dims, values = out.maps.data.subarray(landmark * h * w, (landmark + 1) * h * w);
      const top = Math.max(...values, 1e-12);
      map = { kind: "response", of: graphs.get(name).of, size_hw: [h, w], values: Uint8Array.from(values, v => Math.round(255 * Math.max(v, 0) / top)) };
    }
    const stages = graphs.get(name).stages.map((stage, n) => ({ name: stage, xy: points(n) }));
    return { name, stages, score: [...out.score.data], map, voices: [] };
  }

  async function answer(asked) {
    const plate = asked.picture === "own" ? ownPlate(asked.part) : plates.get(asked.picture);
    const truth = Core.placed(plate.xy, size, asked.knobs), at = truth[asked.landmark], n = data.side ** 2;
    const crop = Core.altered(plate.image, size, asked.knobs, at, noise, data.noise_unit, data.cover);
    const planes = new Float32Array(3 * n);
    for (let i = 0; i < n; i++) for (let c = 0; c < 3; c++) planes[c * n + i] = crop[3 * i + c];
    const models = [];
    for (const name of asked.models) models.push(await said(name, planes, asked.landmark));
    return { crop, truth, length: plate.length && plate.length * asked.knobs.scale, models };
  }

  async function take(file) {
    let bitmap;
    try {
      bitmap = await createImageBitmap(file);
    } catch {
      throw new Error("that is no picture that this browser can read: save it as PNG or JPEG");
    }
    const shrink = Math.min(1, 1600 / Math.max(bitmap.width, bitmap.height)), canvas = document.createElement("canvas");
    canvas.width = Math.max(2, Math.round(bitmap.width * shrink));
    canvas.height = Math.max(2, Math.round(bitmap.height * shrink));
    const to = canvas.getContext("2d");
    to.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    own = { pixels: to.getImageData(0, 0, canvas.width, canvas.height).data, w: canvas.width, h: canvas.height };
    return "own";
  }

  return { start, answer, own: take };
}
