// What is burning now: the alarms that are not over, the worst first.
import { h, fill, ago, at, name, seldom } from './dom.js';
import { clip, count, link, number, rank } from './format.js';
import { button, chip, choice, empty, figure, filter, heading, severity } from './parts.js';
import { path } from './api.js';
import { burns, order } from './alarms.js';
import { Board } from './board.js';
import { known } from './actions.js';

const shown = 200; // rows at first; more are a button away

export default {
  title: 'Now',
  async mount(root, c) {
    const want = { text: c.query.get('q') ?? '', severity: '', rule: c.query.get('rule') ?? '', device: c.query.get('device') ?? '' };
    let most = shown, facts = null; // what the strip shows, and the empty page says
    const strip = h('div', { class: 'figures' }), bar = h('div', { class: 'bar', hidden: true }), said = h('div', { class: 'said' });
    const list = h('ul', { class: 'alarms', 'aria-label': 'Alarms that are not over' });
    const rest = h('div'), waiting = h('div');
    const head = heading('Looking…'), title = head.querySelector('h1'), beside = head.querySelector('.beside');

    const draw = () => {
      const all = [...board.alarms.values()].sort(order);
      const burning = all.filter(burns), match = burning.filter((a) => matches(a, want));
      const cared = burning.filter((a) => a.acked).length;
      title.textContent = burning.length === 0 ? 'Nothing burns' : count(burning.length, 'alarm');
      title.classList.toggle('calm', burning.length === 0);
      beside.textContent = burning.length === 0 ? '' : cared === burning.length ? 'all acknowledged' : cared > 0 ? `${number(cared)} acknowledged` : 'none acknowledged';
      replace(list, match.slice(0, most).map(rowOf));
      list.hidden = match.length === 0;
      bar.hidden = burning.length === 0;
      strip.classList.toggle('all', burning.length === 0);
      fill(rest, match.length > most && h('button', { type: 'button', class: 'button', on: { click: () => { most += 1000; draw(); } } }, `Show ${count(match.length - most, 'more alarm')}`),
        burning.length > 0 && match.length === 0 && empty('No alarm matches', 'There are others: clear the filter to see them.'),
        burning.length === 0 && quiet(facts));
      pending(waiting, all.filter((a) => a.state === 'pending'), board);
    };
    const board = new Board(c, seldom(draw, 100, c.signal));
    const rowOf = rows(board, c, said);
    const look = async () => {
      facts = await around(c);
      fill(strip, figures(facts));
      draw();
    };
    const everything = () => Promise.all([board.load(), look()]);
    c.live.on('event', seldom(() => { if (!document.hidden) look().catch(() => {}); }, 10_000, c.signal), c.signal);
    c.live.on('gap', () => everything().catch(() => {}), c.signal);

    fill(bar, filter('Filter by text, device or rule', { value: want.text, change: (v) => { want.text = v; draw(); } }),
      choice('Severity', [['', 'Any severity'], ['critical', 'Critical only'], ['major', 'Major and worse'], ['warning', 'Warning and worse']], { change: (v) => { want.severity = v; draw(); } }),
      (want.rule || want.device) && h('a', { class: 'chip calm', href: '#/' }, `Only ${want.rule || want.device} ✕`));
    fill(root, head, strip, bar, said, list, rest, waiting);
    c.keys({ a: { does: 'Acknowledge the alarm of the row', run: () => document.activeElement?.closest('[data-key]')?.querySelector('.ack')?.click() } });
    await everything();
  },
};

function matches(a, want) {
  return rank(a.severity) >= rank(want.severity) && (!want.rule || a.rule === want.rule) && (!want.device || a.device === want.device) &&
    (!want.text || `${a.title} ${a.device} ${a.rule} ${a.because}`.toLowerCase().includes(want.text.toLowerCase()));
}

