// A list of very many rows, of which only those that can be seen are in the document.
// It scrolls with the page, and the scrollbar is true: a row is as high as any other.
import { h, fill, calm } from './dom.js';

const chunk = 100; // rows that are asked for at once
const around = 8; // rows that are drawn beyond the edges, for the keyboard to go to
const highest = 8_000_000; // px; browsers draw nothing far below

/**
 * @param {{
 *   label: string, head: HTMLElement | null, height: () => number, signal: AbortSignal,
 *   load: (skip: number, limit: number) => Promise<{rows: any[], total: number}>,
 *   draw: (el: HTMLElement, row: any) => void, rested?: (rows: {row: any, el: HTMLElement}[]) => void,
 *   counted?: (total: number) => void, failed: (err: Error) => void,
 * }} o
 * head names the columns. draw fills the element of a row, which is drawn anew when it
 * has changed. rested is told which rows can be seen when scrolling has come to rest.
 */
export function rows(o) {
  const body = h('div', { class: 'rows-body', role: 'rowgroup' });
  const el = h('div', { class: 'rows', role: 'table', 'aria-label': o.label }, o.head, body);
  let total = -1, chunks = new Map(), shown = new Map(), asking = new Set(), version = 0, height = -1;

  const most = () => Math.floor(highest / o.height());
  const row = (i) => chunks.get(Math.floor(i / chunk))?.[i % chunk];

  /** Which rows can be seen: from, to. */
  const seen = (beyond) => {
    const top = body.getBoundingClientRect().top, high = o.height();
    const from = Math.max(0, Math.floor(-top / high) - beyond);
    return [from, Math.min(Math.min(total, most()), Math.ceil((innerHeight - top) / high) + beyond)];
  };

  function draw() {
    if (o.signal.aborted) return;
    const high = o.height();
    const all = Math.max(0, Math.min(total, most())) * high;
    if (all !== height) { // what has not changed is not written: each time would be a layout
      height = all;
      body.style.height = `${all}px`;
      el.setAttribute('aria-rowcount', String(total + 1));
    }
    const [from, to] = seen(around);
    for (const [i, s] of shown) {
      if ((i < from || i >= to) && !s.el.contains(document.activeElement)) { s.el.remove(); shown.delete(i); }
    }
    let before = null; // rows stand in the document as they stand on the screen
    for (let i = from; i < to; i++) {
      let s = shown.get(i);
      if (!s) {
        s = { el: h('div', { class: 'rows-row', role: 'row', 'aria-rowindex': i + 2, data: { row: '' } }), row: undefined, top: -1 };
        shown.set(i, s);
        const next = before ? before.nextSibling : [...shown].filter(([j]) => j > i).sort(([a], [b]) => a - b)[0]?.[1].el ?? null;
        body.insertBefore(s.el, next);
      }
      if (s.top !== i * high) { s.top = i * high; s.el.style.transform = `translateY(${s.top}px)`; }
      const now = row(i) ?? null;
      if (s.row !== now) {
        s.row = now;
        if (now) o.draw(s.el, now);
        else fill(s.el, h('span', { class: 'bone', role: 'cell' }));
      }
      before = s.el;
    }
  }

  async function ask() {
    const [from, to] = seen(around), own = version;
    for (let n = Math.floor(from / chunk); n * chunk < Math.max(to, 1); n++) {
      if (asking.has(n) || chunks.has(n)) continue;
      asking.add(n);
      try {
        const page = await o.load(n * chunk, chunk);
        if (own !== version) return;
        take(n, page);
      } catch (err) {
        if (!o.signal.aborted && own === version) o.failed(err);
        return;
      } finally {
        if (own === version) asking.delete(n);
      }
    }
    draw();
    rested();
  }

  function take(n, page) {
    if (page.total !== total) { total = page.total; o.counted?.(total); }
    chunks.set(n, page.rows);
    if (chunks.size > 40) chunks.delete(chunks.keys().next().value);
    draw();
  }

  function rested() {
    if (!o.rested || o.signal.aborted) return;
    const [from, to] = seen(0);
    const list = [];
    for (let i = from; i < to; i++) if (shown.get(i)?.row) list.push(shown.get(i));
    if (list.length) o.rested(list);
  }

  const rest = calm(ask, 80, o.signal);
  let due = 0;
  const moved = () => {
    if (!due) due = requestAnimationFrame(() => { due = 0; draw(); });
    rest();
  };
  addEventListener('scroll', moved, { passive: true, signal: o.signal });
  addEventListener('resize', moved, { signal: o.signal });
  o.signal.addEventListener('abort', () => cancelAnimationFrame(due));

  return {
    el,
    /** Another list in the place of this one: everything is asked for anew. */
    async reset() {
      version++;
      chunks = new Map(); asking = new Set();
      await ask();
    },
    /** The same list, as it is now: what can be seen is asked for again. */
    async refresh() {
      const own = ++version, [from, to] = seen(0);
      asking = new Set();
      const fresh = new Map();
      for (let n = Math.floor(from / chunk); n * chunk < Math.max(to, 1); n++) {
        const page = await o.load(n * chunk, chunk);
        if (own !== version) return;
        fresh.set(n, page);
      }
      chunks = new Map();
      for (const [n, page] of fresh) take(n, page);
      draw();
      rested();
    },
    /** Draws a row again whose surroundings have changed. */
    redraw: (one) => { o.draw(one.el, one.row); },
  };
}
