// Deliveries: what was sent to whom, and what became of it.
import { h, fill, ago, at, name, seldom } from './dom.js';
import { link, took } from './format.js';
import { button, chip, choice, deliveryState, empty, facts, filter, heading, problem, section } from './parts.js';
import { path } from './api.js';
import { deliveryTable, parts } from './endpoints.js';

const states = ['waiting', 'delivered', 'dead', 'cancelled', 'superseded', 'dropped'];

export default {
  title: 'Deliveries',
  async mount(root, c) {
    const asked = { endpoint: c.query.get('endpoint') ?? '', state: c.query.get('state') ?? '', alarm: c.query.get('alarm') ?? '', device: c.query.get('device') ?? '' };
    const list = h('div', { class: 'card' }), wrong = h('div');
    let found = [], next, version = 0;
    const more = button('Older ones', { run: () => ask(true) });
    // A page may be short, or empty, and not be the last: looking through many takes several.
    const ask = async (older) => {
      const mine = older ? version : ++version;
      let cursor = older ? next : undefined, got = [];
      do {
        const page = await c.api.get('deliveries', { ...asked, limit: 50, cursor }, c.signal);
        if (mine !== version) return;
        got = got.concat(page.deliveries);
        cursor = page.next;
      } while (cursor && got.length === 0);
      found = older ? found.concat(got) : got;
      next = cursor;
      fill(list, found.length ? [deliveryTable(found, { endpoint: true }), next ? h('p', null, more) : null]
        : Object.values(asked).some(Boolean) ? empty('No such delivery', 'Nothing that is kept matches what is asked for.') : empty('Nothing was sent yet', 'Each event that an endpoint is told of is shown here, with every attempt.'));
    };
    const again = (older) => ask(older).then(() => fill(wrong), (err) => { if (!c.signal.aborted) fill(wrong, problem(err)); });
    const { endpoints } = await c.api.get('endpoints', {}, c.signal);
    const change = (what) => (v) => { asked[what] = v; window.history.replaceState(null, '', link('deliveries', undefined, asked)); again(); };
    const exact = (what, label) => { const el = filter(label, { value: asked[what], change: () => {} }); el.addEventListener('change', () => change(what)(el.value.trim())); return el; };
    fill(root, heading('Deliveries'), h('div', { class: 'bar' },
      choice('Endpoint', [['', 'Any endpoint'], ...endpoints.map((e) => [e.name, e.name])], { value: asked.endpoint, change: change('endpoint') }),
      choice('State', [['', 'Any state'], ...states.map((s) => [s, { delivered: 'Accepted', dead: 'Given up' }[s] ?? s[0].toUpperCase() + s.slice(1)])], { value: asked.state, change: change('state') }),
      exact('alarm', 'Alarm, exactly'), exact('device', 'Device, exactly')), wrong, list);
    await ask();
    const anew = seldom(() => { if (found.length <= 50) again(); }, 3000, c.signal);
    c.live.on('delivery', anew, c.signal);
    c.live.on('gap', anew, c.signal);
  },
};

/** JSON as people read it; other texts as they are. */
function body(text) {
  let shown = text;
  try { shown = JSON.stringify(JSON.parse(text), null, 2); } catch { /* it is no JSON */ }
  return h('pre', { class: 'body', tabindex: '0' }, shown);
}

const request = (r) => h('div', { class: 'request' },
  r.error ? h('p', null, 'It cannot be made: ', r.error) : [
    h('p', null, h('code', null, h('b', null, r.method), ' ', r.url), r.request && r.request !== 'event' ? h('span', { class: 'quiet' }, ` ${r.request}`) : null),
    h('dl', { class: 'headers' }, Object.entries(r.header ?? {}).sort(([a], [b]) => a.localeCompare(b)).flatMap(([k, list]) => list.map((v) => h('div', null, h('dt', null, k.toLowerCase()), h('dd', null, v))))),
    r.body ? body(r.body) : null]);

