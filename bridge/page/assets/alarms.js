// What alarms and their deliveries come to. Nothing here touches the document.
import { rank } from './format.js';

/** Whether an alarm is not over. */
export const burns = (a) => a.state === 'firing' || a.state === 'recovering';

/** The worst first; of these what nobody has taken care of, and then what has lasted longest. */
export function order(a, b) {
  const cared = (x) => (x.acked || x.shelved ? 1 : 0);
  return rank(b.severity) - rank(a.severity) || cared(a) - cared(b) || String(a.started_at ?? '').localeCompare(String(b.started_at ?? '')) || a.key.localeCompare(b.key);
}

/** Whether a delivery has been tried in vain, or was given up. */
const failed = (d) => d.state === 'dead' || d.state === 'dropped' || d.state === 'waiting' && d.tries > 0;

const ends = new Set(['alarm.resolved', 'alarm.cancelled', 'alarm.occurred']);

/** What became of the deliveries of alarms, as far as they belong to the episode under way. */
export class Told {
  constructor() { this.alarms = new Map(); }

  /** Takes a list of deliveries, the newest first. */
  fill(list) {
    this.alarms.clear();
    for (const d of list) {
      const e = this.entry(d);
      if (!e || e.over) continue;
      if (ends.has(d.type)) e.over = true; // what is older is of the episode before
      else {
        e.newest ??= d;
        e.heard ||= d.state === 'delivered';
        if (d.state === 'waiting' && failed(d)) e.stuck = d; // what came after it waits for it
      }
    }
  }

  /** Takes one that is newer than all before. */
  add(d) {
    const e = this.entry(d);
    if (!e) return;
    if (ends.has(d.type)) { e.newest = e.stuck = null; e.heard = false; return; }
    e.newest = d;
    e.stuck = d.state === 'waiting' && failed(d) ? d : null; // in order: what it was stuck at is over
    e.heard ||= d.state === 'delivered';
  }

  entry(d) {
    if (!d.alarm) return null;
    let of = this.alarms.get(d.alarm);
    if (!of) this.alarms.set(d.alarm, of = new Map());
    let e = of.get(d.endpoint);
    if (!e) of.set(d.endpoint, e = { newest: null, stuck: null, heard: false, over: false });
    return e;
  }

  /**
   * Who was told of an alarm, and whether they accepted it, in a few words. An
   * endpoint that has accepted any of it has heard of it.
   * @param {{key: string, told?: string[], muted?: string, shelved?: object}} alarm
   * @returns {{text: string, tone: string, detail: string}}
   */
  of(alarm) {
    const entries = this.alarms.get(alarm.key) ?? new Map();
    const told = new Set(alarm.told ?? []);
    for (const [endpoint, e] of entries) if (e.newest) told.add(endpoint);
    if (told.size === 0) {
      const why = alarm.muted ? `muted: ${alarm.muted}` : alarm.shelved ? 'shelved' : 'no endpoint asks for it';
      return { text: 'nobody told', tone: alarm.muted || alarm.shelved ? 'plain' : 'late', detail: why };
    }
    let heard = 0, failing = 0, known = 0;
    const detail = [];
    for (const endpoint of [...told].sort()) {
      const e = entries.get(endpoint);
      if (!e?.newest) { detail.push(`${endpoint}: told, some time ago`); continue; }
      known++;
      const at = e.stuck ?? e.newest;
      if (e.heard) heard++;
      else if (failed(at)) failing++;
      detail.push(`${endpoint}: ${e.heard && at.state !== 'delivered' ? 'accepted; of what followed, ' : ''}${outcome(at)}`);
    }
    if (known === 0) return { text: `told ${told.size}`, tone: 'plain', detail: detail.join('\n') };
    return {
      text: `${heard} of ${told.size} accepted`,
      tone: heard === told.size ? 'good' : failing > 0 ? (heard > 0 ? 'late' : 'bad') : 'plain',
      detail: detail.join('\n'),
    };
  }
}

/**
 * How each endpoint stands with an alarm, by its name: the delivery that it is at,
 * which is the oldest that it has not accepted or else the newest, and how many wait
 * behind that one.
 * @param {any[]} deliveries the newest first
 * @param {string[]} [told] endpoints that were told, as the alarm has them
 */
export function standings(deliveries, told) {
  const all = new Map();
  for (const d of deliveries) {
    const s = all.get(d.endpoint);
    if (!s) all.set(d.endpoint, { endpoint: d.endpoint, delivery: d, behind: 0 });
    else if (d.state === 'waiting') {
      if (s.delivery.state === 'waiting') s.behind++;
      s.delivery = d;
    }
  }
  for (const endpoint of told ?? []) if (!all.has(endpoint)) all.set(endpoint, { endpoint, delivery: null, behind: 0 });
  return [...all.values()].sort((a, b) => a.endpoint.localeCompare(b.endpoint));
}

/** The events that deliveries are of, the newest first, each with its deliveries. */
export function story(deliveries) {
  const events = new Map();
  for (const d of deliveries) {
    let ev = events.get(d.event);
    if (!ev) events.set(d.event, ev = { id: d.event, type: d.type, at: d.at, deliveries: [] });
    ev.deliveries.push(d);
  }
  for (const ev of events.values()) ev.deliveries.sort((a, b) => a.endpoint.localeCompare(b.endpoint));
  return [...events.values()].sort((a, b) => b.at.localeCompare(a.at));
}

/** What became of a delivery, in words. */
export function outcome(d) {
  switch (d.state) {
    case 'delivered': return 'accepted';
    case 'dead': return `given up${d.error ? `: ${d.error}` : ''}`;
    case 'waiting': return d.tries > 0 ? `attempt ${d.tries} failed${d.error ? `: ${d.error}` : ''}` : 'waiting';
    default: return d.state;
  }
}

/**
 * The limit lines of a chart, of the levels of an explanation: what is a number, or
 * two of them. A level that is not on has its limit where the next would be.
 */
export function limitLines(levels, measured) {
  const lines = [];
  for (const l of levels ?? []) {
    for (const v of [l.limit].flat()) if (typeof v === 'number') lines.push({ value: v, kind: 'limit', severity: l.severity, text: `${l.severity} ${measured(v)}` });
  }
  for (const v of [(levels ?? [])[0]?.clear].flat()) {
    if (typeof v === 'number' && !lines.some((l) => l.value === v)) lines.push({ value: v, kind: 'clear', text: `clears ${measured(v)}` });
  }
  return lines;
}
