// Where a token is asked for and kept. It is in no cookie: a cookie goes to every
// port of a host, and along with every request, whoever has made it.
import { h, fill } from './dom.js';
import { problem } from './parts.js';
import { problemOf } from './api.js';

const kept = 'tocsin.token';

/** Storage can be forbidden; the page works without, until it is reloaded. */
function storage(kind, act) {
  try { return act(window[kind]); } catch { return null; }
}

/** The token that was kept, or "". */
export const token = () => storage('sessionStorage', (s) => s.getItem(kept)) || storage('localStorage', (s) => s.getItem(kept)) || '';

/** Forgets it. */
export function forget() {
  storage('sessionStorage', (s) => s.removeItem(kept));
  storage('localStorage', (s) => s.removeItem(kept));
}

/**
 * Asks for a token in root until one is good, and returns it.
 * @returns {Promise<string>}
 */
export function login(root, api) {
  return new Promise((done) => {
    const was = Boolean(api.token);
    forget();
    api.token = '';
    const field = h('input', { id: 'token', class: 'field', type: 'password', name: 'password', autocomplete: 'current-password', required: true, spellcheck: 'false', autocapitalize: 'off', maxlength: '500' });
    const stay = h('input', { type: 'checkbox', id: 'stay' });
    const said = h('div', { class: 'said' });
    const form = h('form', { class: 'card login' },
      h('h1', { tabindex: '-1' }, 'Sign in'),
      h('p', { class: 'quiet' }, was ? 'The token is good no more. Sign in with another.' : 'This bridge asks for a token: that of http.token, or one that “tocsin tokens create NAME” has printed.'),
      h('input', { class: 'unseen', type: 'text', name: 'username', autocomplete: 'username', value: 'token', tabindex: '-1', 'aria-hidden': 'true', readonly: true }),
      h('label', { for: 'token' }, 'Token'), field,
      h('label', { class: 'check', for: 'stay' }, stay, 'Stay signed in on this browser'),
      said, h('button', { class: 'button main', type: 'submit' }, 'Sign in'));
    form.addEventListener('submit', async (e) => {
      e.preventDefault();
      fill(said);
      const text = field.value.trim();
      try {
        const answer = await fetch('/api/v1/me', { headers: { Authorization: `Bearer ${text}` }, cache: 'no-store', credentials: 'omit' });
        if (!answer.ok) { fill(said, problem(await problemOf(answer))); field.select(); return; }
      } catch (err) {
        fill(said, h('p', { class: 'problem', role: 'alert' }, 'The server does not answer, or the token has characters that no token has.'));
        return;
      }
      storage(stay.checked ? 'localStorage' : 'sessionStorage', (s) => s.setItem(kept, text));
      done(text);
    });
    fill(root, form);
    field.focus();
  });
}
