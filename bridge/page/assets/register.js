// Registering endpoints, and taking care of those that were.
import { h, fill } from './dom.js';
import { count } from './format.js';
import { button, dialog } from './parts.js';
import { path } from './api.js';

const types = [['', 'Alarms (all that befalls them)'], ['alarm.fired', 'An alarm fires'], ['alarm.fired,alarm.resolved', 'An alarm fires, and ends'], ['alarm.*,device.*', 'Alarms, and devices that come and go']];
const severities = [['', 'Any'], ['critical', 'Critical'], ['critical,major', 'Major and above'], ['critical,major,warning', 'Warning and above']];

const field = (label, el, hint) => { const id = `register-${label.toLowerCase().replace(/\W+/g, '-')}`; el.id = id; return h('div', null, h('label', { for: id }, label), el, hint ? h('p', { class: 'quiet' }, hint) : null); };
const select = (list) => h('select', { class: 'field' }, list.map(([v, text]) => h('option', { value: v }, text)));
const listOf = (text) => (text ? text.split(',') : undefined);

/** Shows a secret, this once. */
function shown(secret, done) {
  const text = h('input', { class: 'field mono', readonly: true, 'aria-label': 'The secret', value: secret });
  const said = h('div');
  text.addEventListener('focus', () => text.select());
  return [
    h('p', null, h('strong', null, 'This is the secret that its messages are signed with.'), ' It is shown this once: give it to the receiver now.'),
    text,
    h('div', { class: 'bar' }, button('Copy', { kind: 'main', said, run: async () => { await navigator.clipboard.writeText(secret); return 'Copied.'; } }), button('Done', { run: done })), said];
}

/** Asks for an endpoint and registers it. made is told its name, when the dialog is closed. */
export function register(c, made) {
  const url = h('input', { class: 'field', type: 'url', placeholder: 'https://example.com/hook', spellcheck: 'false', autocomplete: 'off', maxlength: '4096' });
  const name = h('input', { class: 'field', type: 'text', spellcheck: 'false', autocomplete: 'off', maxlength: '64' });
  const what = select(types), of = select(severities), verify = h('input', { type: 'checkbox' });
  const said = h('div'), body = h('div', { class: 'form' });
  const el = dialog('Register an endpoint', body, said);
  const add = button('Register', { kind: 'main', said, run: async () => {
    const answer = await c.api.post('endpoints', {
      url: url.value.trim(), name: name.value.trim() || undefined, types: listOf(what.value), severity: listOf(of.value), verify: verify.checked || undefined,
    }, c.signal);
    fill(said);
    el.addEventListener('close', () => made(answer.name));
    if (answer.secret) fill(body, shown(answer.secret, () => el.close()));
    else el.close();
  } });
  fill(body,
    field('URL', url, 'https, to a public address, unless the configuration allows more.'),
    field('Told of', what), field('Severity', of), field('Name', name, 'Left out, one is made of the host.'),
    h('label', { class: 'check' }, verify, 'Have the receiver prove first that it wants to be told'),
    h('div', { class: 'bar' }, add, h('button', { type: 'button', class: 'button quiet', on: { click: () => el.close() } }, 'Cancel')));
  body.addEventListener('keydown', (e) => { if (e.key === 'Enter' && e.target.matches('input')) { e.preventDefault(); add.click(); } });
  url.focus();
}

/** Gives a registered endpoint another secret. */
export function rotate(c, id) {
  const said = h('div'), body = h('div', { class: 'form' });
  const el = dialog(`Another secret for ${id}`, body, said);
  fill(body, h('p', null, 'Messages are signed with both for a day, so that the receiver can change over.'),
    h('div', { class: 'bar' }, button('Make one', { kind: 'main', said, run: async () => {
      const answer = await c.api.post(path('endpoints', id, 'rotate'), {}, c.signal);
      fill(said);
      fill(body, shown(answer.secret, () => el.close()));
    } })));
}

/** Takes a registered endpoint away. */
export function remove(c, id, gone) {
  const said = h('div'), discard = h('input', { type: 'checkbox' });
  const el = dialog(`Remove ${id}`, h('p', null, 'It is told of nothing any more, and its secret is forgotten.'),
    h('label', { class: 'check' }, discard, 'Also when it is still owed something, which is not sent then'), said,
    h('div', { class: 'bar' }, button('Remove', { kind: 'danger', said, run: async () => {
      const r = await c.api.delete(`${path('endpoints', id)}${discard.checked ? '?discard=true' : ''}`, c.signal);
      el.close();
      gone(r.discarded ? `${count(r.discarded, 'delivery', 'deliveries')} discarded.` : '');
    } })));
}

