// The keyboard: what is on the screen can be reached without a pointer.
import { h } from './dom.js';
import { dialog } from './parts.js';
import { views } from './views.js';

const rows = () => [...document.querySelectorAll('#main [data-row]')].filter((el) => el.offsetParent !== null);

/** Moves the focus among the rows of a view. */
function move(by) {
  const all = rows();
  if (all.length === 0) return;
  const i = all.findIndex((el) => el === document.activeElement || el.contains(document.activeElement));
  const next = all[i < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, i + by))];
  const target = next.matches('a, button, [tabindex]') ? next : next.querySelector('a, button, [tabindex]');
  target?.focus();
  next.scrollIntoView({ block: 'nearest' });
}

const common = {
  '/': { does: 'Filter what is shown', run: () => document.querySelector('#main [data-filter]')?.focus() },
  j: { does: 'Next row', run: () => move(1) },
  k: { does: 'Row before', run: () => move(-1) },
  Enter: { does: 'Open the row', run: null },
};

/** Shows which keys there are. */
export function help(ofView) {
  const list = (title, keys) => keys.length > 0 && h('section', null, h('h3', null, title), h('dl', { class: 'keys' }, keys.map(([k, does]) => h('div', null, h('dt', null, h('kbd', null, k)), h('dd', null, does)))));
  dialog('Keys',
    list('This view', Object.entries(ofView).map(([k, v]) => [k, v.does])),
    list('Everywhere', [...Object.entries(common).map(([k, v]) => [k, v.does]), ['?', 'These keys'], ['Esc', 'Leave a field, close a dialog']]),
    list('Go to', views.filter((v) => v.nav && v.key).map((v) => [`g ${v.key}`, v.nav])));
}

/** Listens to keys. ofView returns those of the view that is shown. */
export function listen(ofView) {
  let going = 0; // when g was pressed
  addEventListener('keydown', (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey || e.isComposing) return;
    const typing = e.target.closest?.('input:not([type=checkbox]), select, textarea, [contenteditable]');
    if (typing) {
      if (e.key === 'Escape') typing.blur();
      return;
    }
    if (document.querySelector('dialog[open]')) return;
    const go = Date.now() - going < 1500 && views.find((v) => v.nav && v.key === e.key);
    going = 0;
    if (go) {
      location.hash = `#/${go.name}`;
    } else if (e.key === 'g') {
      going = Date.now();
    } else if (e.key === '?') {
      help(ofView());
    } else {
      const act = (ofView()[e.key] ?? common[e.key])?.run;
      if (!act) return;
      act();
    }
    e.preventDefault();
  });
}
