// What is shown of texts, times and numbers. Nothing here touches the document.

// Characters that change how others are drawn, or are not drawn at all: controls,
// marks of direction, invisible ones. Joiners stay, since scripts and emoji need them.
const unseen = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]|[\u{e0000}-\u{e007f}]|[\ud800-\udfff]/gu;

/**
 * Makes a text that somebody else has written harmless to look at: what would
 * reorder or hide its neighbours is written out.
 * @param {unknown} text
 */
export function visible(text) {
  return String(text).replace(unseen, (c) => `⟨U+${c.codePointAt(0).toString(16).toUpperCase().padStart(4, '0')}⟩`);
}

/** Cuts a text to a length, at a whole character. */
export function clip(text, most = 200) {
  const all = String(text);
  if (all.length <= most) return all;
  return all.slice(0, most).replace(/[\ud800-\udbff]$/, '') + '…';
}

const second = 1000, minute = 60 * second, hour = 60 * minute, day = 24 * hour;

/**
 * A length of time in at most two units: "8 s", "4 min", "2 h 5 min", "3 d 4 h".
 * @param {number} ms
 */
export function span(ms) {
  const d = Math.max(0, ms);
  if (d < second) return `${Math.round(d)} ms`;
  if (d < minute) return `${Math.floor(d / second)} s`;
  if (d < hour) return `${Math.floor(d / minute)} min`;
  const two = (big, bigName, small, smallName) => {
    const rest = Math.floor((d % big) / small);
    return `${Math.floor(d / big)} ${bigName}` + (rest ? ` ${rest} ${smallName}` : '');
  };
  return d < day ? two(hour, 'h', minute, 'min') : two(day, 'd', hour, 'h');
}

/**
 * A moment as seen from now: "just now", "4 min ago", "in 2 h".
 * @param {number} at in milliseconds
 * @param {number} now
 */
export function relative(at, now) {
  const d = now - at;
  if (Math.abs(d) < 2 * second) return 'just now';
  return d > 0 ? `${span(d)} ago` : `in ${span(-d)}`;
}

/** Reads a time of the API; null for none. */
export function when(text) {
  if (!text) return null;
  const at = Date.parse(text);
  return Number.isNaN(at) || at < 0 ? null : at;
}

const clockOf = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const dayOf = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short' });
const allOf = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'long' });

/** The time of day, and the day where that is not today. */
export function clock(at, now = Date.now()) {
  const time = clockOf.format(at);
  return new Date(at).toDateString() === new Date(now).toDateString() ? time : `${dayOf.format(at)} ${time}`;
}

/** A moment in full, with its zone, for a title. */
export const absolute = (at) => allOf.format(at);

const units = { ns: 1e-6, us: 1e-3, 'µs': 1e-3, 'μs': 1e-3, ms: 1, s: second, m: minute, h: hour };

/** Reads a length of time as Go writes it ("1m30.5s", "812µs"); null for what is none. */
export function duration(text) {
  let ms = 0, rest = String(text ?? '');
  if (rest === '') return null;
  const sign = rest.startsWith('-') ? -1 : 1;
  rest = rest.replace(/^[-+]/, '');
  if (rest === '0') return 0;
  while (rest) {
    const part = /^(\d+(?:\.\d*)?)(ns|us|µs|μs|ms|s|m|h)/.exec(rest);
    if (!part) return null;
    ms += Number(part[1]) * units[part[2]];
    rest = rest.slice(part[0].length);
  }
  return sign * ms;
}

/** A length of time as Go writes it, for people: "812 µs", "24 ms", "1.3 s", "4 min". */
export function took(text) {
  const ms = duration(text);
  if (ms === null) return String(text ?? '');
  if (ms < 1) return `${Math.round(ms * 1000)} µs`;
  if (ms < 1000) return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
  if (ms < 10 * second) return `${(ms / 1000).toFixed(1)} s`;
  return span(ms);
}

/** A value as people read it: five digits at most, and true, false and texts as they are. */
export function value(v) {
  if (v === null || v === undefined) return 'no value';
  if (typeof v !== 'number') return clip(v, 80);
  if (!Number.isFinite(v)) return String(v);
  const size = Math.abs(v);
  if (size !== 0 && (size >= 1e9 || size < 1e-4)) return v.toExponential(2);
  return new Intl.NumberFormat('en-GB', { maximumSignificantDigits: 5, useGrouping: size >= 1e4 }).format(v).replace('-', '−');
}

/** A value with its unit. */
export const measured = (v, unit) => value(v) + (unit && v !== null && v !== undefined ? ` ${unit}` : '');

/** A whole number. */
export const number = (n) => new Intl.NumberFormat('en-GB').format(n);

/** A whole number with its thing: "1 device", "1,204 devices". */
export function count(n, one, many = one + 's') {
  return `${number(n)} ${n === 1 ? one : many}`;
}

const ranks = { critical: 4, major: 3, warning: 2, info: 1 };

/** The rank of a severity; 0 for none. */
export const rank = (severity) => ranks[severity] ?? 0;

/** "freezer-warm/f7" into rule and device: a device may have slashes, a rule has none. */
export function splitKey(key) {
  const i = key.indexOf('/');
  return i < 0 ? { rule: key, device: '' } : { rule: key.slice(0, i), device: key.slice(i + 1) };
}

/** The hash of a view: link('devices', 'a/b') is "#/devices/a%2Fb". */
export function link(view, id, query) {
  let hash = `#/${view}`;
  if (id !== undefined) hash += `/${encodeURIComponent(id)}`;
  const text = new URLSearchParams(Object.entries(query ?? {}).filter(([, v]) => v)).toString();
  return text ? `${hash}?${text}` : hash;
}
