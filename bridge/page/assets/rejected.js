// What input was not used: from whom, how often, and why.
import { h, fill, ago, name, seldom } from './dom.js';
import { count, link } from './format.js';
import { chip, empty, facts, figure, heading, problem } from './parts.js';

// What a reason means, and what to do about it, where the server does not say.
const meanings = {
  unmatched: 'No source reads the topic.', late: 'The reading came too late: a newer one was there, or it was delivered twice.',
  json: 'The payload is not one JSON document.', utf8: 'The payload is not UTF-8.', type: 'The value is of another kind than the metric.',
  null: 'The value is null.', range: 'The value is outside what the metric can be.', device: 'Nothing usable says which device it is.',
  size: 'The payload is larger than is read.', depth: 'The payload is nested too deep.', duplicate: 'A key is there twice.',
  empty: 'There is no payload.', value: 'There is no value where one should be.', clock: 'The time in the message cannot be used.',
  undeclared: 'The device is not declared, and only declared ones are taken.', devices: 'As many devices are known as may be.',
};

/** The first bytes of a payload, as text or in hex. */
function payload(r) {
  if (!r.payload && !r.payload_hex) return h('span', { class: 'quiet' }, 'empty');
  const shown = r.payload !== undefined ? r.payload : r.payload_hex.replace(/../g, '$& ');
  const cut = r.bytes > 256;
  return [h('pre', { class: 'body' }, shown, cut ? '…' : ''), cut || r.payload_hex ? h('p', { class: 'quiet' }, `${r.payload_hex ? 'In hex, since it is no text. ' : ''}${cut ? `The first 256 of ${count(r.bytes, 'byte')}.` : ''}`) : null];
}

const tried = (r) => link('playground', undefined, { topic: r.topic, payload: r.payload ?? '' });

export default {
  title: 'Rejected',
  async mount(root, c) {
    const list = h('div', { class: 'rejects' }), wrong = h('div'), figures = h('div', { class: 'figures' });
    const show = async () => {
      const { rejects, since } = await c.api.get('rejects', {}, c.signal);
      const all = rejects.reduce((n, r) => n + r.count, 0), lately = rejects.reduce((n, r) => n + r.last_hour, 0);
      fill(figures, figure(new Intl.NumberFormat('en-GB').format(lately), 'in the last hour', { tone: lately ? 'late' : 'good' }),
        figure(new Intl.NumberFormat('en-GB').format(all), ['since ', ago(since, { since: true }), ' ago']), figure(String(rejects.length), rejects.length === 1 ? 'kind' : 'kinds'));
      const open = new Set([...list.querySelectorAll('details[open]')].map((d) => d.dataset.kind));
      fill(list, rejects.length === 0
        ? empty('All input is used', 'Messages that no source reads, payloads that cannot be read and readings that cannot be judged are shown here.')
        : rejects.map((r) => {
          const kind = `${r.source ?? ''}/${r.reason}`;
          return h('details', { class: 'card reject', open: open.has(kind), data: { kind, row: '' } },
            h('summary', null,
              h('span', { class: 'reject-what' }, chip(r.reason, { tone: r.reason === 'late' ? 'plain' : 'late' }), h('span', null, r.detail || meanings[r.reason] || 'It could not be used.')),
              h('span', { class: 'reject-who quiet' }, r.source ? ['source ', h('b', null, r.source)] : 'no source', ', ', count(r.last_hour, 'time'), ' in the last hour, ', new Intl.NumberFormat('en-GB').format(r.count), ' in all, the last ', ago(r.last))),
            h('div', { class: 'reject-more' },
              r.detail && meanings[r.reason] ? h('p', { class: 'quiet' }, meanings[r.reason]) : null,
              facts([
                ['Topic', h('code', null, name(r.topic))], ['Client', r.client ? name(r.client) : null],
                ['Device', r.device ? h('a', { href: link('devices', r.device) }, name(r.device)) : null], ['Metric', r.metric ? name(r.metric) : null],
                ['First', ago(r.first)], ['Bytes', String(r.bytes)],
              ]),
              h('p', { class: 'quiet' }, 'The newest payload:'), payload(r),
              h('p', null, h('a', { class: 'button', href: tried(r) }, 'Try it in the playground'))));
        }));
    };
    fill(root, heading('Rejected'), figures, wrong, list);
    const anew = seldom(() => show().then(() => fill(wrong), (err) => { if (!c.signal.aborted) fill(wrong, problem(err)); }), 1000, c.signal);
    c.live.on('gap', anew, c.signal);
    await show();
    // Nothing tells of what was not used, so it is asked for now and then.
    const timer = setInterval(() => { if (!document.hidden && !list.contains(document.activeElement)) anew(); }, 5000);
    c.signal.addEventListener('abort', () => clearInterval(timer));
  },
};
