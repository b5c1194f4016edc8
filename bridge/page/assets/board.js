// The alarms that are not over, kept right by the stream.
import { clip } from './format.js';
import { seldom } from './dom.js';
import { path } from './api.js';
import { burns, Told } from './alarms.js';

const together = 20; // alarms that are asked for one by one; more of them as a list

const shows = (a) => burns(a) || a.state === 'pending';

/** Knows the alarms that are not over, and who was told of them. */
export class Board {
  /**
   * @param {import('./views.js').Context} c
   * @param {() => void} changed is called when something is different
   */
  constructor(c, changed) {
    this.c = c;
    this.changed = changed;
    /** @type {Map<string, any>} by key; one that is fresh is as an event had it */
    this.alarms = new Map();
    this.told = new Told();
    this.asOf = 0; // when all of them were asked for
    this.stale = new Set(); // keys of those to ask for anew
    this.asking = false;
    this.refresh = seldom(() => this.ask(), 150, c.signal);
    c.live.on('event', (ev) => { if (ev.alarm?.key) this.happened(ev); }, c.signal);
    c.live.on('delivery', (d) => {
      if (!d.alarm) return;
      this.told.add({ ...d, state: d.outcome === 'retry' ? 'waiting' : d.outcome, tries: d.attempt });
      changed();
    }, c.signal);
  }

  /** Asks for everything. */
  async load() {
    const { api, signal } = this.c;
    const [, page] = await Promise.all([this.list(), api.get('deliveries', { limit: 1000 }, signal)]);
    this.told.fill(page.deliveries);
    this.changed();
  }

  async list() {
    const all = await this.c.api.all('alarms', 'alarms', {}, this.c.signal);
    this.alarms = new Map(all.map((a) => [a.key, a]));
    this.asOf = Date.now();
  }

  /** Shows an alarm at once with the words of its event, and then with the server's. */
  happened(ev) {
    const key = ev.alarm.key, old = this.alarms.get(key);
    if (ev.type === 'alarm.fired' && !(old && burns(old))) this.c.say(`New alarm, ${ev.alarm.severity}: ${clip(ev.title, 120)}`);
    const now = {
      ...old, key, rule: ev.rule.id, device: ev.device.id, state: ev.alarm.state, severity: ev.alarm.severity, title: ev.title, because: ev.because,
      started_at: ev.alarm.started_at, acked: ev.alarm.acked, fresh: !old || old.fresh,
    };
    this.put(now);
    this.changed();
    this.stale.add(key);
    this.refresh();
  }

  put(a) {
    if (shows(a)) this.alarms.set(a.key, a);
    else this.alarms.delete(a.key);
  }

  /** Asks for what has changed: of a few alarms one by one, in a storm all at once. */
  async ask() {
    if (this.asking || this.stale.size === 0) return;
    this.asking = true;
    const keys = [...this.stale];
    this.stale.clear();
    try {
      if (keys.length > together) await this.list();
      else await Promise.all(keys.map((key) => this.one(key)));
      this.changed();
    } catch { /* the state of the stream says that the server does not answer; a gap follows */ }
    this.asking = false;
    if (this.stale.size > 0) setTimeout(this.refresh, this.stale.size > together ? 1000 : 0);
  }

  async one(key) {
    try {
      this.put(await this.c.api.get(path('alarms', key), {}, this.c.signal));
    } catch (err) {
      if (err.status !== 404) throw err;
      this.alarms.delete(key);
    }
  }
}
