// What is around a view: navigation, the state of the stream, how many alarms burn,
// light or dark, and who looks.
import { h, fill } from './dom.js';
import { rank } from './format.js';
import { help } from './keys.js';
import { views } from './views.js';

const line = (d) => h('svg', { class: 'icon', viewBox: '0 0 16 16', 'aria-hidden': 'true' }, h('path', { d }));
const states = {
  connecting: ['late', 'Connecting'], live: ['good', 'Live'], lost: ['bad', 'Not live'], paused: ['plain', 'Paused'],
};

/** Builds the frame, and returns how to keep it right. */
export function frame({ api, live, signOut, keysOf }) {
  const nav = document.getElementById('nav'), tools = document.getElementById('tools'), icon = document.getElementById('icon');
  const plainIcon = icon.getAttribute('href');
  let title = 'Tocsin', burning = 0, worst = '';

  const links = views.filter((v) => v.nav).map((v) => {
    const badge = h('span', { class: 'badge', hidden: true });
    return { name: v.name, badge, el: h('a', { href: `#/${v.name}`, class: 'nav-link' }, line(v.icon ?? 'M3 3h10v10H3z'), h('span', { class: 'nav-text' }, v.nav), badge) };
  });
  // A narrow screen has room for four of them and a button for the others.
  const more = h('button', { type: 'button', class: 'nav-link nav-more', 'aria-expanded': 'false' }, line('M3 4h10M3 8h10M3 12h10'), h('span', { class: 'nav-text' }, 'More'));
  const open = (yes) => { more.setAttribute('aria-expanded', String(yes)); document.getElementById('side').classList.toggle('open', yes); };
  more.addEventListener('click', () => open(more.getAttribute('aria-expanded') !== 'true'));
  addEventListener('keydown', (e) => { if (e.key === 'Escape') open(false); });
  fill(nav, h('ul', null, links.map((l, i) => h('li', { class: i < 4 ? null : 'later' }, l.el)), h('li', { class: 'more-item' }, more)));

  const state = h('span', { class: 'live', role: 'status' });
  const who = h('span', { class: 'who quiet' });
  const leave = h('button', { type: 'button', class: 'button quiet small', hidden: true, on: { click: signOut } }, 'Sign out');
  const keys = h('button', { type: 'button', class: 'button quiet small', title: 'Which keys there are (?)', on: { click: () => help(keysOf()) } }, 'Keys', h('kbd', { 'aria-hidden': 'true' }, '?'));
  fill(tools, state, h('div', { class: 'tool-row' }, themes(), keys), h('div', { class: 'tool-row' }, who, leave));

  const showState = () => {
    const [tone, word] = states[live.state];
    fill(state, h('span', { class: `dot ${tone}` }), word);
    state.title = live.why || (live.state === 'live' ? 'What is shown follows what happens' : '');
  };
  live.on('state', showState);
  showState();

  const showTitle = () => { document.title = (burning ? `(${burning}) ` : '') + (title === 'Tocsin' ? title : `${title} · Tocsin`); };
  const mark = (n, name) => {
    burning = n;
    worst = name;
    const l = links.find((x) => x.name === '');
    if (l) {
      l.badge.hidden = n === 0;
      l.badge.className = `badge ${name}`;
      l.badge.textContent = n > 999 ? '999+' : String(n);
      l.badge.title = n === 1 ? '1 alarm is not over' : `${n} alarms are not over`;
    }
    icon.href = n === 0 ? plainIcon : badged(name);
    showTitle();
  };

  // Alarms by key, as the stream tells of them; counted anew after a gap.
  const alarms = new Map();
  const sum = () => {
    let top = '';
    for (const s of alarms.values()) if (rank(s) > rank(top)) top = s;
    if (alarms.size !== burning || top !== worst) mark(alarms.size, top);
  };
  const recount = async () => {
    if (!api.me.name) return;
    try {
      const list = await api.all('alarms', 'alarms');
      alarms.clear();
      for (const a of list) if (a.state === 'firing' || a.state === 'recovering') alarms.set(a.key, a.severity);
      sum();
    } catch { /* the view says so */ }
  };
  live.on('event', (ev) => {
    if (!ev.alarm?.key) return;
    if (ev.alarm.state === 'firing' || ev.alarm.state === 'recovering') alarms.set(ev.alarm.key, ev.alarm.severity);
    else alarms.delete(ev.alarm.key);
    sum();
  });
  live.on('gap', recount);

  return {
    at(name) {
      open(false);
      const under = { alarms: '', deliveries: 'endpoints' }[name] ?? name;
      for (const l of links) {
        if (l.name === under) l.el.setAttribute('aria-current', 'page');
        else l.el.removeAttribute('aria-current');
      }
    },
    title(text) { title = text; showTitle(); },
    here() {
      document.body.classList.remove('away');
      fill(who, h('bdi', null, api.me.name), ` · ${api.me.scope}`, api.me.version ? h('span', { class: 'version' }, api.me.version) : null);
      leave.hidden = !api.token;
      recount();
    },
    away() { document.body.classList.add('away'); alarms.clear(); sum(); },
  };
}

/** The icon with a mark in the colour of a severity. */
function badged(severity) {
  const colour = { critical: '#e5484d', major: '#f76b15', warning: '#e2a610', info: '#3e8fdd' }[severity] ?? '#e5484d';
  const space = 'http:' + '//www.w3.org/2000/svg';
  return 'data:image/svg+xml,' + encodeURIComponent(`<svg xmlns="${space}" viewBox="0 0 32 32"><rect width="32" height="32" rx="8" fill="#1d2433"/><path d="M16 6.200c-4 0-6.400 3-6.400 7v4.300l-2 3.300c-.35.6.05 1.400.75 1.400h15.300c.7 0 1.100-.8.75-1.400l-2-3.300v-4.300c0-4-2.400-7-6.400-7z" fill="#ff9d3c"/><circle cx="24" cy="9" r="8" fill="${colour}" stroke="#fff" stroke-width="2"/></svg>`);
}

/** The switch between the system's choice, light and dark. */
function themes() {
  const root = document.documentElement;
  const now = () => root.dataset.theme ?? 'auto';
  const el = h('select', { class: 'field small', 'aria-label': 'Theme' }, ['auto', 'light', 'dark'].map((t) => h('option', { value: t }, t[0].toUpperCase() + t.slice(1))));
  el.value = now();
  el.addEventListener('change', () => {
    if (el.value === 'auto') delete root.dataset.theme;
    else root.dataset.theme = el.value;
    try { localStorage.setItem('tocsin.theme', el.value); } catch { /* for this page only, then */ }
  });
  return el;
}
