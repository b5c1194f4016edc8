// The start of the page: who looks, which view, and what is around it.
import { Api } from './api.js';
import { Live } from './live.js';
import { h, fill, startTicking } from './dom.js';
import { problem, loading } from './parts.js';
import { views } from './views.js';
import { login, token, forget } from './login.js';
import { frame } from './frame.js';
import { listen } from './keys.js';

const main = document.getElementById('main');
const polite = document.getElementById('polite');
let leave = null; // aborts the view that is shown
let viewKeys = {};

const api = new Api({ token: token(), denied: () => askIn() });
const live = new Live(api);

/** The view that a hash names. */
function route(hash) {
  const [way, query] = hash.replace(/^#\/?/, '').split('?', 2);
  const slash = way.indexOf('/');
  const name = slash < 0 ? way : way.slice(0, slash);
  let id = null;
  try {
    id = slash < 0 || slash === way.length - 1 ? null : decodeURIComponent(way.slice(slash + 1));
  } catch { /* not an id, then */ }
  const found = views.find((v) => v.name === name && Boolean(v.id) === (id !== null));
  return { found, name, id, query: new URLSearchParams(query ?? '') };
}

async function show() {
  leave?.abort();
  const own = leave = new AbortController();
  viewKeys = {};
  const { found, name, id, query } = route(location.hash);
  around.at(name);
  if (!found) {
    fill(main, h('h1', { tabindex: '-1' }, 'There is no such view'), h('p', null, h('a', { href: '#/' }, 'What is burning now')));
    return;
  }
  const root = h('div', { class: `view view-${found.name || 'now'}` }, loading());
  fill(main, root);
  around.title(found.view.title);
  try {
    await found.view.mount(root, {
      api, live, id, query, signal: own.signal,
      say: (text) => { polite.textContent = text; },
      title: (text) => { if (!own.signal.aborted) around.title(text); },
      keys: (keys) => { Object.assign(viewKeys, keys); },
    });
  } catch (err) {
    if (own.signal.aborted || err.status === 401) return;
    fill(root, h('h1', { tabindex: '-1' }, found.view.title), problem(err), h('p', null, h('button', { type: 'button', class: 'button', on: { click: show } }, 'Try again')));
  }
  if (!own.signal.aborted && moved) root.querySelector('h1')?.focus({ preventScroll: true });
  moved = false;
}

let asking = false; // for a token, or about to begin anew
let moved = false; // from one view to another: the focus goes along
addEventListener('hashchange', () => { moved = true; scrollTo(0, 0); if (api.me.name) show(); });
document.getElementById('skip').addEventListener('click', (e) => { e.preventDefault(); (main.querySelector('h1') ?? main).focus(); });

const around = frame({ api, live, keysOf: () => viewKeys, signOut: () => { forget(); asking = true; location.reload(); } });
listen(() => viewKeys);
startTicking();
live.share();

/** Asks for a token, in the place of the view. */
async function askIn() {
  if (asking) return;
  asking = true;
  leave?.abort();
  live.halt();
  api.me = { name: '', scope: 'read', version: '' };
  around.away();
  api.token = await login(main, api);
  asking = false;
  await begin();
}

async function begin() {
  try {
    api.me = await api.get('me');
  } catch (err) {
    if (err.status !== 401) fill(main, h('h1', null, 'Tocsin does not answer'), problem(err), h('p', null, h('button', { type: 'button', class: 'button', on: { click: begin } }, 'Try again')));
    return;
  }
  around.here();
  // Watched first and asked then, so that nothing falls between the two.
  const begun = live.start();
  const first = await Promise.race([begun, new Promise((go) => setTimeout(go, 1500))]);
  await show();
  if (first !== 'live') begun.then((name) => { if (name === 'live') live.tell('gap'); });
}

begin();
