// Who is told, and how they fare.
import { h, fill, ago, at, name, seldom } from './dom.js';
import { count, link, took } from './format.js';
import { button, chip, deliveryState, dialog, empty, facts, heading, problem, section, table } from './parts.js';
import { path } from './api.js';
import { register, rotate, remove } from './register.js';

// What a condition means, and its tone.
const conditions = {
  active: ['delivering', 'good'], failing: ['retrying', 'late', 'The last attempts failed, and are tried again.'],
  open: ['down', 'bad', 'So many attempts failed that it is left alone, but for a probe now and then.'],
  half_open: ['coming back', 'late', 'A probe was accepted, or is under way; more is sent bit by bit.'],
  disabled: ['disabled', 'bad', 'It said that it is gone, or wants nothing more.'], paused: ['paused', 'plain', 'Somebody has switched it off.'],
  unconfigured: ['not configured', 'late', 'It has left the configuration, and is owed something.'],
};
const waits = { retry_after: 'it asked for a pause', breaker: 'until it is probed', rate: 'as often as it may be sent to' };
const off = (e) => e.condition === 'paused' || e.condition === 'disabled';

export const condition = (e) => {
  const [word, tone, title] = conditions[e.condition] ?? [e.condition, 'plain'];
  return chip(word, { tone, title });
};

const registered = (e) => e.owner === 'registration';
const owned = (e) => (registered(e) ? [' ', chip('registered', { tone: 'calm', title: 'It was registered over HTTP' })] : null);

const list = (of, none) => (of?.length ? of.join(', ') : none);
const lastAttempt = (e) => (e.last_attempt?.at ? h('div', null, e.last_attempt.accepted ? chip('accepted', { tone: 'good' }) : chip(e.last_attempt.status ? `answered ${e.last_attempt.status}` : 'no answer', { tone: 'bad', title: e.last_attempt.error }), ' ', h('span', { class: 'quiet' }, ago(e.last_attempt.at))) : h('span', { class: 'quiet' }, 'none yet'));
const backlog = (e) => (e.owed ? h('div', null, h('b', { class: 'number' }, new Intl.NumberFormat('en-GB').format(e.owed)), e.oldest ? h('span', { class: 'quiet' }, ', the oldest ', ago(e.oldest)) : null) : h('span', { class: 'quiet' }, 'nothing'));

export default {
  title: 'Endpoints',
  async mount(root, c) {
    const list = h('div', { class: 'card' }), wrong = h('div'), sum = h('span', { class: 'quiet' });
    const show = async () => {
      const { endpoints } = await c.api.get('endpoints', {}, c.signal);
      const rank = (e) => ['open', 'disabled', 'failing', 'half_open', 'unconfigured', 'paused', 'active'].indexOf(e.condition);
      endpoints.sort((a, b) => rank(a) - rank(b) || a.name.localeCompare(b.name));
      sum.textContent = count(endpoints.length, 'endpoint');
      fill(list, endpoints.length === 0
        ? empty('Nobody is told yet', 'An endpoint is where events are sent: register one, or add [endpoint.NAME] with its url to the configuration.')
        : table('Endpoints', [
          { title: 'Endpoint', class: 'grow', cell: (e) => h('div', null, h('a', { href: link('endpoints', e.name) }, h('strong', null, name(e.name))), owned(e)) },
          { title: 'State', cell: (e) => h('div', null, condition(e), Date.parse(e.waiting_until) > Date.now() ? h('span', { class: 'quiet' }, ' until ', at(e.waiting_until)) : null) },
          { title: 'Owed', cell: backlog },
          { title: 'Given up', class: 'number', cell: (e) => (e.dead ? h('b', null, String(e.dead)) : h('span', { class: 'quiet' }, '0')) },
          { title: 'Last attempt', cell: lastAttempt },
          { title: 'Why', class: 'grow', cell: (e) => (e.reason ? h('span', { class: 'cut-2' }, e.reason) : h('span', { class: 'quiet' }, '–')) },
        ], endpoints, { data: () => ({ row: '' }) }));
    };
    fill(root, heading('Endpoints', sum, h('a', { class: 'button', href: link('deliveries') }, 'All deliveries'),
      button('Register', { api: c.api, scope: 'admin', kind: 'main', run: () => register(c, (made) => { location.hash = link('endpoints', made); }) })), wrong, list);
    const anew = seldom(() => show().then(() => fill(wrong), (err) => { if (!c.signal.aborted) fill(wrong, problem(err)); }), 2000, c.signal);
    c.live.on('delivery', anew, c.signal);
    c.live.on('event', anew, c.signal);
    c.live.on('gap', anew, c.signal);
    await show();
  },
};

