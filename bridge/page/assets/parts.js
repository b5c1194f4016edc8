// What views are made of: chips, buttons, tables, lists of facts, and what is shown
// when there is nothing or something went wrong.
import { h, fill, ago } from './dom.js';
import { Problem } from './api.js';

/** @typedef {'critical' | 'major' | 'warning' | 'info'} Severity */

// Told apart by their shape as well: an octagon, a triangle, a diamond, a circle.
const shapes = {
  critical: 'M5 1h6l4 4v6l-4 4H5l-4-4V5z',
  major: 'M8 1.500 15.300 14.500H.7z',
  warning: 'M8 .8 15.200 8 8 15.200.8 8z',
  info: 'M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1z',
};

/** The shape of a severity. */
export const shape = (severity) => h('svg', { class: `shape ${severity ?? ''}`, viewBox: '0 0 16 16', 'aria-hidden': 'true' }, h('path', { d: shapes[severity] ?? shapes.info }));

/** A severity by colour, shape and word. */
export const severity = (name) => h('span', { class: `severity ${name}` }, shape(name), name);

// How states look: bad, late, good, calm, or without a colour.
const tones = {
  firing: 'bad', recovering: 'late', pending: 'calm', inactive: 'plain',
  delivered: 'good', accepted: 'good', waiting: 'late', dead: 'bad', cancelled: 'plain', superseded: 'plain', dropped: 'bad',
  active: 'good', failing: 'late', open: 'bad', half_open: 'late', disabled: 'bad', paused: 'plain', unconfigured: 'plain',
  online: 'good', offline: 'plain', lost: 'bad', sleeping: 'calm', unknown: 'plain',
};

/**
 * A short word in a frame. Tone: good, late, bad, calm or plain; left out, that of
 * the word where it is a known state.
 * @param {string} word
 * @param {{tone?: string, title?: string}} [how]
 */
export const chip = (word, how = {}) => h('span', { class: `chip ${how.tone ?? tones[word] ?? 'plain'}`, title: how.title }, String(word).replace('_', ' '));

/**
 * A button that does something once. While it does, it is busy; what goes wrong is
 * shown beside it. Without the scope it is shown, and says what it takes.
 * @param {string} text
 * @param {{run: () => any, api?: import('./api.js').Api, scope?: string, kind?: 'main' | 'danger' | 'quiet', label?: string, title?: string, said?: HTMLElement, data?: object}} o
 * said is where the outcome is written; run may return a text for it.
 */
export function button(text, o) {
  const may = !o.scope || !o.api || o.api.can(o.scope);
  const el = h('button', {
    type: 'button', class: `button ${o.kind ?? ''}`, data: o.data, 'aria-label': o.label,
    title: may ? o.title : `This needs a token of the scope ${o.scope}; yours has ${o.api.me.scope}`,
    'aria-disabled': may ? null : 'true',
  }, text);
  el.addEventListener('click', async () => {
    if (!may || el.getAttribute('aria-busy') === 'true') return;
    el.setAttribute('aria-busy', 'true');
    if (o.said) fill(o.said);
    try {
      const said = await o.run();
      if (o.said && said) fill(o.said, h('p', { class: 'done', role: 'status' }, said));
    } catch (err) {
      if (err.name !== 'AbortError' && o.said) fill(o.said, problem(err));
      else if (err.name !== 'AbortError') throw err;
    } finally {
      el.removeAttribute('aria-busy');
    }
  });
  return el;
}

/** What went wrong: the server's own words, which say where, what, and what to do. */
export function problem(err) {
  const own = err instanceof Problem;
  return h('div', { class: 'problem', role: 'alert' },
    h('strong', null, own ? (err.status ? `${err.title} (${err.status})` : err.title) : 'This page has a defect'),
    h('p', null, own ? err.message : `${err.name}: ${err.message} (reload the page; if it stays, report it with these words)`),
    own && err.problems?.length > 0 && problemList(err.problems));
}

/** The problems of a configuration or a rule. */
export const problemList = (list) => h('ul', { class: 'problems' }, list.map((p) => h('li', null,
  h('code', null, [p.file, p.line, p.column].filter(Boolean).join(':')), ' ', p.place ? h('strong', null, p.place, ': ') : '', p.fact,
  p.remedy ? h('span', { class: 'quiet' }, ` (${p.remedy})`) : null)));

