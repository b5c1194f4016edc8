// One alarm: why it stands as it does, what it looked like, who was told, and what
// can be done about it.
import { h, fill, ago, at, calm, name, seldom } from './dom.js';
import { clip, count, link, measured, took, value, when } from './format.js';
import { chip, deliveryState, empty, facts, heading, section, severity, table } from './parts.js';
import { path } from './api.js';
import { chart } from './chart.js';
import { watchWhileSeen } from './stream.js';
import { burns, limitLines, standings, story } from './alarms.js';
import { actions } from './actions.js';

export default {
  title: 'Alarm',
  async mount(root, c) {
    const key = c.id;
    const head = h('div'), said = h('div', { class: 'said' }), doing = h('div');
    const parts = Object.fromEntries(['chart', 'why', 'told', 'story'].map((part) => [part, h('div', { class: `part-${part}` })]));
    let a = null, device = null, words = null, picture = null;

    const draw = () => {
      const x = a.explanation;
      fill(head, headOf(a, words));
      const held = doing.contains(document.activeElement);
      fill(doing, actions(a, c, said));
      if (held) doing.querySelector('button')?.focus();
      fill(parts.why, whyOf(a, x));
      fill(parts.told, toldOf(a));
      fill(parts.story, storyOf(a));
      c.title(`${clip(a.title || words?.title || key, 80)}`);
    };
    const drawChart = () => {
      const p = plot(a, device);
      if (picture?.metric === p.metric && picture.el.update) picture.el.update(p.points, p.how);
      else {
        picture = { metric: p.metric, kept: p.kept, el: chart(p.points, p.how) };
        fill(parts.chart, section(p.title, picture.el));
      }
    };

    const load = async () => {
      a = await c.api.get(path('alarms', key), {}, c.signal);
      if (!a.title && !words && a.deliveries.length > 0) {
        // It is over: the last that was told of it is what there is to say.
        words = (await c.api.get(path('deliveries', a.deliveries[0].id), {}, c.signal)).data;
      }
      draw();
    };
    const readings = async () => {
      try {
        device = await c.api.get(path('devices', a.device), {}, c.signal);
      } catch (err) {
        if (err.status !== 404) throw err; // a group has no readings of its own
      }
      drawChart();
    };

    await load();
    fill(root, head, doing, said, h('div', { class: 'alarm-parts' }, parts.chart, parts.why, parts.told, parts.story));
    await readings();

    const again = seldom(() => load().catch(() => {}), 400, c.signal);
    c.live.on('event', (ev) => { if (ev.alarm?.key === key) again(); }, c.signal);
    c.live.on('delivery', (d) => { if (d.alarm === key) again(); }, c.signal);
    c.live.on('gap', () => load().then(readings).catch(() => {}), c.signal);

    // The readings of this device alone, as they come.
    const metric = a.explanation?.reading?.metric;
    if (!device || !metric) return;
    const drawSoon = seldom(drawChart, 500, c.signal);
    // What is kept of readings comes a moment late, and may be nothing at all: until then the chart is of what the alarm remembers.
    const anew = () => load().then(readings).catch(() => {});
    const afresh = seldom(anew, 1500, c.signal), afterwards = calm(anew, 2500, c.signal);
    watchWhileSeen(c.api, {
      query: { kinds: 'reading', device: a.device }, signal: c.signal,
      tell: (type, m) => {
        if (m.metric !== metric || m.invalid) return;
        const list = device.samples[metric] ??= [];
        list.push([m.at, m.value]);
        if (list.length > 1000) list.shift();
        const now = parts.why.querySelector('[data-now]');
        if (now) fill(now, measured(m.value, m.unit || a.explanation.reading.unit));
        drawSoon();
        if (!picture.kept) { afresh(); afterwards(); }
      },
      gap: () => readings().catch(() => {}),
    });
  },
};