/** How long the parts of a test, or of an attempt, took: [name, ms or Go's text]. */
export const parts = (list) => h('dl', { class: 'parts' }, list.filter(([, v]) => v).map(([k, v]) => h('div', null, h('dt', null, k), h('dd', { class: 'number' }, took(typeof v === 'number' ? `${v}ms` : v)))));

function tested(t) {
  return h('div', { class: `tested ${t.accepted ? 'good' : 'bad'}`, role: 'status' },
    h('p', null, t.accepted ? chip('accepted', { tone: 'good' }) : chip(t.verdict, { tone: 'bad' }), ' ', h('b', null, t.status ? `answered ${t.status}` : 'no answer'), ` in ${took(t.took)}`, t.address ? h('span', { class: 'quiet' }, ` from ${t.address}`) : null),
    t.error ? h('p', null, t.error) : null,
    parts([['Lookup', t.lookup], ['Connect', t.connect], ['TLS', t.tls], ['Answer', t.answer]]),
    facts([['TLS', t.tls_version], ['Certificate ends', t.certificate_expiry ? ago(t.certificate_expiry) : null], ['Its clock', t.clock_skew ? `${took(t.clock_skew.replace('-', ''))} ${t.clock_skew.startsWith('-') ? 'behind' : 'ahead'}` : null], ['Asks for a pause of', t.retry_after ? took(t.retry_after) : null]]),
    t.body ? h('details', null, h('summary', null, 'What it answered'), h('pre', { class: 'body' }, t.body)) : null);
}

/** Asks for a count first, and then whether to do it. */
function counted(c, o) {
  const said = h('div'), body = h('div', { class: 'form' });
  const el = dialog(o.title, body, said);
  const options = new Map();
  const chosen = () => o.body(Object.fromEntries([...options].map(([k, f]) => [k, f.type === 'checkbox' ? f.checked : f.value])));
  const sum = h('p', { role: 'status' }, 'Counting…');
  const run = button(o.verb, { kind: o.kind ?? 'main', said, run: async () => {
    const done = await c.api.post(o.path, chosen());
    el.close();
    o.done(done);
  } });
  const recount = async () => {
    try {
      const n = await c.api.post(o.path, { ...chosen(), dry_run: true });
      fill(sum, o.says(n, chosen()));
      run.disabled = o.none?.(n) ?? false;
    } catch (err) { fill(sum, problem(err)); }
  };
  fill(body, o.fields?.(options, recount), sum, h('div', { class: 'bar' }, run, h('button', { type: 'button', class: 'button quiet', on: { click: () => el.close() } }, 'Cancel')));
  recount();
}

const select = (options, key, label, list, change) => {
  const f = h('select', { class: 'field', 'aria-label': label, on: { change } }, list.map(([v, text]) => h('option', { value: v }, text)));
  options.set(key, f);
  return h('div', null, h('label', null, label), f);
};

