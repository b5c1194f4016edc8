// Charts, drawn by hand as SVG. Each has a name for who cannot see it, a readout for
// pointer and keyboard, and a table.
import { h, fill, at as timeOf } from './dom.js';
import { clock, measured, value, visible } from './format.js';
import { table } from './parts.js';
import { linear, extent, padded, ticks, timeTicks, numbers, route, nearest } from './scale.js';

/**
 * A chart of readings over time.
 * @param {[string, any][]} points as the API has them: [time, value]
 * @param {{label: string, unit?: string, lines?: {value: number, kind: 'limit' | 'clear', severity?: string, text: string}[], marks?: {at: number, text: string}[], height?: number, until?: number, thinned?: boolean}} o
 * thinned points are a few of many, so that there is no silence between them; lines are limits; marks are moments; until is where the chart ends, left out: at its last point.
 * The element has update(points, o), which draws it anew.
 */
export function chart(points, o) {
  let list = numbers(points);
  let stepped = (points ?? []).some(([, v]) => typeof v === 'boolean');
  const readout = h('p', { class: 'readout', 'aria-live': 'off' });
  if (list.length === 0) return h('div', { class: 'chart-box' }, h('p', { class: 'quiet' }, 'No numbers are kept of this.'));
  const plot = h('div', { class: 'plot', tabindex: '0', role: 'group' });
  const label = () => plot.setAttribute('aria-label', visible(`${o.label}. ${summary(list, o)} Arrow keys read single values.`));
  let chosen = -1, drawn = null;
  label();

  const choose = (i) => {
    chosen = i;
    const p = list[i];
    fill(readout, ...p ? [h('strong', null, measured(p[1], o.unit)), ` at ${clock(p[0])}`, off(p[1], o)] : rest());
    drawn?.select(p);
  };
  const rest = () => [`${list.length} readings, ${clock(list[0][0])} to ${clock(list.at(-1)[0])}`];
  const draw = () => {
    const width = Math.max(240, plot.clientWidth || 640);
    drawn = svg(list, { ...o, width, stepped });
    fill(plot, drawn.el);
    choose(chosen);
  };
  plot.addEventListener('pointermove', (e) => choose(nearest(list, drawn.timeAt(e.clientX - plot.getBoundingClientRect().left))));
  plot.addEventListener('pointerleave', () => choose(-1));
  plot.addEventListener('blur', () => choose(-1));
  plot.addEventListener('keydown', (e) => {
    const to = { ArrowLeft: chosen < 0 ? list.length - 1 : Math.max(0, chosen - 1), ArrowRight: Math.min(list.length - 1, chosen + 1), Home: 0, End: list.length - 1 }[e.key];
    if (to === undefined) return;
    e.preventDefault();
    choose(to);
  });
  let last = 0;
  new ResizeObserver(() => {
    if (Math.abs(plot.clientWidth - last) < 2) return;
    last = plot.clientWidth;
    draw();
  }).observe(plot);
  const numbersOf = h('details', null, h('summary', null, 'As a table'));
  numbersOf.addEventListener('toggle', () => {
    if (!numbersOf.open || numbersOf.querySelector('table')) return;
    numbersOf.append(h('div', { class: 'body' }, table(o.label, [
      { title: 'Time', cell: (p) => timeOf(p[0]) }, { title: 'Value', class: 'number', cell: (p) => measured(p[1], o.unit) },
    ], list.toReversed())));
  });
  choose(-1);
  const el = h('figure', { class: 'chart-box' }, plot, readout, numbersOf);
  el.update = (more, how) => {
    const was = list[chosen];
    Object.assign(o, how);
    const now = numbers(more);
    if (now.length === 0) return;
    list = now;
    stepped = more.some(([, v]) => typeof v === 'boolean');
    chosen = was ? list.findIndex((p) => p[0] === was[0]) : -1;
    label();
    draw();
  };
  return el;
}

/** How far a value is off the first limit. */
function off(v, o) {
  const limit = o.lines?.find((l) => l.kind === 'limit');
  if (!limit) return null;
  const by = v - limit.value;
  return by === 0 ? ', at the limit' : `, ${measured(Math.abs(by), o.unit)} ${by > 0 ? 'above' : 'below'} the limit`;
}

function summary(list, o) {
  const [lo, hi] = extent(list.map((p) => p[1]));
  return `${list.length} readings, from ${measured(lo, o.unit)} to ${measured(hi, o.unit)}, the last ${measured(list.at(-1)[1], o.unit)}.` +
    (o.lines ?? []).map((l) => ` ${l.text}.`).join('');
}

