// What happens, as it happens: server-sent events read with fetch, since an
// EventSource cannot send a token.
import { problemOf, queryOf } from './api.js';

/**
 * Reads server-sent events from pieces of text, wherever they are cut.
 * @param {(m: {type: string, data: string, id: string}) => void} tell
 * @param {(ms: number) => void} [retry] told how long to wait before reconnecting
 */
export function reader(tell, retry) {
  let rest = '', type = '', data = [], id = '';
  const line = (text) => {
    if (text === '') {
      if (data.length) tell({ type: type || 'message', data: data.join('\n'), id });
      type = ''; data = [];
      return;
    }
    const colon = text.indexOf(':');
    if (colon === 0) return; // a comment
    const field = colon < 0 ? text : text.slice(0, colon);
    let v = colon < 0 ? '' : text.slice(colon + 1);
    if (v.startsWith(' ')) v = v.slice(1);
    if (field === 'event') type = v;
    else if (field === 'data') data.push(v);
    else if (field === 'id' && !v.includes('\0')) id = v;
    else if (field === 'retry' && /^\d+$/.test(v)) retry?.(Number(v));
  };
  return (piece) => {
    rest += piece;
    for (;;) {
      const end = /\r\n|\n|\r(?!$)/.exec(rest); // a \r at the end may be half of \r\n
      if (!end) return;
      line(rest.slice(0, end.index));
      rest = rest.slice(end.index + end[0].length);
    }
  };
}

/** How long to wait before the n-th attempt in a row: longer each time, up to half a minute, and never all at once. */
export function backoff(n, first = 1000, random = Math.random) {
  const most = Math.min(30_000, first * 2 ** Math.min(n, 10));
  return most / 2 + random() * most / 2;
}

const silence = 60_000; // the server says something every 15 s

/**
 * Watches until signal aborts, and goes on where it was after every break.
 * @param {import('./api.js').Api} api
 * @param {{query?: object, signal: AbortSignal, tell: (type: string, data: any, id: string) => void, gap?: () => void, state?: (name: string, why: string) => void, place?: {last: string}}} o
 * tell is called for each message; gap when some were missed: what is shown has to
 * be asked for anew; state with "connecting", "live" or "lost" and why. Place is
 * where to go on, and is kept right.
 */
export async function watch(api, o) {
  const place = o.place ?? { last: '' };
  let first = 1000;
  for (let failed = 0; !o.signal.aborted; failed++) {
    let why = 'the connection has ended';
    const own = new AbortController();
    const stop = () => own.abort();
    o.signal.addEventListener('abort', stop, { once: true });
    let watchdog = 0;
    const alive = () => { clearTimeout(watchdog); watchdog = setTimeout(stop, silence); };
    try {
      o.state?.('connecting', '');
      alive();
      const answer = await fetch(`/api/v1/stream${queryOf(o.query)}`, {
        headers: api.headers({ Accept: 'text/event-stream', ...(place.last && { 'Last-Event-ID': place.last }) }),
        signal: own.signal, cache: 'no-store', credentials: 'omit', redirect: 'error',
      });
      if (answer.status === 401) api.denied();
      if (!answer.ok) throw await problemOf(answer);
      // Without a last id nothing says what was missed since the last look.
      if (failed > 0 && !place.last) o.gap?.();
      failed = 0;
      o.state?.('live', '');
      const read = reader((m) => {
        if (m.id) place.last = m.id;
        if (m.type === 'gap') { o.gap?.(); return; }
        const data = JSON.parse(m.data);
        if (m.type === 'end') { why = data.reason; return; }
        o.tell(m.type, data, m.id);
      }, (ms) => { first = ms; });
      const body = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { value, done } = await body.read();
        if (done) break;
        alive();
        read(value);
      }
    } catch (err) {
      if (own.signal.aborted && !o.signal.aborted) why = 'nothing was heard for a minute';
      else if (err.name === 'Problem') why = err.message;
    } finally {
      clearTimeout(watchdog);
      own.abort();
      o.signal.removeEventListener('abort', stop);
    }
    if (o.signal.aborted) return;
    o.state?.('lost', why);
    await new Promise((go) => {
      const timer = setTimeout(go, backoff(failed, first));
      o.signal.addEventListener('abort', () => { clearTimeout(timer); go(); }, { once: true });
    });
  }
}

/**
 * Watches as [watch] does, as long as somebody looks at the page: a stream holds one
 * of the few connections that a browser has for all of its tabs.
 */
export function watchWhileSeen(api, o) {
  const place = { last: '' };
  let own = null, timer = 0, began = false;
  const look = () => {
    clearTimeout(timer);
    if (document.hidden) {
      timer = setTimeout(() => { own?.abort(); own = null; }, 5000);
    } else if (!own) {
      own = new AbortController();
      if (began && !place.last) o.gap?.();
      began = true;
      watch(api, { ...o, place, signal: own.signal });
    }
  };
  document.addEventListener('visibilitychange', look, { signal: o.signal });
  o.signal.addEventListener('abort', () => { clearTimeout(timer); own?.abort(); });
  look();
}
