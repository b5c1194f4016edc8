// One device: what it said last, what it was like, and why its alarms stand as they do.
import { h, fill, ago, name, seldom } from './dom.js';
import { count, link, measured, took } from './format.js';
import { chip, deliveryState, empty, facts, heading, problem, section, severity, table } from './parts.js';
import { chart } from './chart.js';
import { path } from './api.js';
import { watchWhileSeen } from './stream.js';
import { valuesOf } from './devices.js';
import { limitsOf, why } from './why.js';

const most = 1000; // points of a chart
const states = ['firing', 'recovering', 'pending', 'inactive'];

const attributes = (d) => Object.entries(d.labels ?? {}).map(([k, v]) => [k, name(v)]);

export default {
  title: 'Device',
  async mount(root, c) {
    c.title(c.id);
    let d = await c.api.get(path('devices', c.id), {}, c.signal);
    const top = h('div', { class: 'bar' }), values = h('div', { class: 'values' }), about = h('div'), rules = h('div'), charts = h('div', { class: 'columns' }), told = h('div'), wrong = h('div');

    const showValues = () => fill(values, valuesOf(d).map((v) => h('div', { class: v.metric === d.foremost ? 'reading foremost' : 'reading' },
      h('span', { class: 'quiet' }, name(v.metric)), h('b', null, measured(v.value, v.unit)), h('span', { class: 'quiet' }, v.quality !== 'good' ? [chip(v.quality, { tone: 'late' }), ' '] : null, ago(v.at)))));
    const show = () => {
      fill(top, chip(d.presence, { title: d.why }), d.severity ? [severity(d.severity), h('span', null, count(d.alarms, 'alarm'))] : h('span', { class: 'quiet' }, 'No alarm'));
      showValues();
      fill(about, section('About', facts([
        ['Heard', ago(d.heard)], ['Presence', [d.presence, d.why ? `: ${d.why}` : '', d.since ? [', for ', ago(d.since, { since: true })] : null]],
        ['Reports every', d.every ? took(d.every) : null], ['Clock behind', d.skew ? took(d.skew) : null],
        ['Type', d.type ? name(d.type) : null], ['Via', d.via ? h('a', { href: link('devices', d.via) }, name(d.via)) : null],
        ['Declared', d.declared ? 'yes, in a rule file' : null], ...attributes(d),
      ])));
      const burning = d.rules.toSorted((a, b) => states.indexOf(a.state) - states.indexOf(b.state));
      fill(rules, section('Why its alarms stand as they do', burning.length
        ? burning.map((x) => why(x))
        : empty('No rule looks at this device', 'Its readings are kept, and nobody is told of them.', h('p', null, h('a', { class: 'button', href: link('playground', undefined, { device: d.id }) }, 'Try a rule')))));
      showCharts();
    };
    const showCharts = () => {
      const list = valuesOf(d).filter((v) => typeof v.value !== 'string' && d.samples[v.metric]?.length > 1);
      fill(charts, list.map((v) => section(v.metric, chart(d.samples[v.metric], { label: `${v.metric} of ${d.id}`, unit: v.unit, lines: limitsOf(d.rules, v.metric), height: 190 }))));
      charts.hidden = list.length === 0;
    };
    const showTold = async () => {
      const { deliveries } = await c.api.get('deliveries', { device: d.id, limit: 8 }, c.signal);
      fill(told, section('Told of it', deliveries.length ? table('Deliveries about this device', [
        { title: 'When', cell: (x) => ago(x.at), class: 'fit' },
        { title: 'What', cell: (x) => h('a', { href: link('deliveries', x.id) }, x.type.replace(/^alarm\./, '')) },
        { title: 'Alarm', cell: (x) => (x.alarm ? h('a', { href: link('alarms', x.alarm) }, name(x.alarm)) : '–'), class: 'grow' },
        { title: 'Whom', cell: (x) => h('a', { href: link('endpoints', x.endpoint) }, name(x.endpoint)) },
        { title: 'Accepted', cell: deliveryState },
      ], deliveries) : h('p', { class: 'quiet' }, 'Nobody was told of this device yet.')));
    };

    fill(root, heading(name(d.id), h('a', { class: 'button', href: link('playground', undefined, { device: d.id }) }, 'Try in the playground'), h('a', { class: 'button quiet', href: link('tail', undefined, { device: d.id }) }, 'Live tail')),
      top, wrong, values, rules, charts, about, told);
    show();

    const anew = seldom(async () => {
      try {
        d = await c.api.get(path('devices', c.id), {}, c.signal);
        fill(wrong);
        show();
        await showTold();
      } catch (err) { if (!c.signal.aborted) fill(wrong, problem(err)); }
    }, 1500, c.signal);
    c.live.on('event', (ev) => { if (ev.device?.id === d.id) anew(); }, c.signal);
    c.live.on('delivery', (x) => { if (x.device === d.id || x.alarm?.endsWith(`/${d.id}`)) anew(); }, c.signal);
    c.live.on('gap', anew, c.signal);
    await showTold();

    // Readings are drawn as they come; why alarms stand as they do is asked for when
    // something has changed, and else every ten seconds for what is measured.
    const redraw = seldom(() => { if (!charts.contains(document.activeElement) && !charts.matches(':hover')) showCharts(); }, 2000, c.signal);
    const slowly = seldom(anew, 10_000, c.signal);
    watchWhileSeen(c.api, {
      query: { kinds: 'reading', device: d.id }, signal: c.signal, gap: anew,
      tell: (type, m) => {
        if (type !== 'reading' || m.invalid) return;
        const v = d.values.find((x) => x.metric === m.metric);
        if (!v) { anew(); return; }
        if (Date.parse(m.at) >= Date.parse(v.at)) { v.value = m.value; v.at = m.at; v.unit = m.unit ?? v.unit; }
        const list = d.samples[m.metric] ??= [];
        list.push([m.at, m.value]);
        if (list.length > most) list.shift();
        showValues();
        redraw();
        slowly();
      },
    });
  },
};
