// What a person can do about an alarm.
import { h, fill } from './dom.js';
import { button, dialog, problem } from './parts.js';
import { path } from './api.js';
import { clock } from './format.js';
import { burns } from './alarms.js';

const kept = 'tocsin.who';

/** Who does it: what was typed the last time, or the name of the token. */
export function known(api) {
  let own = '';
  try { own = localStorage.getItem(kept) ?? ''; } catch { /* not kept, then */ }
  return own || (['loopback', 'http.token'].includes(api.me.name) ? '' : api.me.name);
}

const tomorrow = (hours) => new Date(Date.now() + hours * 3600e3);

/** The value of a field of local time. */
const local = (d) => new Date(d.getTime() - d.getTimezoneOffset() * 60e3).toISOString().slice(0, 16);

/**
 * The buttons for an alarm. What they come to is written into said.
 * @param {any} a the alarm
 * @param {import('./views.js').Context} c
 * @param {HTMLElement} said
 */
export function actions(a, c, said) {
  const send = async (verb, body, done) => {
    await c.api.post(path('alarms', a.key, verb), body);
    return done;
  };
  const o = { api: c.api, scope: 'ops', said };
  const ack = button('Acknowledge', { ...o, kind: 'main', title: 'Somebody takes care of it: no more reminders (a)', run: () => send('ack', { by: known(c.api) || undefined }, 'Acknowledged: no more reminders are sent.') });
  const list = [];
  if (burns(a)) list.push(a.acked ? button('Take back the acknowledgement', { ...o, run: () => send('unack', { by: known(c.api) || undefined }, 'Nobody takes care of it now.') }) : ack);
  if (a.shelved) list.push(button('Unshelve', { ...o, run: () => send('unshelve', { by: known(c.api) || undefined }, 'It is told of again.') }));
  list.push(button(a.shelved ? 'Shelve for longer…' : 'Shelve…', { ...o, title: 'Tell nobody of it for a while', run: () => shelve(a, c, said) }));
  if (burns(a)) {
    list.push(button('With a note…', { ...o, kind: 'quiet', title: 'Acknowledge and say who and why', run: () => withNote(a, c, said, a.acked ? 'unack' : 'ack') }));
    if (a.because?.includes('acknowledges or resets it')) list.push(button('Reset', { ...o, kind: 'danger', title: 'End it: its condition has cleared', run: () => send('reset', { by: known(c.api) || undefined }, 'It is over.') }));
  }
  c.keys({ a: { does: 'Acknowledge', run: () => { if (burns(a) && !a.acked) ack.click(); } } });
  return h('div', { class: 'bar actions' }, list);
}

/** Fields of who and why. */
function note(api) {
  const by = h('input', { class: 'field', id: 'by', value: known(api), autocomplete: 'name', maxlength: '200' });
  const reason = h('input', { class: 'field', id: 'reason', autocomplete: 'off', maxlength: '1000' });
  return {
    el: [h('div', null, h('label', { for: 'by' }, 'Your name'), by), h('div', null, h('label', { for: 'reason' }, 'Why, for those who look later'), reason)],
    body() {
      const who = by.value.trim();
      try { if (who) localStorage.setItem(kept, who); } catch { /* not kept, then */ }
      return { by: who || undefined, reason: reason.value.trim() || undefined };
    },
  };
}

/** Asks in a dialog, and sends what was said when the form is. */
function ask(title, fields, act, done, said) {
  const wrong = h('div', { class: 'said' });
  const form = h('form', { class: 'form' }, fields, wrong, h('div', { class: 'bar' }, h('button', { class: 'button main', type: 'submit' }, title)));
  const el = dialog(title, form);
  form.addEventListener('submit', async (e) => {
    e.preventDefault();
    try {
      const text = await act();
      el.close();
      fill(said, h('p', { class: 'done', role: 'status' }, text ?? done));
    } catch (err) { fill(wrong, problem(err)); }
  });
}

function withNote(a, c, said, verb) {
  const n = note(c.api);
  ask(verb === 'ack' ? 'Acknowledge' : 'Take back the acknowledgement', n.el, () => c.api.post(path('alarms', a.key, verb), n.body()), verb === 'ack' ? 'Acknowledged: no more reminders are sent.' : 'Nobody takes care of it now.', said);
}

function shelve(a, c, said) {
  const n = note(c.api);
  const until = h('input', { class: 'field', id: 'until', type: 'datetime-local', required: true, value: local(tomorrow(1)), min: local(new Date()) });
  const quick = [[1, '1 hour'], [8, '8 hours'], [24, '24 hours'], [168, '7 days']].map(([hours, text]) => h('button', {
    type: 'button', class: 'button small', on: { click: () => { until.value = local(tomorrow(hours)); } },
  }, text));
  ask('Shelve', [h('div', null, h('label', { for: 'until' }, 'Until'), h('div', { class: 'bar' }, quick), until), n.el,
    h('p', { class: 'quiet' }, 'Until then nobody is told of this alarm. It stays in the list, marked as shelved.')],
  async () => {
    const to = new Date(until.value);
    await c.api.post(path('alarms', a.key, 'shelve'), { ...n.body(), until: to.toISOString() });
    return `Shelved until ${clock(to.getTime())}.`;
  }, '', said);
}
