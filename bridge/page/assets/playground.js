// The playground: messages are played to rules, and each step says what became of it.
import { h, fill, name } from './dom.js';
import { clip, count, duration, link, measured, span } from './format.js';
import { button, chip, choice, empty, heading, problem, problemList, section, severity } from './parts.js';
import { path } from './api.js';
import { why } from './why.js';

const own = '\u0000'; // the choice of a text of one's own
const kept = 'tocsin.playground'; // what was written, for when one comes back

const sample = `[rule.my-rule]
metric   = "temperature"
above    = "-15 °C"
clear    = "-17 °C"
for      = "20s"
severity = "major"
`;

/** A topic that a source reads, for a device. */
export function topicFor(source, device) {
  return source.topic.replace(/\{(\w+)\}/g, (_, part) => (part === 'device' ? device?.id ?? 'my-device' : device?.labels?.[part] ?? (part === 'metric' ? 'temperature' : part)))
    .replaceAll('+', 'x').replace('#', 'x');
}

/** Payloads of a rule's metric that come from where it is quiet to where it fires. */
export function payloadsFor(device, explanation, kind) {
  const number = (v) => Number(v.toPrecision(6));
  const readings = Object.fromEntries((device?.values ?? []).filter((v) => typeof v.value !== 'string').map((v) => [v.metric, v.value]));
  const level = explanation?.levels?.[0], metric = explanation?.reading?.metric ?? Object.keys(readings)[0] ?? 'temperature';
  const limit = [level?.limit].flat().find((v) => typeof v === 'number');
  const write = (v) => (kind === 'scalar' ? String(v) : JSON.stringify(explanation ? { [metric]: v } : { ...readings, [metric]: v }));
  if (limit === undefined) return write(readings[metric] ?? -12);
  const by = Math.max(1, Math.abs(limit) * 0.1), down = /below/.test(level.fires);
  return [limit + (down ? by : -by), limit + (down ? -by : by), limit + (down ? -2 * by : 2 * by)].map((v) => write(number(v))).join('\n');
}

/** How long a rule waits before it fires, as its words say; "" for not at all. */
export const holdOf = (explanation) => / for ((?:\d+[dhms])+)$/.exec(explanation?.levels?.[0]?.fires ?? '')?.[1] ?? '';

const since = (text) => { const ms = duration(text); return ms ? `+${span(ms)}` : 'start'; };

function event(ev) {
  return h('li', { class: 'try-event' },
    h('div', { class: 'why-head' }, ev.severity ? severity(ev.severity) : null, h('strong', null, ev.type.replace(/^alarm\./, '')), h('span', null, ev.title)),
    ev.because ? h('p', { class: 'quiet' }, ev.because) : null,
    h('p', null, ev.muted ? ['Nobody would be told: ', ev.muted] : ev.endpoints.length
      ? ['Told: ', ev.endpoints.map((e, i) => [i ? ', ' : '', h('a', { href: link('endpoints', e) }, name(e))])]
      : h('span', { class: 'quiet' }, 'Nobody would be told: no endpoint asks for it.')));
}

function step(s, i, o) {
  const stirred = s.rules.filter((x) => o.rule || x.state !== 'inactive'), calm = s.rules.filter((x) => !stirred.includes(x));
  return h('li', { class: `try-step ${s.events.length ? 'told' : ''}` },
    h('div', { class: 'try-when' }, h('b', { class: 'number' }, since(s.after)), s.topic ? h('span', { class: 'quiet cut' }, `message ${i}`) : h('span', { class: 'quiet' }, 'time passes')),
    h('div', { class: 'try-what' },
      s.readings.length > 0 && h('ul', { class: 'try-readings' }, s.readings.map((r) => h('li', null, name(r.device), ' ', h('span', { class: 'quiet' }, name(r.metric)), ' ', h('b', null, measured(r.value, r.unit)), r.quality !== 'good' ? [' ', chip(r.quality, { tone: 'late' })] : null))),
      s.unused.map((u) => h('p', { class: 'try-unused' }, chip('not used', { tone: 'late' }), ' ', h('b', null, u.reason), u.source ? ` by ${u.source}` : '', u.metric ? [', ', name(u.metric)] : null, u.detail ? `: ${u.detail}` : '')),
      s.events.length > 0 && h('ul', { class: 'try-events' }, s.events.map(event)),
      s.note ? h('p', { class: 'quiet' }, s.note) : null,
      stirred.map((x) => why(x, { rule: true, tried: true })),
      calm.length > 0 && h('details', null, h('summary', null, `${count(calm.length, 'rule')} at rest`), calm.map((x) => why(x, { rule: true, tried: true })))));
}

