// Live tail: events, deliveries and, if asked for, readings, the newest first.
import { h, fill, at, name } from './dom.js';
import { clip, count, link, measured, splitKey } from './format.js';
import { button, chip, choice, empty, filter, heading, severity } from './parts.js';
import { watchWhileSeen } from './stream.js';

const most = 500; // rows

const outcomes = { delivered: ['accepted', 'good'], retry: ['retry', 'late'], dead: ['given up', 'bad'] };

/** One row for what happened. */
export function rowOf(type, m) {
  if (type === 'delivery') {
    const [word, tone] = outcomes[m.outcome] ?? [m.outcome, 'plain'];
    return {
      at: m.at, kind: 'delivery', href: link('deliveries', m.id), mark: chip(word, { tone }),
      text: [h('strong', null, m.endpoint), ` ${m.type}`, m.status ? `, answered ${m.status}` : '', m.attempt > 1 ? `, attempt ${m.attempt}` : ''],
      more: m.error, device: m.alarm ? splitKey(m.alarm).device : '',
    };
  }
  if (type === 'reading') {
    return {
      at: m.at, kind: 'reading', href: link('devices', m.device), mark: m.invalid ? chip('invalid', { tone: 'late' }) : chip('reading'),
      text: [h('strong', null, m.metric), ' ', h('span', { class: 'number' }, measured(m.value, m.unit))],
      more: m.invalid || (m.skipped ? `${count(m.skipped, 'reading')} before this left out` : ''), device: m.device,
    };
  }
  return {
    at: m.at, kind: 'event', href: m.alarm?.key ? link('alarms', m.alarm.key) : m.device?.id ? link('devices', m.device.id) : m.endpoint ? link('endpoints', m.endpoint.name) : null,
    mark: m.alarm?.severity ? severity(m.alarm.severity) : chip('event'),
    text: [h('strong', null, m.type.replace(/^alarm\./, '')), ' ', clip(m.title ?? '', 200)], more: m.because, device: m.device?.id ?? '',
  };
}

const draw = (r) => h('li', { class: `tail-row ${r.kind}`, data: { row: '' } },
  h('span', { class: 'tail-at' }, at(r.at)), h('span', { class: 'tail-mark' }, r.mark),
  h('span', { class: 'tail-text' }, r.href ? h('a', { href: r.href, class: 'row-link' }, r.text) : h('span', { tabindex: '0' }, r.text), r.more ? h('span', { class: 'quiet cut-2' }, clip(r.more, 500)) : null),
  h('span', { class: 'tail-device' }, r.device ? name(r.device) : null));

export default {
  title: 'Live tail',
  mount(root, c) {
    const list = h('ol', { class: 'tail', 'aria-label': 'What happens, the newest first', reversed: true });
    const note = h('p', { class: 'quiet', role: 'status' });
    const nothing = empty('Waiting for something to happen', 'Events and deliveries are shown here as they come, the last 500 of them.');
    const asked = { kinds: ['event', 'delivery'], device: c.query.get('device') ?? '', rule: c.query.get('rule') ?? '', endpoint: c.query.get('endpoint') ?? '' };
    let paused = false, held = [], stop = null;

    const flush = () => {
      if (held.length === 0) return;
      nothing.remove();
      list.prepend(...held.splice(0).slice(-most).reverse().map(draw));
      while (list.childElementCount > most) list.lastElementChild.remove();
    };
    // Drawn by frames, so that a storm costs the browser no more than it can show.
    let due = 0;
    c.signal.addEventListener('abort', () => cancelAnimationFrame(due));
    const take = (type, m) => {
      held.push(rowOf(type, m));
      if (held.length > most) held.shift();
      if (paused) note.textContent = `Paused: ${count(held.length, 'row')} wait${held.length === 1 ? 's' : ''}${held.length === most ? ' (older ones are left out)' : ''}.`;
      else if (!due) due = requestAnimationFrame(() => { due = 0; if (!paused) flush(); });
    };
    const begin = () => {
      stop?.abort();
      const own = stop = new AbortController();
      c.signal.addEventListener('abort', () => own.abort(), { once: true });
      watchWhileSeen(c.api, {
        query: { ...asked, kinds: asked.kinds.join(',') }, signal: own.signal, tell: take,
        gap: () => { note.textContent = 'The connection was lost for a while: some rows are missing here.'; },
        state: (state, why) => { if (state === 'lost') note.textContent = `Not live: ${why}. Trying again.`; else if (state === 'live' && !paused) note.textContent = ''; },
      });
    };
    const change = (what) => (v) => { asked[what] = v; fill(list); root.append(nothing); begin(); };

    const pause = button('Pause', { run: () => {
      paused = !paused;
      pause.textContent = paused ? 'Go on' : 'Pause';
      pause.setAttribute('aria-pressed', String(paused));
      if (!paused) { note.textContent = ''; flush(); }
    } });
    pause.setAttribute('aria-pressed', 'false');
    const readings = h('input', { type: 'checkbox', on: { change: () => change('kinds')(readings.checked ? ['event', 'delivery', 'reading'] : ['event', 'delivery']) } });
    const exact = (what) => { const el = filter(`${what[0].toUpperCase()}${what.slice(1)}, exactly`, { value: asked[what], change: () => {} }); el.placeholder = `${what[0].toUpperCase()}${what.slice(1)}`; el.addEventListener('change', () => change(what)(el.value.trim())); return el; };
    fill(root, heading('Live tail', h('label', { class: 'check' }, readings, 'Readings'), pause, button('Clear', { kind: 'quiet', run: () => { fill(list); held = []; } })),
      h('div', { class: 'bar' }, exact('device'), exact('rule'), exact('endpoint')), note, h('div', { class: 'card flush' }, list), nothing);
    c.keys({ p: { does: 'Pause and go on', run: () => pause.click() } });
    begin();
  },
};
