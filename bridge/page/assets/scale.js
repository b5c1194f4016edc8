// The arithmetic of charts. Nothing here touches the document.

/** Maps [d0, d1] to [r0, r1]; where the first has no length, to the middle of the second. */
export function linear(d0, d1, r0, r1) {
  if (d0 === d1) return () => (r0 + r1) / 2;
  const k = (r1 - r0) / (d1 - d0);
  return (v) => r0 + (v - d0) * k;
}

/** The least and the greatest of numbers; null for none. Others than finite ones are left out. */
export function extent(values) {
  let lo = Infinity, hi = -Infinity;
  for (const v of values) {
    if (!Number.isFinite(v)) continue;
    if (v < lo) lo = v;
    if (v > hi) hi = v;
  }
  return lo > hi ? null : [lo, hi];
}

/** Widens a range by a part of it, so that a line does not lie on the frame. */
export function padded([lo, hi], part = 0.08) {
  const by = hi > lo ? (hi - lo) * part : Math.abs(lo) * part || 1;
  return [lo - by, hi + by];
}

/** Round numbers from lo to hi, about n of them. */
export function ticks(lo, hi, n = 5) {
  const raw = (hi - lo) / Math.max(1, n);
  if (!(raw > 0) || !Number.isFinite(raw)) return [lo];
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].find((m) => m * power >= raw * 0.999) * power;
  const list = [];
  for (let i = Math.ceil(lo / step - 1e-9); i * step <= hi + step * 1e-9 && list.length < 50; i++) list.push(Number((i * step).toPrecision(12)));
  return list;
}

const second = 1000, minute = 60 * second, hour = 60 * minute, day = 24 * hour;
const steps = [1, 2, 5, 10, 15, 30].map((n) => n * second).concat([1, 2, 5, 10, 15, 30].map((n) => n * minute), [1, 2, 3, 6, 12].map((n) => n * hour), [1, 2, 7, 14, 30].map((n) => n * day));

/** Moments at round times of the local clock, at most about n of them. */
export function timeTicks(lo, hi, n = 6) {
  const step = steps.find((s) => (hi - lo) / s <= n) ?? (hi - lo) / n;
  const zone = new Date(lo).getTimezoneOffset() * minute;
  const list = [];
  for (let t = Math.ceil((lo - zone) / step) * step + zone; t <= hi && list.length < 50; t += step) list.push(t);
  return list;
}

/** Reads points of the API, [time, value], as [ms, number]: true is 1; what is no number has none. */
export function numbers(points) {
  const list = [];
  for (const [time, v] of points ?? []) {
    const at = Date.parse(time);
    const n = v === true ? 1 : v === false ? 0 : v;
    if (!Number.isNaN(at) && typeof n === 'number' && Number.isFinite(n)) list.push([at, n]);
  }
  return list.sort((a, b) => a[0] - b[0]);
}

/**
 * How long a silence is that a line must not hide: ten times what is usual between
 * two points. Of few points nothing is usual.
 */
export function gap(points) {
  if (points.length < 10) return Infinity;
  const between = points.slice(1).map((p, i) => p[0] - points[i][0]).sort((a, b) => a - b);
  return Math.max(10 * between[between.length >> 1], 5000);
}

/** A path through points; with steps a value holds until the next one. It is broken at silences longer than most. */
export function route(points, x, y, stepped = false, most = gap(points)) {
  let d = '';
  points.forEach(([at, v], i) => {
    const px = x(at).toFixed(1), py = y(v).toFixed(1);
    d += i === 0 || at - points[i - 1][0] > most ? `M${px} ${py}` : stepped ? `H${px}V${py}` : `L${px} ${py}`;
  });
  return d;
}

/** The index of the point nearest to a moment; -1 for none. */
export function nearest(points, at) {
  let best = -1;
  points.forEach(([t], i) => { if (best < 0 || Math.abs(t - at) < Math.abs(points[best][0] - at)) best = i; });
  return best;
}