/** Makes rows, and keeps those that have not changed. */
function rows(board, c, said) {
  const made = new Map(); // by key: the row and what it was made of
  return (a) => {
    for (const key of made.keys()) if (!board.alarms.has(key)) made.delete(key);
    const told = a.fresh ? null : board.told.of(a); // not before the server has said who is told
    const of = JSON.stringify([a, told]);
    const old = made.get(a.key);
    if (old?.of === of) return old.el;
    const el = row(a, told, { c, said });
    if (old?.el.contains(document.activeElement)) queueMicrotask(() => el.querySelector('a')?.focus({ preventScroll: true }));
    made.set(a.key, { el, of });
    return el;
  };
}

/** Conditions that hold and are no alarm yet. Nobody is told of them, so they are as they were when they were asked for. */
function pending(box, list, board) {
  const open = box.querySelector('details')?.open ?? false;
  if (list.length === 0) { fill(box); return; }
  const el = h('details', { class: 'card pending', open }, h('summary', null, `${count(list.length, 'condition')} ${list.length === 1 ? 'holds' : 'hold'}, not for long enough yet`),
    h('p', { class: 'quiet' }, 'As of ', at(board.asOf), '. ', h('button', { type: 'button', class: 'button small', on: { click: () => board.load() } }, 'Look again')),
    h('ul', { class: 'alarms plain' }, list.slice(0, 100).map((a) => row(a, null, null))));
  fill(box, el);
}

/** Puts elements into a list and moves only those that have to move. */
function replace(list, want) {
  const keep = new Set(want);
  for (const el of [...list.children]) if (!keep.has(el)) el.remove();
  want.forEach((el, i) => { if (list.children[i] !== el) list.insertBefore(el, list.children[i] ?? null); });
}

/**
 * A row for an alarm.
 * @param {any} a
 * @param {{text: string, tone: string, detail: string} | null} told
 * @param {{c: import('./views.js').Context, said: HTMLElement} | null} acts null: nothing can be done here
 */
function row(a, told, acts) {
  const ack = acts && !a.acked && button('Ack', {
    api: acts.c.api, scope: 'ops', said: acts.said, kind: 'small ack', label: `Acknowledge ${clip(a.title || a.key, 100)}`, title: 'Acknowledge: somebody takes care of it (a)',
    run: () => acts.c.api.post(path('alarms', a.key, 'ack'), { by: known(acts.c.api) || undefined }).then(() => acts.c.say('Acknowledged')),
  });
  return h('li', { class: `alarm ${a.state === 'pending' ? 'waits' : a.severity}`, data: { row: '', key: a.key } },
    h('div', { class: 'alarm-what' },
      h('a', { class: 'alarm-title cut-2', href: link('alarms', a.key) }, clip(a.title || a.key, 300)),
      h('div', { class: 'alarm-why cut-2' }, clip(a.because ?? '', 400)),
      h('div', { class: 'alarm-marks' }, severity(a.severity), h('a', { class: 'quiet cut device', href: link('devices', a.device) }, name(clip(a.device, 80))), h('span', { class: 'quiet cut' }, a.rule),
        a.state === 'recovering' && chip('recovering', { title: 'Its condition has cleared, not for long enough yet' }),
        a.acked && chip('acknowledged', { tone: 'good', title: a.acked_by ? `by ${a.acked_by}` : null }),
        a.shelved && chip('shelved', { tone: 'calm', title: a.shelved.reason }),
        a.muted && chip('muted', { title: a.muted }), a.stale && chip('stale', { tone: 'late', title: 'Nothing is known any more' }))),
    h('div', { class: 'alarm-since' }, a.started_at ? ago(a.started_at, { since: true }) : null),
    told && h('div', { class: `alarm-told ${told.tone}`, title: told.detail }, told.text),
    ack && h('div', { class: 'alarm-act' }, ack));
}

