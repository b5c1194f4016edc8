// Making elements. Texts become text nodes, never markup: the policy of the page
// has no way from a string to an element, and neither has this file.
import { visible, relative, span, absolute, clock, when } from './format.js';

const svgSpace = 'http://www.w3.org/2000/svg';
const svgTags = new Set(['svg', 'g', 'path', 'line', 'rect', 'circle', 'polyline', 'polygon', 'text', 'title:svg', 'desc', 'clipPath', 'defs']);

/**
 * Makes an element.
 *
 * Props: "class", "on" (listeners by event), "data" (dataset), and attributes by
 * their names; true writes an empty attribute, null, undefined and false none.
 * Children: elements, texts, lists of them; null, undefined and false are left out.
 * @param {string} tag
 * @param {object | null} [props]
 * @param {...any} children
 * @returns {any}
 */
export function h(tag, props, ...children) {
  const el = svgTags.has(tag) ? document.createElementNS(svgSpace, tag.replace(':svg', '')) : document.createElement(tag);
  for (const [name, v] of Object.entries(props ?? {})) {
    if (v === null || v === undefined || v === false) continue;
    if (name === 'on') for (const [event, fn] of Object.entries(v)) el.addEventListener(event, fn);
    else if (name === 'data') Object.assign(el.dataset, v);
    else if (name === 'value') el.value = v;
    else if (name === 'href') el.setAttribute('href', harmless(String(v)));
    else el.setAttribute(name, v === true ? '' : visible(v));
  }
  add(el, children);
  return el;
}

/** Only addresses that open a page: a rule's runbook is somebody else's text. */
export const harmless = (href) => (/^(#|https?:[/]{2}|\/(?!\/)|mailto:)/i.test(href) ? href : '#/');

function add(el, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    el.append(child instanceof Node ? child : visible(child));
  }
}

/** Puts children in the place of all that an element had. */
export function fill(el, ...children) {
  el.replaceChildren();
  add(el, children);
  return el;
}

/** A name that somebody else has chosen: it keeps its direction to itself, and is cut by the style where it has no room. */
export const name = (text, props) => h('bdi', { class: 'name', title: String(text).length > 40 ? text : null, ...props }, text);

/**
 * A time that goes on being right: "4 min ago", or with since "4 min". With due it is
 * when something may be done at the earliest, which nobody was late with: when it has
 * come, that is said. The moment itself is its title.
 * @param {string | number} at
 * @param {{since?: boolean, due?: boolean, class?: string}} [how]
 */
export function ago(at, how = {}) {
  const ms = typeof at === 'number' ? at : when(at);
  if (ms === null) return h('span', { class: 'quiet' }, '–');
  const el = h('time', { class: how.class, datetime: new Date(ms).toISOString(), title: absolute(ms), data: { ago: how.since ? 'since' : how.due ? 'due' : 'ago' } });
  tick(el, Date.now());
  return el;
}

/** A time of day, with the moment in full as its title. */
export function at(text, how = {}) {
  const ms = typeof text === 'number' ? text : when(text);
  if (ms === null) return h('span', { class: 'quiet' }, '–');
  return h('time', { class: how.class ?? 'number', datetime: new Date(ms).toISOString(), title: absolute(ms) }, clock(ms));
}

function tick(el, now) {
  const ms = Date.parse(el.getAttribute('datetime'));
  const text = el.dataset.ago === 'since' ? span(Math.max(1000, now - ms)) : el.dataset.ago === 'due' && ms <= now ? 'when its turn comes' : relative(ms, now);
  if (el.textContent !== text) el.textContent = text;
}

/** Keeps every [ago] of the document right. One timer serves them all. */
export function startTicking() {
  setInterval(() => {
    if (document.hidden) return;
    const now = Date.now();
    for (const el of document.querySelectorAll('time[data-ago]')) tick(el, now);
  }, 1000);
}

/**
 * Calls fn once when calls have stopped for a while, or at most that late after the
 * first: what is typed, and storms of events.
 */
export function calm(fn, ms, signal) {
  let timer = 0;
  signal?.addEventListener('abort', () => clearTimeout(timer));
  return (...args) => {
    clearTimeout(timer);
    if (!signal?.aborted) timer = setTimeout(() => fn(...args), ms);
  };
}

/** Calls fn at most once in ms, and once more after the last call. */
export function seldom(fn, ms, signal) {
  let timer = 0, again = false;
  signal?.addEventListener('abort', () => clearTimeout(timer));
  const call = () => {
    if (signal?.aborted) return;
    if (timer) { again = true; return; }
    fn();
    timer = setTimeout(() => { timer = 0; if (again) { again = false; call(); } }, ms);
  };
  return call;
}
