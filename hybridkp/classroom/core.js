// Arithmetic alone: what altering.py, gaussian_pyramid and hog_histograms compute, and errors.  Pictures are
// arrays row by row; colour is blue, green, red.  Tests hold every function against Python's.
"use strict";

const Core = (() => {
  const clip = (v, low, high) => Math.min(Math.max(v, low), high);

  function turn(knobs) {
    const angle = knobs.rotation * Math.PI / 180;
    return [Math.cos(angle), Math.sin(angle)];
  }

  /** Points of the plate in the altered crop; null stays null. */
  function placed(xy, plateSide, knobs) {
    const side = plateSide / 2, [cos, sin] = turn(knobs);
    return xy.map(p => {
      if (!p) return null;
      const x = p[0] - (plateSide - 1) / 2, y = p[1] - (plateSide - 1) / 2;
      return [knobs.scale * (cos * x - sin * y) + ((side - 1) / 2 + knobs.right / 100 * side),
        knobs.scale * (sin * x + cos * y) + ((side - 1) / 2 + knobs.down / 100 * side)];
    });
  }

  /** [[first column, one after the last], [rows alike]] of the square of occlusion. */
  function covered(side, percent, at) {
    const half = percent / 100 * side / 2, middle = at || [(side - 1) / 2, (side - 1) / 2];
    return middle.map(m => [m - half, m + half].map(v => clip(Math.floor(v + 1), 0, side)));
  }

  function sampled(plate, size, knobs) {
    const side = size / 2, [cos, sin] = turn(knobs), out = new Float64Array(side * side * 3);
    for (let r = 0; r < side; r++) for (let c = 0; c < side; c++) {
      const right = (c - ((side - 1) / 2 + knobs.right / 100 * side)) / knobs.scale;
      const down = (r - ((side - 1) / 2 + knobs.down / 100 * side)) / knobs.scale;
      const x = clip(cos * right + sin * down + (size - 1) / 2, 0, size - 1);
      const y = clip(cos * down - sin * right + (size - 1) / 2, 0, size - 1);
      const x0 = Math.min(Math.floor(x), size - 2), y0 = Math.min(Math.floor(y), size - 2);
      const fx = x - x0, fy = y - y0, at = (y0 * size + x0) * 3, below = at + size * 3;
      for (let k = 0; k < 3; k++) {
        const top = plate[at + k] * (1 - fx) + plate[at + 3 + k] * fx;
        const bottom = plate[below + k] * (1 - fx) + plate[below + 3 + k] * fx;
        out[(r * side + c) * 3 + k] = top * (1 - fy) + bottom * fy;
      }
    }
    return out;
  }

  /** A row of weights along x or y of h x w x channels, the border repeated. */
  function filtered(image, h, w, channels, weights, alongX) {
    const reach = (weights.length - 1) / 2, out = new Float64Array(image.length);
    for (let i = 0; i < weights.length; i++) for (let r = 0; r < h; r++) for (let c = 0; c < w; c++) {
      const from = alongX ? r * w + clip(c + i - reach, 0, w - 1) : clip(r + i - reach, 0, h - 1) * w + c;
      for (let k = 0; k < channels; k++) out[(r * w + c) * channels + k] += weights[i] * image[from * channels + k];
    }
    return out;
  }

  function gaussian(sigma, reach) {
    const weights = [];
    for (let i = -reach; i <= reach; i++) weights.push(Math.exp(-(i * i) / (2 * sigma * sigma)));
    const sum = weights.reduce((a, b) => a + b, 0);
    return weights.map(v => v / sum);
  }

  /** The crop that the sliders make of a plate. */
  function altered(plate, size, knobs, at, noise, unit, cover) {
    const side = size / 2;
    let out = sampled(plate, size, knobs);
    if (knobs.occlusion > 0) {
      const [[x0, x1], [y0, y1]] = covered(side, knobs.occlusion, at);
      for (let r = y0; r < y1; r++) out.fill(cover, (r * side + x0) * 3, (r * side + x1) * 3);
    }
    if (knobs.blur > 0) {
      const weights = gaussian(knobs.blur, Math.ceil(3 * knobs.blur));
      out = filtered(filtered(out, side, side, 3, weights, true), side, side, 3, weights, false);
    }
    if (knobs.noise > 0) out = out.map((v, i) => v + knobs.noise * (noise[i] / unit));
    return Uint8Array.from(out, v => clip(Math.floor(v + 0.5), 0, 255));
  }

  /** Grey levels as OpenCV makes them of colour. */
  function grey(crop) {
    const out = new Float64Array(crop.length / 3);
    for (let i = 0; i < out.length; i++)
      out[i] = Math.floor((3735 * crop[3 * i] + 19235 * crop[3 * i + 1] + 9798 * crop[3 * i + 2] + 16384) / 32768);
    return out;
  }

  /** Levels of the Gaussian pyramid, each with half the pixels along a side, as long as they have 8 or more. */
  function pyramid(image, side, most) {
    const levels = [{ side, values: image }], weights = gaussian(Math.SQRT1_2, 3);
    while (levels.length < most && Math.round(levels.at(-1).side / 2) >= 8) {
      const { side: w, values } = levels.at(-1), half = Math.round(w / 2), next = new Float64Array(half * half);
      const soft = filtered(filtered(values, w, w, 1, weights, true), w, w, 1, weights, false);
      for (let r = 0; r < half; r++) for (let c = 0; c < half; c++) {
        const y = [2 * r, Math.min(2 * r + 1, w - 1)], x = [2 * c, Math.min(2 * c + 1, w - 1)];
        next[r * half + c] = (soft[y[0] * w + x[0]] + soft[y[0] * w + x[1]] + soft[y[1] * w + x[0]] + soft[y[1] * w + x[1]]) / 4;
      }
      levels.push({ side: half, values: next });
    }
    return levels;
  }

  /** Histograms of gradients, nine directions a cell; [row][column][direction]. */
  function hog(values, side, cell) {
    const n = Math.floor(side / cell), out = [];
    for (let r = 0; r < n; r++) out.push(Array.from({ length: n }, () => new Array(9).fill(0)));
    const pixel = (y, x) => clip(Math.round(values[clip(y, 0, side - 1) * side + clip(x, 0, side - 1)]), 0, 255);
    for (let y = 0; y < n * cell; y++) for (let x = 0; x < n * cell; x++) {
      const dx = pixel(y, x + 1) - pixel(y, x - 1), dy = pixel(y + 1, x) - pixel(y - 1, x);
      const angle = ((Math.atan2(dy, dx) * 180 / Math.PI) % 180 + 180) % 180 / 20, low = Math.floor(angle);
      const bins = out[Math.floor(y / cell)][Math.floor(x / cell)], size = Math.hypot(dx, dy);
      bins[low % 9] += (1 - (angle - low)) * size;
      bins[(low + 1) % 9] += (angle - low) * size;
    }
    return out;
  }

  /** Distance of each point to its truth as a share of a length; null where one of them is not known. */
  function errors(xy, truth, length) {
    return xy.map((p, k) => p && truth[k] && length ? Math.hypot(p[0] - truth[k][0], p[1] - truth[k][1]) / length : null);
  }

  function mean(values) {
    const known = values.filter(v => v !== null);
    return known.length ? known.reduce((a, b) => a + b, 0) / known.length : null;
  }

  /** What was sent as text; what is bytes already stays so. */
  const bytes = text => typeof text === "string" ? Uint8Array.from(atob(text), c => c.charCodeAt(0)) : text;

  return { placed, covered, altered, grey, pyramid, hog, errors, mean, bytes };
})();
