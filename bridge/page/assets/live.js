// One stream for all views of the page.
import { watch } from './stream.js';

/** What happens, for whoever has asked to be told. */
export class Live extends EventTarget {
  /** @param {import('./api.js').Api} api */
  constructor(api) {
    super();
    this.api = api;
    this.state = 'connecting'; // live, lost or paused as well
    this.why = '';
    this.stop = null;
    this.place = { last: '' }; // where to go on
  }

  /**
   * Tells fn of what happens until signal aborts.
   * @param {'event' | 'delivery' | 'gap' | 'state'} type gap: something was missed, so ask anew for what is shown
   * @param {(data: any) => void} fn
   */
  on(type, fn, signal) { this.addEventListener(type, (e) => fn(e.detail), { signal }); }

  /** Watches until [halt]; the promise is kept at the first answer. */
  start() {
    this.halt();
    const own = this.stop = new AbortController();
    return new Promise((begun) => {
      watch(this.api, {
        signal: own.signal, place: this.place,
        tell: (type, data) => this.tell(type, data),
        gap: () => this.tell('gap'),
        state: (name, why) => {
          if (own.signal.aborted) return;
          this.set(name, why);
          if (name !== 'connecting') begun(name);
        },
      });
    });
  }

  halt() { this.stop?.abort(); this.stop = null; }

  /**
   * A browser has six connections to a server, and a stream holds one. So of the
   * tabs that nobody looks at only the last one watches: a tab that begins to be
   * looked at says so, and the others that are not go to sleep.
   */
  share() {
    if (typeof BroadcastChannel === 'undefined') return;
    const others = new BroadcastChannel('tocsin.live');
    others.onmessage = () => {
      if (!document.hidden || !this.stop) return;
      this.halt();
      this.set('paused', 'another tab watches');
    };
    const awake = async () => {
      if (document.hidden) return;
      others.postMessage('awake');
      if (this.state !== 'paused') return;
      const known = this.place.last;
      if (await this.start() === 'live' && !known) this.tell('gap');
    };
    document.addEventListener('visibilitychange', awake);
    others.postMessage('awake');
  }

  set(name, why) {
    this.state = name;
    this.why = why;
    this.tell('state', { name, why });
  }

  tell(type, detail) { this.dispatchEvent(new CustomEvent(type, { detail })); }
}