/** What is shown where there is nothing: what that means, and what to do. */
export const empty = (title, ...more) => h('div', { class: 'empty' }, h('p', { class: 'empty-title' }, title), more.filter(Boolean).map((m) => (m instanceof Node ? m : h('p', { class: 'quiet' }, m))));

/** What is shown until there is something. */
export const loading = (rows = 3) => h('div', { class: 'loading', 'aria-hidden': 'true' }, Array.from({ length: rows }, () => h('div', { class: 'bone' })));

/** The heading of a view, with what belongs beside it. */
export const heading = (title, ...beside) => h('div', { class: 'heading' }, h('h1', { tabindex: '-1' }, title), h('div', { class: 'beside' }, beside));

/** A part of a view, in a card. */
export const section = (title, ...children) => h('section', { class: 'card', 'aria-label': title }, h('h2', null, title), children);

/** Names and what they are. Rows: [name, content]; those without content are left out. */
export const facts = (rows) => h('dl', { class: 'facts' }, rows.filter(([, v]) => v !== null && v !== undefined && v !== '' && v !== false).map(([k, v]) => h('div', null, h('dt', null, k), h('dd', null, v))));

/**
 * A table. Columns: {title, cell: row => content, class: 'number' | 'grow' | 'wide-only', label}.
 * On a narrow screen rows become cards and each cell shows its column's title.
 */
export function table(caption, columns, rows, o = {}) {
  return h('table', { class: 'table' },
    h('caption', { class: 'unseen' }, caption),
    h('thead', null, h('tr', null, columns.map((c) => h('th', { scope: 'col', class: c.class }, c.title)))),
    h('tbody', null, rows.map((row) => h('tr', { data: o.data?.(row), class: o.class?.(row) },
      columns.map((c) => h('td', { class: c.class, data: { label: c.title } }, h('div', null, c.cell(row))))))));
}

/**
 * A field that filters. It takes the key "/".
 * @param {string} label
 * @param {{value?: string, change: (text: string) => void}} o
 */
export function filter(label, o) {
  const el = h('input', { type: 'search', class: 'field', placeholder: label, 'aria-label': label, data: { filter: '' }, value: o.value ?? '', autocomplete: 'off', spellcheck: 'false', maxlength: '200' });
  el.addEventListener('input', () => o.change(el.value.trim()));
  return el;
}

/**
 * A choice of one.
 * @param {string} label
 * @param {[string, string][]} options value and text
 */
export function choice(label, options, o) {
  const el = h('select', { class: 'field', 'aria-label': label }, options.map(([v, text]) => h('option', { value: v }, text)));
  el.value = o.value ?? '';
  el.addEventListener('change', () => o.change(el.value));
  return el;
}

/** A heading figure: a number, what it counts, and where to look closer. */
export const figure = (n, what, o = {}) => h(o.href ? 'a' : 'div', { class: `figure ${o.tone ?? ''}`, href: o.href, title: o.title },
  h('span', { class: 'figure-number' }, n), h('span', { class: 'figure-what' }, what));

/** A dialog over the page. It closes with Escape, and gives the focus back. */
export function dialog(title, ...children) {
  const close = h('button', { type: 'button', class: 'button quiet', 'aria-label': 'Close' }, '✕');
  const el = h('dialog', { class: 'dialog', 'aria-label': title }, h('div', { class: 'dialog-head' }, h('h2', null, title), close), children);
  close.addEventListener('click', () => el.close());
  el.addEventListener('click', (e) => { if (e.target === el) el.close(); });
  el.addEventListener('close', () => el.remove());
  document.body.append(el);
  el.showModal();
  return el;
}

/** How a delivery stands: accepted, waiting for its next attempt, or given up. */
export function deliveryState(d) {
  if (d.state === 'delivered') return chip('accepted', { tone: 'good', title: d.status ? `answered ${d.status}` : null });
  if (d.state === 'dead') return chip('given up', { tone: 'bad', title: d.error });
  if (d.state === 'waiting' && d.tries > 0) return chip('retrying', { tone: 'late', title: d.error });
  return chip(d.state, { title: d.error });
}

export { ago };