function svg(list, o) {
  const { width } = o, height = o.height ?? (width < 480 ? 180 : 240);
  const right = 12, top = 12, bottom = 24;
  const range = padded(extent(list.map((p) => p[1]).concat((o.lines ?? []).map((l) => l.value))));
  const yTicks = o.stepped ? [0, 1] : ticks(range[0], range[1], 4);
  const yText = (v) => (o.stepped ? String(v === 1) : value(v));
  const left = 14 + 7 * Math.max(...yTicks.map((t) => yText(t).length));
  const from = list[0][0], to = Math.max(o.until ?? 0, list.at(-1)[0], from + 1);
  const x = linear(from, to, left, width - right), y = linear(range[0], range[1], height - bottom, top);
  const across = (v, cls) => h('line', { class: cls, x1: left, x2: width - right, y1: y(v).toFixed(1), y2: y(v).toFixed(1) });
  const upright = (t, cls) => h('line', { class: cls, x1: x(t).toFixed(1), x2: x(t).toFixed(1), y1: top, y2: height - bottom });
  const hover = h('line', { class: 'hover', y1: top, y2: height - bottom, visibility: 'hidden' });
  const dot = h('circle', { class: 'point', r: 4, visibility: 'hidden' });
  const spots = list.length <= 60 ? list : list.slice(-1);
  const labels = apart((o.lines ?? []).map((l) => ({ ...l, at: y(l.value) })), 13);
  const el = h('svg', { class: 'chart', width, height, viewBox: `0 0 ${width} ${height}`, 'aria-hidden': 'true' },
    yTicks.map((t) => [across(t, 'axis'), h('text', { x: left - 7, y: y(t) + 4, 'text-anchor': 'end' }, yText(t))]),
    timeTicks(from, to, Math.max(2, Math.floor(width / 110))).map((t) => h('text', { x: x(t).toFixed(1), y: height - 6, 'text-anchor': x(t) > width - 40 ? 'end' : x(t) < left + 20 ? 'start' : 'middle' }, short(t, to - from))),
    (o.marks ?? []).filter((m) => m.at >= from && m.at <= to).map((m) => [upright(m.at, 'mark'), h('text', { x: x(m.at) + (x(m.at) > width - 90 ? -5 : 5), y: top + 9, 'text-anchor': x(m.at) > width - 90 ? 'end' : 'start' }, m.text)]),
    (o.lines ?? []).map((l) => across(l.value, `${l.kind} ${l.severity ?? ''}`)),
    labels.map((l) => h('text', { class: `${l.kind}-text ${l.severity ?? ''}`, x: left + 6, y: l.at - 5 }, l.text)),
    h('path', { class: 'line', d: route(list, x, y, o.stepped, o.thinned ? Infinity : undefined) }),
    spots.map(([t, v]) => h('circle', { class: 'point', cx: x(t).toFixed(1), cy: y(v).toFixed(1), r: spots.length > 30 ? 2 : 3 })),
    hover, dot);
  return {
    el,
    timeAt: linear(left, width - right, from, to),
    select(p) {
      for (const e of [hover, dot]) e.setAttribute('visibility', p ? 'visible' : 'hidden');
      if (!p) return;
      for (const [e, names] of [[hover, ['x1', 'x2']], [dot, ['cx']]]) for (const name of names) e.setAttribute(name, x(p[0]).toFixed(1));
      dot.setAttribute('cy', y(p[1]).toFixed(1));
    },
  };
}

/** Moves labels apart that would lie on each other. */
function apart(labels, least) {
  const list = labels.toSorted((a, b) => a.at - b.at);
  for (let i = 1; i < list.length; i++) if (list[i].at - list[i - 1].at < least) list[i].at = list[i].at + least + 4;
  return list;
}

const minutes = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit' });
const seconds = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const days = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short' });
const short = (t, range) => (range < 5 * 60e3 ? seconds : range < 36 * 3600e3 ? minutes : days).format(t);

/**
 * A small line without axes, for rows of a list.
 * @param {[string, any][]} points
 * @param {{label: string, limit?: number, width?: number, height?: number}} o
 */
export function sparkline(points, o) {
  const list = numbers(points);
  const width = o.width ?? 120, height = o.height ?? 28;
  if (list.length === 0) return h('span', { class: 'spark quiet' }, '');
  const limit = Number.isFinite(o.limit) ? [o.limit] : [];
  const range = padded(extent(list.map((p) => p[1]).concat(limit)), 0.1);
  const x = linear(list[0][0], list.at(-1)[0], 2, width - 4), y = linear(range[0], range[1], height - 3, 3);
  const last = list.at(-1);
  return h('svg', { class: 'spark', viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': o.label },
    limit.map((v) => h('line', { x1: 0, x2: width, y1: y(v).toFixed(1), y2: y(v).toFixed(1) })),
    h('path', { d: route(list, x, y, points.some(([, v]) => typeof v === 'boolean')) }),
    h('circle', { cx: x(last[0]).toFixed(1), cy: y(last[1]).toFixed(1), r: 2 }));
}