/** What is around the alarms: whether anything is heard, and who cannot be told. */
async function around(c) {
  const get = (p, q) => c.api.get(p, q, c.signal).catch((err) => { if (c.signal.aborted) throw err; return null; });
  const [endpoints, rules, lost, rejects, last, ready] = await Promise.all([
    get('endpoints'), get('rules'), get('devices', { presence: 'lost', limit: 1000 }), get('rejects'), get('deliveries', { limit: 1 }), readiness(c.signal),
  ]);
  return { endpoints: endpoints?.endpoints, rules: rules?.rules, lost: lost?.devices, more: Boolean(lost?.next), rejects, last: last?.deliveries?.[0], ready };
}

async function readiness(signal) {
  try {
    const answer = await fetch('/readyz', { headers: { Accept: 'application/json' }, signal, cache: 'no-store' });
    return await answer.json();
  } catch (err) {
    if (signal.aborted) throw err;
    return null;
  }
}

const failing = new Set(['failing', 'open', 'half_open', 'disabled', 'unconfigured']);

function figures(f) {
  const bad = f.endpoints?.filter((e) => failing.has(e.condition)) ?? [];
  const owed = f.endpoints?.reduce((n, e) => n + e.owed, 0) ?? 0;
  const firing = f.rules?.filter((r) => r.firing > 0).length ?? 0;
  return [
    f.ready && readyFigure(f.ready),
    f.endpoints && figure(bad.length ? `${bad.length} of ${f.endpoints.length}` : String(f.endpoints.length), bad.length ? `endpoints not accepting${owed ? `, ${number(owed)} owed` : ''}` : `endpoints accepting${owed ? `, ${owed} owed` : ''}`, { href: '#/endpoints', tone: bad.length ? 'bad' : '', title: bad.map((e) => `${e.name}: ${e.reason || e.condition}`).join('\n') }),
    f.lost && figure(f.more ? `${f.lost.length}+` : String(f.lost.length), f.lost.length === 1 ? 'device lost' : 'devices lost', { href: '#/devices?presence=lost', tone: f.lost.length ? 'late' : '' }),
    f.rules && figure(`${firing} of ${f.rules.length}`, 'rules have alarms', { href: '#/rules' }),
    f.rejects && rejected(f.rejects),
  ].filter(Boolean);
}

function readyFigure(r) {
  if (!r.ready) return figure('Not ready', r.reasons.join('; '), { tone: 'bad' });
  if (r.restart) return figure('Ready', `${r.restart.join(', ')}: takes effect when tocsin is restarted`, { tone: 'late' });
  return figure('Ready', 'takes input in and stores it', { tone: 'good' });
}

function rejected(r) {
  const n = (r.rejects ?? []).reduce((sum, x) => sum + (x.count ?? x.total ?? 0), 0);
  return figure(number(n), n === 1 ? 'reading or message not used' : 'readings and messages not used', { href: '#/rejected', tone: n ? 'late' : '' });
}

/** An honest account of silence: what is watched, and when something last happened. */
function quiet(f) {
  if (!f) return null;
  const looks = (f.rules ?? []).reduce((n, r) => n + r.alarms, 0);
  const watched = looks === 0 ? 'No device that a rule looks at has been heard of yet' : `${count(f.rules.length, 'rule')} watch${f.rules.length === 1 ? 'es' : ''} ${count(looks, 'condition')}`;
  return h('div', { class: 'card' }, empty(watched,
    f.ready && !f.ready.ready ? h('p', { class: 'problem' }, `Tocsin is not ready: ${f.ready.reasons.join('; ')}`) : null,
    f.endpoints?.length === 0 ? h('p', { class: 'problem' }, 'There is no endpoint: nobody would be told of anything.') : null,
    looks === 0 ? h('p', null, h('a', { href: '#/tail' }, 'The live tail'), ' shows what comes in.') : 'None of them holds.',
    h('p', { class: 'quiet' }, f.last ? ['Somebody was last told of something ', ago(f.last.at), '.'] : 'Nobody has been told of anything yet.')));
}
