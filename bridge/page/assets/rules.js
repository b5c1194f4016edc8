// The rules: how they stand, how near they came, and whether they look at anything.
import { h, fill, ago, name, seldom } from './dom.js';
import { count, link } from './format.js';
import { button, chip, choice, empty, facts, filter, heading, problem, section, table } from './parts.js';
import { path } from './api.js';
import { why } from './why.js';

// What a state means for who has just written the rule.
const states = {
  unmatched: ['matches nothing', 'late', 'No device that was heard of has what this rule looks at: check its metric and its devices.'],
  unjudged: ['nothing judged', 'late', 'It looks at devices, and nothing of what it looks at was read yet.'],
  silent: ['never fired', 'plain', 'It has judged readings, and never fired.'],
  quiet: ['quiet', 'good', 'It has fired before, and does not now.'],
  firing: ['firing', 'bad'], recovering: ['recovering', 'late'], pending: ['pending', 'calm'],
  disabled: ['disabled', 'plain', 'It is switched off where it is written.'],
};

/** How a rule stands, by a word and what it means. */
export function standing(r) {
  const [word, tone, title] = states[r.state] ?? [r.state, 'plain'];
  return h('span', null, chip(word, { tone, title }), r.shadow ? [' ', chip('shadow', { tone: 'calm', title: 'It is judged, and nobody is told' })] : null);
}

const order = ['firing', 'recovering', 'pending', 'unmatched', 'unjudged', 'silent', 'quiet', 'disabled'];
const numbered = (n) => (n ? new Intl.NumberFormat('en-GB').format(n) : h('span', { class: 'quiet' }, '0'));

export default {
  title: 'Rules',
  async mount(root, c) {
    let list = [], q = '', only = c.query.get('state') ?? '';
    const body = h('div', { class: 'card' }), wrong = h('div'), sum = h('span', { class: 'quiet' });
    const attention = ['unmatched', 'unjudged'];
    const show = () => {
      const found = list.filter((r) => r.rule.toLowerCase().includes(q) && (!only || (only === 'attention' ? attention.includes(r.state) || r.errors > 0 : r.state === only)))
        .toSorted((a, b) => order.indexOf(a.state) - order.indexOf(b.state) || a.rule.localeCompare(b.rule));
      sum.textContent = count(list.length, 'rule');
      fill(body, found.length === 0
        ? (list.length ? empty('No such rule', 'No rule matches what is asked for.') : empty('There is no rule yet', 'Rules are written in TOML, in the files that the configuration names. Try one here first.', h('p', null, h('a', { class: 'button main', href: link('playground') }, 'Open the playground'))))
        : table('Rules', [
          { title: 'Rule', class: 'grow', cell: (r) => h('div', null, h('a', { href: link('rules', r.rule) }, h('strong', null, name(r.rule))), h('div', { class: 'quiet' }, r.condition)) },
          { title: 'State', cell: standing },
          { title: 'Looks at', class: 'number', cell: (r) => numbered(r.alarms) },
          { title: 'Firing', class: 'number', cell: (r) => (r.firing ? h('b', null, numbered(r.firing)) : numbered(0)) },
          { title: 'Fired', class: 'number', cell: (r) => numbered(r.fired) },
          { title: 'Nearest', class: 'grow', cell: (r) => (r.nearest ? h('div', null, r.nearest.text, r.near_miss ? h('div', { class: 'quiet' }, 'Longest: ', r.near_miss.text) : null) : h('span', { class: 'quiet' }, attention.includes(r.state) ? states[r.state][2] : '–')) },
        ], found, { data: () => ({ row: '' }) }));
    };
    const ask = async () => {
      try {
        ({ rules: list } = await c.api.get('rules', {}, c.signal));
        fill(wrong);
        show();
      } catch (err) { if (!c.signal.aborted) fill(wrong, problem(err)); }
    };
    ({ rules: list } = await c.api.get('rules', {}, c.signal));
    const said = h('div');
    const reload = button('Reload the configuration', { api: c.api, scope: 'admin', said, title: 'Reads the files again; what is wrong with them changes nothing', run: async () => {
      const { changes } = await c.api.post('reload', {});
      await ask();
      const n = ['rules', 'endpoints'].flatMap((k) => ['added', 'changed', 'removed'].map((w) => changes[k]?.[w]?.length ?? 0)).reduce((a, b) => a + b, 0);
      return n ? `Reloaded: ${count(n, 'rule or endpoint', 'rules and endpoints')} changed.` : 'Reloaded: nothing has changed.';
    } });
    fill(root, heading('Rules', sum, h('a', { class: 'button', href: link('playground') }, 'Playground'), reload), said, wrong,
      h('div', { class: 'bar' }, filter('A part of a name', { change: (text) => { q = text.toLowerCase(); show(); } }),
        choice('State', [['', 'Any state'], ['attention', 'Needs a look'], ...order.map((s) => [s, states[s][0][0].toUpperCase() + states[s][0].slice(1)])], { value: only, change: (v) => { only = v; show(); } })),
      body);
    show();
    const anew = seldom(ask, 2000, c.signal);
    c.live.on('event', anew, c.signal);
    c.live.on('gap', anew, c.signal);
  },
};