/** One endpoint. */
export const endpoint = {
  title: 'Endpoint',
  async mount(root, c) {
    c.title(c.id);
    const top = h('div', { class: 'bar' }), about = h('div'), log = h('div'), said = h('div'), wrong = h('div'), acts = h('div', { class: 'bar' });
    const of = (...more) => path('endpoints', c.id, ...more);
    let e = null, was = '';
    const say = (text) => { fill(said, h('p', { class: 'done', role: 'status' }, text)); anew(); };

    const test = button('Test', { api: c.api, scope: 'ops', said, title: 'Sends a test.ping as everything else is sent', run: async () => { fill(said, tested(await c.api.post(of('test'), {}))); anew(); } });
    const pause = button('Pause', { api: c.api, scope: 'ops', said, run: () => {
      const reason = h('input', { class: 'field', type: 'text', id: 'pause-why', maxlength: '1000' }), wrongHere = h('div');
      const el = dialog(`Pause ${c.id}`, h('p', null, 'It is sent nothing until somebody enables it. What it is owed is kept.'), h('div', { class: 'form' }, h('div', null, h('label', { for: 'pause-why' }, 'Why (for the log)'), reason)), wrongHere,
        h('div', { class: 'bar' }, button('Pause', { kind: 'danger', said: wrongHere, run: async () => { await c.api.post(of('disable'), reason.value.trim() ? { reason: reason.value.trim() } : {}); el.close(); say('Paused. What it is owed is kept.'); } })));
    } });
    const enable = button('Enable', { api: c.api, scope: 'ops', kind: 'main', run: () => counted(c, {
      title: `Enable ${c.id}`, path: of('enable'), verb: 'Enable',
      fields: (o, change) => select(o, 'send', 'What is sent of what it is owed', [['all', 'All of it'], ['latest', 'The newest state of each alarm'], ['discard', 'Nothing']], change),
      body: (v) => v, says: (n, v) => (v.send === 'all' ? `${count(e.owed, 'delivery', 'deliveries')} will be sent.` : `${count(n.discarded, 'delivery', 'deliveries')} will not be sent.`),
      done: (n) => say(n.discarded ? `Enabled. ${count(n.discarded, 'delivery', 'deliveries')} discarded.` : 'Enabled.'),
    }) });
    const replay = button('Replay', { api: c.api, scope: 'ops', run: () => counted(c, {
      title: `Replay to ${c.id}`, path: 'replay', verb: 'Send again',
      fields: (o, change) => [
        select(o, 'since', 'Of which time', [['1', 'The last hour'], ['6', 'The last 6 hours'], ['24', 'The last day'], ['0', 'All that is kept']], change),
        select(o, 'what', 'What', [['dead', 'What was given up'], ['all', 'All that has ended'], ['latest', 'The newest state of each alarm']], change)],
      body: (v) => ({ endpoint: c.id, since: v.since === '0' ? undefined : new Date(Date.now() - v.since * 3600e3).toISOString(), latest: v.what === 'latest' || undefined, dead: v.what === 'dead' || undefined }),
      says: (n) => (n.deliveries ? `${count(n.deliveries, 'delivery', 'deliveries')} will be sent again, under the same ids.` : 'There is nothing of that to be sent again.'), none: (n) => n.deliveries === 0,
      done: (n) => say(`${count(n.deliveries, 'delivery is', 'deliveries are')} owed again.`),
    }) });
    const discard = button('Discard', { api: c.api, scope: 'ops', kind: 'danger', run: () => counted(c, {
      title: `Discard what ${c.id} is owed`, path: of('discard'), verb: 'Discard', kind: 'danger',
      fields: (o, change) => select(o, 'what', 'What', [['latest', 'All but the newest state of each alarm'], ['all', 'All of it']], change),
      body: (v) => ({ latest: v.what === 'latest' || undefined }),
      says: (n) => (n.deliveries ? `${count(n.deliveries, 'delivery', 'deliveries')} will not be sent. They stay in the log, and can be replayed.` : 'There is nothing to discard.'), none: (n) => n.deliveries === 0,
      done: (n) => say(`${count(n.deliveries, 'delivery', 'deliveries')} discarded.`),
    }) });

    const secret = button('New secret', { api: c.api, scope: 'admin', run: () => rotate(c, c.id) });
    const away = button('Remove', { api: c.api, scope: 'admin', kind: 'danger', run: () => remove(c, c.id, () => { location.hash = link('endpoints'); }) });

    const show = async () => {
      const [status, { deliveries }] = await Promise.all([c.api.get(of(), {}, c.signal), c.api.get('deliveries', { endpoint: c.id, limit: 15 }, c.signal)]);
      e = status;
      const [, , means] = conditions[e.condition] ?? [];
      fill(top, condition(e), owned(e), e.condition !== 'active' && e.since ? h('span', { class: 'quiet' }, 'for ', ago(e.since, { since: true })) : null, means ? h('span', { class: 'quiet' }, means) : null);
      const now = `${off(e)} ${e.condition === 'unconfigured'} ${e.owed > 0}`;
      if (now !== was) { // buttons keep the focus while they stay what they are
        was = now;
        fill(acts, e.condition !== 'unconfigured' ? [test, off(e) ? enable : pause] : null, replay, e.owed > 0 ? discard : null, registered(e) ? [secret, away] : null);
      }
      fill(about, section('How it fares', facts([
        ['Owed', backlog(e)], ['Given up, kept for replay', e.dead ? String(e.dead) : null], ['Last attempt', lastAttempt(e)],
        ['Waits', Date.parse(e.waiting_until) > Date.now() ? [ago(e.waiting_until), waits[e.waiting_for] ? `, ${waits[e.waiting_for]}` : ''] : null],
        ['Why', e.reason], ['Budget', e.budget ? Object.entries(e.budget).filter(([, v]) => typeof v !== 'object').map(([k, v]) => `${k.replaceAll('_', ' ')} ${v}`).join(', ') : null],
        ['Address', e.url ? h('code', null, e.url) : null], ['Preset', e.preset], ['Told of', list(e.types, 'alarms')], ['Severity', list(e.severity)], ['Labels', list(Object.entries(e.labels ?? {}).map(([k, v]) => `${k} = ${v}`))],
        ['Signed', list(e.sign)], ['For', e.description ? name(e.description) : null],
        ['Written in', registered(e) ? null : e.place ? h('code', null, e.place) : null],
        ['Registered', e.registered ? [ago(e.registered.at), ' by ', name(e.registered.by)] : null], ['Held', e.registered?.held],
      ])));
      fill(log, section('Last deliveries', deliveries.length ? h('div', null, deliveryTable(deliveries), h('p', null, h('a', { href: link('deliveries', undefined, { endpoint: c.id }) }, 'All of its deliveries'))) : h('p', { class: 'quiet' }, 'Nothing was sent to it yet.')));
    };
    fill(root, heading(name(c.id), acts), top, said, wrong, about, log);
    const anew = seldom(() => show().then(() => fill(wrong), (err) => { if (!c.signal.aborted) fill(wrong, problem(err)); }), 1500, c.signal);
    c.live.on('delivery', (d) => { if (d.endpoint === c.id) anew(); }, c.signal);
    c.live.on('event', anew, c.signal); // which may be one more that it is owed
    c.live.on('gap', anew, c.signal);
    await show();
  },
};

/** Deliveries in a table. */
export const deliveryTable = (list, o = {}) => table('Deliveries', [
  { title: 'Since', class: 'fit', cell: (d) => ago(d.committed) },
  { title: 'What', cell: (d) => h('a', { href: link('deliveries', d.id) }, d.type.replace(/^alarm\./, '')) },
  { title: 'Alarm', class: 'grow', cell: (d) => (d.alarm ? h('a', { href: link('alarms', d.alarm) }, name(d.alarm)) : h('span', { class: 'quiet' }, '–')) },
  o.endpoint && { title: 'Endpoint', cell: (d) => h('a', { href: link('endpoints', d.endpoint) }, name(d.endpoint)) },
  { title: 'State', cell: deliveryState },
  { title: 'Attempts', class: 'number wide-only', cell: (d) => String(d.tries) },
  { title: 'Next', class: 'fit wide-only', cell: (d) => (d.state === 'waiting' && d.due ? ago(d.due, { due: true }) : h('span', { class: 'quiet' }, '–')) },
].filter(Boolean), list, { data: () => ({ row: '' }) });
