// All devices: who is there, what was read last, and what it was like.
import { h, fill, ago, name, calm } from './dom.js';
import { count, link, measured } from './format.js';
import { chip, choice, empty, filter, heading, problem, shape } from './parts.js';
import { sparkline } from './chart.js';
import { rows } from './rows.js';

const refreshed = 5_000; // how old values may get that are looked at
const redrawn = 60_000; // how old small lines may get

/** A series of the API as points of a chart. */
export function pointsOf(series, from, step) {
  const points = [];
  series.last.forEach((v, i) => { if (v !== null) points.push([new Date(from + (i + 1) * step).toISOString(), v]); });
  return points;
}

/** The values of a device in the order of what is worth seeing: what alarms first. */
export const valuesOf = (d) => d.values.toSorted((a, b) => (b.metric === d.foremost) - (a.metric === d.foremost));

const few = (d, most) => {
  const list = valuesOf(d);
  return [
    list.slice(0, most).map((v) => h('span', { class: v.metric === d.foremost ? 'value foremost' : 'value' }, h('span', { class: 'quiet' }, name(v.metric), ' '), h('b', { class: 'number' }, measured(v.value, v.unit)))),
    list.length > most ? h('span', { class: 'quiet' }, `+${list.length - most}`) : null,
  ];
};

export default {
  title: 'Devices',
  async mount(root, c) {
    const asked = {
      q: c.query.get('q') ?? '', presence: c.query.get('presence') ?? '', alarming: c.query.get('alarming') === 'true',
      order: c.query.get('order') ?? 'severity',
    };
    const sum = h('span', { class: 'quiet', role: 'status' });
    const wrong = h('div');
    const narrow = matchMedia('(max-width: 760px)');
    const lines = new Map(); // by device: {at, el}
    let history = true;

    const draw = (el, d) => {
      el.classList.toggle('alarming', Boolean(d.severity));
      fill(el,
        h('span', { class: 'd-name', role: 'rowheader' },
          d.severity ? h('span', { class: `severity ${d.severity}`, title: `${count(d.alarms, 'alarm')}, the worst is ${d.severity}` }, shape(d.severity), h('span', { class: 'unseen' }, d.severity)) : h('span', { class: 'no-shape' }),
          h('a', { href: link('devices', d.id), class: 'cut' }, name(d.id))),
        h('span', { class: 'd-presence', role: 'cell' }, chip(d.presence, { title: d.why })),
        h('span', { class: 'd-heard quiet', role: 'cell' }, ago(d.heard)),
        h('span', { class: 'd-values', role: 'cell' }, few(d, 3)),
        h('span', { class: 'd-line', role: 'cell' }, lines.get(d.id)?.el.cloneNode(true) ?? null));
    };

    const series = async (seen) => {
      if (!history) return;
      const late = Date.now() - redrawn;
      const wanted = seen.filter(({ row }) => !(lines.get(row.id)?.at > late)).slice(0, 100);
      if (wanted.length === 0) return;
      for (const { row } of wanted) lines.set(row.id, { at: Date.now(), el: lines.get(row.id)?.el ?? h('span') });
      let answer;
      try {
        answer = await c.api.get('series', { device: wanted.map(({ row }) => row.id), points: 60 }, c.signal);
      } catch { return; } // without them a list is as good; they are asked for again with the next rest
      if (!answer.history) { history = false; list.el.classList.add('no-lines'); return; }
      const from = Date.parse(answer.from), step = (Date.now() - from) / 60;
      for (const s of answer.series) {
        const points = pointsOf(s, from, step);
        if (points.length > 1) lines.set(s.device, { at: Date.now(), el: sparkline(points, { label: `${s.metric} in the last hour, now ${measured(points.at(-1)[1], s.unit)}`, width: 120, height: 28 }) });
      }
      if (lines.size > 2000) for (const id of [...lines.keys()].slice(0, 1000)) lines.delete(id);
      for (const one of seen) if (one.row) list.redraw(one);
    };

    const none = h('div', { hidden: true });
    const list = rows({
      label: 'Devices', signal: c.signal, height: () => (narrow.matches ? 78 : 48), draw, rested: series,
      head: h('div', { class: 'rows-head', role: 'row', 'aria-rowindex': 1 }, ['Device', 'Presence', 'Heard', 'Newest readings', 'The last hour'].map((t) => h('span', { role: 'columnheader' }, t))),
      load: async (skip, limit) => {
        const page = await c.api.get('devices', { ...asked, skip: skip || undefined, limit }, c.signal);
        return { rows: page.devices, total: page.total };
      },
      counted: (total) => {
        sum.textContent = count(total, 'device');
        c.say(count(total, 'device'));
        none.hidden = total > 0;
        list.el.hidden = total === 0;
        if (total === 0) {
          fill(none, asked.q || asked.presence || asked.alarming
            ? empty('No such device', 'No device matches what is asked for.')
            : empty('No device has reported yet', 'Devices appear with their first message. What came and was not used is under Rejected.', h('p', null, h('a', { class: 'button', href: link('rejected') }, 'What was rejected'))));
        }
      },
      failed: (err) => fill(wrong, problem(err)),
    });

    const anew = calm(() => {
      // The address says what is asked for, so it can be handed on.
      const address = link('devices', undefined, { q: asked.q, presence: asked.presence, alarming: asked.alarming ? 'true' : '', order: asked.order === 'severity' ? '' : asked.order });
      window.history.replaceState(null, '', address);
      fill(wrong);
      list.reset();
    }, 200, c.signal);
    const alarming = h('input', { type: 'checkbox', on: { change: () => { asked.alarming = alarming.checked; anew(); } } });
    alarming.checked = asked.alarming;

    fill(root,
      heading('Devices', sum),
      h('div', { class: 'bar' },
        filter('A part of a name', { value: asked.q, change: (text) => { asked.q = text; anew(); } }),
        choice('Presence', [['', 'Any presence'], ...['online', 'offline', 'sleeping', 'lost', 'unknown'].map((p) => [p, p[0].toUpperCase() + p.slice(1)])], { value: asked.presence, change: (v) => { asked.presence = v; anew(); } }),
        choice('Order', [['severity', 'Worst first'], ['name', 'By name'], ['heard', 'Longest silent first']], { value: asked.order, change: (v) => { asked.order = v; anew(); } }),
        h('label', { class: 'check' }, alarming, 'With alarms')),
      wrong, none, h('div', { class: 'card flush' }, list.el));
    await list.reset();

    // Values change with every reading, and to be told of each would be more than
    // anybody can see: what is looked at is asked for again now and then.
    const timer = setInterval(() => {
      if (!document.hidden) list.refresh().then(() => fill(wrong), (err) => { if (!c.signal.aborted) fill(wrong, problem(err)); });
    }, refreshed);
    c.signal.addEventListener('abort', () => clearInterval(timer));
    narrow.addEventListener('change', () => list.reset(), { signal: c.signal });
  },
};
