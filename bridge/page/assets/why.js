// Why an alarm stands as it does, in words: what was read, what it is compared with and
// where that is written, and what keeps it from being told.
import { h, ago, at, name } from './dom.js';
import { link, measured } from './format.js';
import { chip, severity } from './parts.js';

const held = { true: ['holds', 'bad'], false: ['does not hold', 'plain'], unknown: ['not known', 'calm'] };

/** One level of a rule's ladder. */
const level = (l) => h('div', { class: 'why-level' },
  h('span', { class: l.on ? 'on' : null }, severity(l.severity)),
  h('div', null,
    h('div', null, l.on ? 'clears ' : 'fires ', h('b', null, l.on ? l.clears : l.fires), ' ', chip(...word(l))),
    h('div', { class: 'quiet' },
      l.running ? [l.on ? 'clearing since ' : 'holding since ', at(l.running), l.deadline ? [', until ', at(l.deadline)] : null, '. '] : null,
      [l.from, l.source].filter(Boolean).join(', '))));

const word = (l) => {
  if (l.on) return ['on', { tone: 'bad' }];
  const [text, tone] = held[l.holds] ?? [l.holds, 'plain'];
  return [text, { tone }];
};

/**
 * The explanation of one alarm.
 * @param {object} x as the API has it
 * @param {{device?: boolean, rule?: boolean, tried?: boolean}} [how] device and rule: which of the two stands in its head; tried: in virtual time
 */
export function why(x, how = { rule: true }) {
  const notes = [
    x.held && ['It may not start now: ', x.held],
    x.muted && ['Nobody is told of it now: ', x.muted],
    x.warming && ['Until ', at(x.warming), ' an alarm that holds may have begun before this store was new.'],
    x.unknown && ['Nothing is known of it since ', at(x.unknown), '.'],
    x.acked && ['Taken care of', x.acked_by ? [' by ', name(x.acked_by)] : null, '.'],
    x.told?.length > 0 && !how.tried && ['Told: ', x.told.map((t, i) => [i ? ', ' : '', h('a', { href: link('endpoints', t) }, name(t))])],
  ].filter(Boolean);
  return h('div', { class: 'why-rule' },
    h('div', { class: 'why-head' },
      how.rule ? h('a', { href: link('rules', x.rule.id) }, h('strong', null, name(x.rule.id))) : null,
      how.device ? h('a', { href: link('devices', x.device.id) }, h('strong', null, name(x.device.id))) : null,
      x.severity ? severity(x.severity) : null, chip(x.state),
      x.since && !how.tried ? h('span', { class: 'quiet' }, 'for ', ago(x.since, { since: true })) : null,
      h('span', null, x.reading ? [name(x.reading.metric), ' ', h('b', { class: 'number' }, measured(x.reading.value, x.reading.unit))] : null,
        x.measured && !sameAs(x) ? [x.reading ? ', ' : '', 'measured ', h('b', null, x.measured)] : null),
      x.state !== 'inactive' && how.rule && !how.tried ? h('a', { href: link('alarms', x.key) }, 'the alarm') : null),
    h('div', { class: 'why-levels' }, x.levels?.map(level)),
    x.operands?.length > 0 && h('ul', { class: 'why-notes' }, x.operands.map((o) => h('li', null, h('code', null, o.name), ' is ', h('b', null, o.value), o.why ? h('span', { class: 'quiet' }, `: ${o.why}`) : null))),
    notes.length > 0 && h('ul', { class: 'why-notes quiet' }, notes.map((n) => h('li', null, n))));
}

/** Whether what is measured is the reading itself. */
const sameAs = (x) => Boolean(x.reading) && String(x.measured).replace(/\s/g, '') === `${x.reading.value}${x.reading.unit ?? ''}`.replace(/\s/g, '');

/** Limits that a chart of a metric shows, from the explanations of a device. */
export function limitsOf(explanations, metric) {
  const lines = [];
  for (const x of explanations) {
    if (x.reading?.metric !== metric) continue;
    for (const l of x.levels ?? []) {
      for (const v of [l.limit].flat()) {
        if (typeof v === 'number' && !lines.some((o) => o.value === v)) lines.push({ value: v, kind: 'limit', text: `${x.rule.id}, ${l.severity}: ${l.fires}` });
      }
    }
  }
  return lines;
}
