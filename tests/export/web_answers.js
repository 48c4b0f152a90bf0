// The textbook's cases, answered by the page's engine: used by test_web_engine.py in Node and in Chromium.
"use strict";

function unpacked(value) {                                    // {shape, data: [...]} -> an array of the engine
  if (value === null || typeof value !== "object" || Array.isArray(value)) return value;
  if (value.shape) return array_of(value.shape, Float64Array.from(value.data));
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, unpacked(part)]));
}

function packed(value) {
  if (value === null || value === undefined || typeof value !== "object") return value ?? null;
  if (Array.isArray(value)) return value.map(packed);
  if (value.shape) return {shape: value.shape, data: Array.from(value.data)};
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, packed(part)]));
}

function arrays_in(args) {                                    // -> {"0": array, "1.norm.weight": array}
  const found = {};
  args.forEach((argument, i) => {
    if (argument?.shape) found[i] = argument;
    else if (argument && typeof argument === "object" && !Array.isArray(argument)) {
      for (const [name, part] of Object.entries(argument)) found[`${i}.${name}`] = part;
    }
  });
  return found;
}

// One case -> {out, gradients: {place: array}}, and how far each is from a numerical gradient of sum(out dout).
function answer({layer, args: given, dout: upstream, numeric}) {
  const [forward, backward] = ["forward", "backward"].map(way => globalThis[`${layer}_${way}`]);
  const args = given.map(unpacked), dout = unpacked(upstream);
  const at = args.findIndex(x => x && typeof x === "object" && !x.shape && !Array.isArray(x));  // of p
  const g = at < 0 ? null : Object.fromEntries(Object.entries(args[at]).map(([name, x]) => [name, zeros_like(x)]));
  const [out, cache] = forward(...args), found = g ? backward(dout, cache, g) : backward(dout, cache);
  const gradients = {}, places = Object.keys(arrays_in(args)).filter(place => !place.includes("."));
  const list = Array.isArray(found) ? found : found === undefined ? [] : [found];
  places.forEach((place, i) => { gradients[place] = list[i]; });
  for (const name in g) gradients[`${at}.${name}`] = g[name];
  const apart = {};
  if (numeric) {
    const value = () => {
      const [now] = forward(...args);
      return typeof now === "number" ? now * dout : now.data.reduce((sum, x, i) => sum + x * dout.data[i], 0);
    };
    for (const [place, x] of Object.entries(arrays_in(args))) {
      let worst = 0, size = 0;
      const h = 1e-3 * Math.max(0.01, Math.sqrt(x.data.reduce((sum, v) => sum + v * v, 0) / x.data.length));
      for (let i = 0; i < x.data.length; i++) {
        const kept = x.data[i], moved = steps => { x.data[i] = kept + steps * h; return value(); };
        const slope = (8 * (moved(1) - moved(-1)) - (moved(2) - moved(-2))) / (12 * h);
        x.data[i] = kept;
        worst = Math.max(worst, Math.abs(slope - gradients[place].data[i]));
        size = Math.max(size, Math.abs(slope), Math.abs(gradients[place].data[i]));
      }
      apart[place] = size ? worst / size : worst;
    }
  }
  return {out: packed(out), gradients: packed(gradients), apart};
}