function headOf(a, words) {
  const x = a.explanation;
  const runbook = x?.rule.runbook;
  return h('div', { class: `alarm-head ${burns(a) ? a.severity : ''}` },
    h('p', { class: 'crumbs' }, h('a', { href: '#/' }, 'Now'), ' / ', h('a', { href: link('rules', a.rule) }, name(a.rule)), ' / ', h('a', { href: link('devices', a.device) }, name(clip(a.device, 60)))),
    heading(clip(a.title || words?.title || `${a.rule}, ${a.device}`, 400),
      a.severity && severity(a.severity), chip(a.state), a.acked && chip('acknowledged', { tone: 'good', title: a.acked_by && `by ${a.acked_by}` }),
      a.shelved && chip('shelved', { tone: 'calm' }), a.muted && chip('muted', { title: a.muted }), a.stale && chip('stale', { tone: 'late' })),
    h('p', { class: 'alarm-because' }, clip(a.because || words?.because || 'Nothing has been told of it.', 1000)),
    h('p', { class: 'quiet' },
      a.state === 'inactive' ? ['Over', a.ended_at ? [' since ', ago(a.ended_at, { since: true })] : '', '. '] : a.started_at ? [a.state === 'pending' ? 'Holds for ' : 'In alarm for ', ago(a.started_at, { since: true }), ', since ', at(a.started_at), '. '] : null,
      a.acked && a.acked_by ? `Acknowledged by ${a.acked_by}. ` : null,
      a.shelved ? ['Shelved', a.shelved.by ? ` by ${a.shelved.by}` : '', ' until ', at(a.shelved.until), a.shelved.reason ? `: ${a.shelved.reason}` : '', '. '] : null,
      runbook ? h('a', { href: runbook, rel: 'noreferrer noopener', target: '_blank' }, 'Runbook') : null,
      burns(a) && new Date().getTimezoneOffset() !== 0 ? h('span', null, ' Times within the sentence above are UTC.') : null));
}

function whyOf(a, x) {
  if (!x) return section('Why', empty('No rule makes this alarm any more', 'The file that had its rule does not have it now.'));
  const timer = x.levels.find((l) => when(l.deadline));
  return section('Why', facts([
    ['Now', h('span', { data: { now: '' } }, x.reading ? measured(x.reading.value, x.reading.unit) : x.measured)],
    ['Compared', x.reading && x.measured !== 'unknown' && `${value(x.reading.value)} ${x.reading.unit ?? ''}`.trim() !== x.measured.replace('-', '−') ? x.measured : null],
    ['Worst', x.peak && [measured(x.peak[1], x.unit), ' at ', at(x.peak[0])]],
    ['Next', timer && [timer.on ? 'clears ' : 'fires ', ago(timer.deadline), ' if nothing changes']],
    ['Not told of because', x.muted], ['Held back by', x.held],
    ['Heard', x.heard && [ago(x.heard), x.every ? `, reports every ${took(x.every)}` : '']],
    ['Device is', x.presence], ['Its clock is off by', x.skew && x.skew !== '0s' ? took(x.skew) : null],
  ]), h('ol', { class: 'levels' }, x.levels.toReversed().map(level)),
  (x.operands ?? []).length > 0 && table('What the expression is made of', [{ title: 'Name', cell: (o) => o.name }, { title: 'Value', class: 'number', cell: (o) => o.value }], x.operands));
}

const holds = { true: 'holds now', false: 'does not hold now', unknown: 'not known' };

const level = (l) => h('li', { class: `level ${l.on ? 'on' : ''}` },
  h('div', { class: 'level-head' }, severity(l.severity), l.on && chip('in alarm', { tone: 'bad' }), h('span', { class: 'quiet' }, holds[l.holds] ?? l.holds)),
  h('div', null, h('span', { class: 'quiet' }, 'fires '), l.fires, h('span', { class: 'quiet' }, ', clears '), l.clears),
  h('div', { class: 'mono quiet' }, [l.source, l.from].filter(Boolean).join(', ')));