function attempt(a) {
  const good = a.status >= 200 && a.status < 300 && !a.error;
  return h('li', { class: 'attempt' },
    h('div', { class: 'why-head' }, h('b', { class: 'number' }, `${a.number}.`), chip(a.status ? `answered ${a.status}` : good ? 'accepted' : 'no answer', { tone: good ? 'good' : 'bad' }), at(a.at), h('span', { class: 'quiet' }, `took ${took(a.took)}`)),
    a.error ? h('p', null, a.error) : null,
    a.timings ? parts([['Lookup', a.timings.lookup], ['Connect', a.timings.connect], ['TLS', a.timings.tls], ['Answer', a.timings.answer]]) : null,
    a.answer ? h('details', null, h('summary', null, 'What it answered'), h('pre', { class: 'body', tabindex: '0' }, a.answer, a.cut ? '…' : '')) : null);
}

/** One delivery. */
export const delivery = {
  title: 'Delivery',
  async mount(root, c) {
    const top = h('div', { class: 'bar' }), about = h('div'), attempts = h('div'), requests = h('div'), said = h('div'), wrong = h('div'), title = h('span', null, 'Delivery');
    let shown = '';
    const again = button('Send again', { api: c.api, scope: 'ops', said, title: 'Under the same id, so that a receiver can tell', run: async () => {
      await c.api.post(path('deliveries', c.id, 'replay'), {});
      anew();
      return 'It is owed again, and is sent when its turn comes.';
    } });
    const show = async () => {
      const d = await c.api.get(path('deliveries', c.id), {}, c.signal);
      const now = JSON.stringify(d);
      if (now === shown) return; // what somebody has opened, or selected, stays
      shown = now;
      c.title(`${d.type} to ${d.endpoint}`);
      fill(title, d.type.replace(/^alarm\./, ''), ' to ', name(d.endpoint));
      again.hidden = d.state === 'waiting';
      fill(top, deliveryState(d), d.error ? h('span', { class: 'quiet' }, d.error) : null);
      fill(about, section('About', facts([
        ['Event', d.data?.title ?? d.type], ['Alarm', d.alarm ? h('a', { href: link('alarms', d.alarm) }, name(d.alarm)) : null],
        ['Device', d.data?.device?.id ? h('a', { href: link('devices', d.data.device.id) }, name(d.data.device.id)) : null],
        ['Endpoint', h('a', { href: link('endpoints', d.endpoint) }, name(d.endpoint))],
        ['Owed since', ago(d.committed)], ['Attempts', String(d.tries)], ['Next attempt', d.state === 'waiting' && d.due ? ago(d.due, { due: true }) : null],
        ['webhook-id', h('code', null, d.sent_as ?? d.event)],
      ])));
      const kept = d.attempts.toReversed();
      fill(attempts, section(`Attempts${kept.length < d.tries ? ` (${kept.length} of ${d.tries} are kept)` : ''}`, kept.length ? h('ol', { class: 'attempts' }, kept.map(attempt)) : h('p', { class: 'quiet' }, d.state === 'waiting' ? 'It was not tried yet.' : 'Nothing is kept of it.')));
      fill(requests, section('The request', d.requests.length
        ? [h('p', { class: 'quiet' }, 'As it would be made now. An attempt carries the same id and the same event as the one before; secrets and signatures are hidden.'), d.requests.map(request)]
        : [h('p', { class: 'quiet' }, 'The endpoint is not configured any more. This is the event:'), body(JSON.stringify(d.data))]));
    };
    fill(root, h('div', { class: 'heading' }, h('h1', { tabindex: '-1' }, title), h('div', { class: 'beside' }, again)), top, said, wrong, h('div', { class: 'columns' }, h('div', { class: 'stack' }, about, attempts), requests));
    const anew = seldom(() => show().then(() => fill(wrong), (err) => { if (!c.signal.aborted) fill(wrong, problem(err)); }), 1000, c.signal);
    c.live.on('delivery', (x) => { if (x.id === c.id) anew(); }, c.signal);
    c.live.on('gap', anew, c.signal);
    await show();
  },
};