const explained = 10; // devices

/** One rule. */
export const rule = {
  title: 'Rule',
  async mount(root, c) {
    c.title(c.id);
    const top = h('div', { class: 'bar' }), about = h('div'), burning = h('div'), traces = h('div'), wrong = h('div');
    const show = async () => {
      const [r, { alarms, next }] = await Promise.all([
        c.api.get(path('rules', c.id), {}, c.signal), c.api.get('alarms', { rule: c.id, limit: 50 }, c.signal),
      ]);
      const [, , means] = states[r.state] ?? [];
      fill(top, standing(r), means ? h('span', { class: 'quiet' }, means) : null);
      fill(about, section('How it stands', facts([
        ['Condition', r.condition], ['Written in', r.source ? h('code', null, r.source) : null], ['Looks at', count(r.alarms, 'device or group', 'devices or groups')],
        ['Firing', String(r.firing)], ['Pending', String(r.pending)], ['Recovering', String(r.recovering)],
        ['Fired in all', String(r.fired)], ['Kept from being told', r.muted ? String(r.muted) : null], ['Could not be judged', r.errors ? count(r.errors, 'device') : null],
        ['Judges since', r.since ? ago(r.since) : 'it has never judged a reading'],
        ['Came nearest', r.nearest ? [r.nearest.text, ', ', ago(r.nearest.at)] : null],
        ['Held longest without firing', r.near_miss ? [r.near_miss.text, ', ', ago(r.near_miss.at)] : null],
      ])));
      fill(traces, r.traces?.length ? section('What it last came to', table('The last of each outcome', [
        { title: 'Outcome', cell: (t) => chip(t.outcome, { tone: { fired: 'bad', cleared: 'good', suppressed: 'calm', error: 'late' }[t.outcome] }), class: 'fit' },
        { title: 'When', cell: (t) => ago(t.at), class: 'fit' },
        { title: 'Alarm', cell: (t) => h('a', { href: link('alarms', t.key) }, name(t.key)) },
        { title: 'Why', cell: (t) => t.text, class: 'grow' },
      ], r.traces)) : null);
      const near = alarms.length ? alarms.map((a) => a.device) : [r.nearest?.device].filter(Boolean);
      const list = (await Promise.all([...new Set(near)].slice(0, explained).map((d) => c.api.get(path('devices', d, 'explain'), { rule: c.id }, c.signal).then((x) => x.alarms, () => [])))).flat();
      fill(burning, section(alarms.length ? `${next ? 'More than 50' : alarms.length} ${alarms.length === 1 ? 'alarm is' : 'alarms are'} under way` : 'No alarm is under way',
        list.length ? [alarms.length ? null : h('p', { class: 'quiet' }, 'The device that came nearest:'), list.map((x) => why(x, { device: true }))] : h('p', { class: 'quiet' }, means ?? 'Nothing to explain.'),
        alarms.length > explained ? h('p', null, h('a', { href: link('', undefined, { rule: c.id }) }, 'All of them')) : null));
    };
    fill(root, heading(name(c.id), h('a', { class: 'button main', href: link('playground', undefined, { rule: c.id }) }, 'Try it'), h('a', { class: 'button quiet', href: link('tail', undefined, { rule: c.id }) }, 'Live tail')), top, wrong, burning, about, traces);
    const anew = seldom(() => show().then(() => fill(wrong), (err) => { if (!c.signal.aborted) fill(wrong, problem(err)); }), 2000, c.signal);
    c.live.on('event', (ev) => { if (ev.rule?.id === c.id) anew(); }, c.signal);
    c.live.on('gap', anew, c.signal);
    await show();
  },
};