export default {
  title: 'Playground',
  async mount(root, c) {
    const [{ sources }, { rules }] = await Promise.all([c.api.get('sources', {}, c.signal), c.api.get('rules', {}, c.signal)]);
    let was = {};
    try { was = JSON.parse(sessionStorage.getItem(kept) ?? '{}'); } catch { /* then from the beginning */ }
    const asked = Object.fromEntries(['rule', 'device', 'topic', 'payload'].map((k) => [k, c.query.get(k)]));
    const fresh = Object.values(asked).some((v) => v !== null);

    const field = (id, label, el, hint) => { el.id = id; return h('div', null, h('label', { for: id }, label), el, hint ? h('p', { class: 'quiet' }, hint) : null); };
    const topic = h('input', { class: 'field mono', type: 'text', spellcheck: 'false', autocomplete: 'off', maxlength: '1024' });
    const payload = h('textarea', { class: 'field', spellcheck: 'false', rows: '5' });
    const between = h('input', { class: 'field', type: 'text', spellcheck: 'false', autocomplete: 'off', size: '8' });
    const wait = h('input', { class: 'field', type: 'text', spellcheck: 'false', autocomplete: 'off', size: '8', placeholder: '0s' });
    const text = h('textarea', { class: 'field', spellcheck: 'false', rows: '12' });
    const textField = field('try-rules', 'Rules, as in a rule file', text, 'They are judged in the place of those that run, and may refer to the metrics, devices, groups and schedules that run. Nothing is saved.');
    const rule = choice('Judged by', [['', 'All rules that run'], ...rules.map((r) => [r.rule, r.rule]), [own, 'A text of my own…']], { change: () => { textField.hidden = rule.value !== own; } });
    const result = h('div', { class: 'try-result' });

    /** Fills the form with what a rule, or a device, would see. */
    const example = async () => {
      const id = asked.rule ?? '';
      const of = asked.device ?? (id ? (await c.api.get(path('rules', id), {}, c.signal)).nearest?.device : null)
        ?? (await c.api.get('devices', { limit: 1, order: 'severity' }, c.signal)).devices[0]?.id;
      const device = of ? await c.api.get(path('devices', of), {}, c.signal).catch(() => null) : null;
      const explanation = id ? device?.rules.find((x) => x.rule.id === id) : null;
      const source = sources.find((s) => s.decoder !== 'presence') ?? sources[0];
      rule.value = id;
      topic.value = source ? topicFor(source, device) : '';
      payload.value = payloadsFor(device, explanation, source?.decoder);
      wait.value = holdOf(explanation);
    };
    between.value = '10s';
    text.value = sample;
    if (!fresh && was.topic) {
      topic.value = was.topic; payload.value = was.payload; between.value = was.between; wait.value = was.wait; text.value = was.text || sample;
      rule.value = was.rule === own || rules.some((r) => r.rule === was.rule) ? was.rule : '';
    } else {
      await example();
      if (asked.topic !== null) topic.value = asked.topic;
      if (asked.payload !== null) { payload.value = asked.payload; wait.value = ''; }
    }
    textField.hidden = rule.value !== own;

    const run = async () => {
      const lines = payload.value.split('\n').map((l) => l.trim()).filter(Boolean);
      // A document over several lines is one message.
      const whole = payload.value.trim();
      let messages = lines;
      try { JSON.parse(whole); messages = [whole]; } catch { /* a message a line, then */ }
      if (messages.length === 0) messages = [''];
      try { sessionStorage.setItem(kept, JSON.stringify({ topic: topic.value, payload: payload.value, between: between.value, wait: wait.value, text: text.value, rule: rule.value })); } catch { /* it is only kept for comfort */ }
      let answer;
      try {
        answer = await c.api.post('try', {
          messages: messages.map((m, i) => ({ topic: topic.value, payload: m, after: i === 0 ? '0s' : between.value || '1s' })),
          wait: wait.value || undefined,
          rule: rule.value === own ? undefined : rule.value || undefined, rules: rule.value === own ? text.value : undefined,
        }, c.signal);
      } catch (err) {
        if (c.signal.aborted) return;
        fill(result, problem(err));
        if (result.getBoundingClientRect().top > innerHeight) result.scrollIntoView({ block: 'nearest' });
        const at = err.problems?.find((p) => p.line);
        if (at && !textField.hidden) reveal(text, at.line);
        return;
      }
      const told = answer.steps.reduce((n, s) => n + s.events.length, 0);
      let n = 0;
      fill(result, section('What would happen',
        h('p', { role: 'status' }, h('b', null, told ? `${count(told, 'event')} would be told.` : 'Nobody would be told of anything.'),
          answer.pending.length ? [' Still waiting: ', answer.pending.join(', '), '. Let time go on to see what comes.'] : null),
        answer.cut ? h('p', { class: 'try-unused' }, chip('cut short', { tone: 'late' }), ' ', answer.cut) : null,
        answer.warnings.length > 0 && h('div', null, h('h3', null, 'Warnings of the text'), problemList(answer.warnings)),
        h('ol', { class: 'try-steps' }, answer.steps.map((s) => step(s, s.topic ? ++n : n, { rule: rule.value && rule.value !== own })))));
      if (result.getBoundingClientRect().top > innerHeight - 80) result.scrollIntoView();
      c.say(told ? `${count(told, 'event')} would be told` : 'Nobody would be told of anything');
    };
    const go = button('Run', { kind: 'main', run });
    const form = h('div', { class: 'form' },
      field('try-topic', 'Topic', topic, sources.length ? `Read: ${clip(sources.map((s) => s.topic).join(', '), 160)}` : 'No source is configured.'),
      field('try-payload', 'Payload', payload, 'Each line is a message, unless all of it is one JSON document.'),
      h('div', { class: 'try-times' }, field('try-between', 'Between messages', between), field('try-wait', 'And then wait', wait)),
      field('try-rule', 'Judged by', rule), textField,
      h('div', { class: 'bar' }, go, h('span', { class: 'quiet' }, 'Ctrl + Enter. Nothing is stored or sent.')));
    form.addEventListener('keydown', (e) => { if (e.key === 'Enter' && (e.ctrlKey || e.metaKey)) { e.preventDefault(); go.click(); } });
    fill(result, empty('Not run yet', 'An engine that has heard of nothing before plays these messages in virtual time, by the rules that you choose, and explains each step.'));
    fill(root, heading('Playground'), h('div', { class: 'try' }, h('div', { class: 'card' }, form), result));
    if (fresh && (asked.rule || asked.payload)) await run();
  },
};

/** Selects a line of a text. */
function reveal(el, line) {
  const lines = el.value.split('\n'), before = lines.slice(0, line - 1).join('\n').length + (line > 1 ? 1 : 0);
  el.focus();
  el.setSelectionRange(before, before + (lines[line - 1]?.length ?? 0));
}