/** What the chart shows: the readings where they are kept, or else what the alarm remembers. */
function plot(a, device) {
  const x = a.explanation;
  const metric = x?.reading?.metric;
  const unit = x?.unit ?? x?.reading?.unit;
  const own = (metric && device?.samples?.[metric]) ?? [];
  const same = own.length > 1 && x.reading.unit === unit;
  const started = when(a.started_at);
  let points = same ? own : x?.evidence ?? [];
  if (same && started) {
    // The alarm with some of what was before it.
    const before = started - Math.max(2 * 60e3, (Date.now() - started) * 0.15);
    const from = points.findIndex(([t]) => Date.parse(t) >= before);
    if (from > 0 && points.length - from > 5) points = points.slice(from);
  }
  const fired = a.deliveries.find((d) => d.type === 'alarm.fired' && (!started || when(d.at) >= started - 1000));
  const marks = a.state !== 'inactive' && fired ? [{ at: when(fired.at), text: 'fired' }] : [];
  return {
    metric: `${metric} ${same}`, kept: same, points, title: same ? `Readings of ${metric}` : 'What the rule has compared',
    how: { thinned: !same, label: same ? `Readings of ${metric} of ${a.device}` : `What rule ${a.rule} has compared`, unit, lines: limitLines(x?.levels, (v) => measured(v, unit)), marks },
  };
}

function toldOf(a) {
  const list = standings(a.deliveries, a.told);
  if (list.length === 0) {
    return section('Who was told', empty('Nobody was told', a.muted ? `It is muted: ${a.muted}.` : a.state === 'pending' ? 'It has not fired yet.' : 'No endpoint asks for it: see its rule’s notify, and each endpoint’s match.'));
  }
  return section('Who was told', table('How each endpoint stands', [
    { title: 'Endpoint', cell: (s) => h('a', { href: link('endpoints', s.endpoint), data: { row: '' } }, name(s.endpoint)) },
    { title: 'Is at', class: 'fit', cell: ({ delivery: d, behind }) => (d ? [d.type.replace('alarm.', ''), behind > 0 && h('span', { class: 'quiet' }, `, ${behind} behind it`)] : h('span', { class: 'quiet' }, 'told some time ago')) },
    { title: 'State', cell: ({ delivery: d }) => d && deliveryState(d) },
    { title: 'Attempts', class: 'number', cell: ({ delivery: d }) => d?.tries ?? '' },
    { title: 'Answer', class: 'grow', cell: ({ delivery: d }) => d && answer(d) },
    { title: 'More', class: 'fit', cell: ({ delivery: d }) => d && h('a', { href: link('deliveries', d.id), title: 'The request and the answer' }, 'Details') },
  ], list));
}

const answer = (d) => (d.state === 'delivered' ? [`${d.status || 'accepted'}, `, ago(d.ended)]
  : [clip(d.error || (d.tries ? `answered ${d.status}` : 'not tried yet'), 200), when(d.due) > Date.now() ? ['; again ', ago(d.due, { due: true })] : null]);

function storyOf(a) {
  const events = story(a.deliveries);
  if (events.length === 0) return null;
  return section('History', h('ol', { class: 'story' }, events.map((ev) => h('li', { class: 'story-row' },
    h('span', { class: 'tail-at' }, at(ev.at)), h('strong', null, ev.type.replace('alarm.', '')),
    h('span', { class: 'story-told' }, ev.deliveries.map((d) => h('a', { class: 'told', href: link('deliveries', d.id), title: d.error }, name(d.endpoint), ' ', deliveryState(d), d.tries > 1 ? h('span', { class: 'quiet' }, ` ${count(d.tries, 'attempt')}`) : null)))))),
  a.deliveries.length >= 100 && h('p', { class: 'quiet' }, 'Older ones are left out: ', h('a', { href: `${link('tail')}` }, 'the live tail'), ' shows what comes.'));
}
