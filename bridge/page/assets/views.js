// The views, by what the hash begins with. A view that is not here is not in the
// page; one with nav is in the navigation, in this order.
import alarm from './alarm.js';
import deliveries, { delivery } from './delivery.js';
import device from './device.js';
import devices from './devices.js';
import endpoints, { endpoint } from './endpoints.js';
import now from './now.js';
import playground from './playground.js';
import rejected from './rejected.js';
import rules, { rule } from './rules.js';
import tail from './tail.js';

/**
 * @typedef {object} Context what a view is given
 * @property {import('./api.js').Api} api
 * @property {import('./live.js').Live} live what happens
 * @property {AbortSignal} signal aborted when the view is left: nothing of it may go on after that
 * @property {string | null} id the part of the hash behind the view's name
 * @property {URLSearchParams} query what follows ? in the hash
 * @property {(text: string) => void} say tells who cannot see, politely
 * @property {(title: string) => void} title sets that of the document
 * @property {(keys: Record<string, {does: string, run: () => void}>) => void} keys adds keys of this view
 *
 * @typedef {object} View
 * @property {string} title
 * @property {(root: HTMLElement, c: Context) => any} mount shows the view in root; a view that is asked for anew is mounted anew
 */

/** @type {{name: string, id?: boolean, nav?: string, key?: string, icon?: string, view: View}[]} */
export const views = [
  { name: '', nav: 'Now', key: 'n', icon: 'M8 1.500c-2.500 0-4 1.800-4 4.200V8.500L2.500 11.500h11L12 8.500V5.700c0-2.400-1.500-4.200-4-4.200zM6.500 13.500a1.600 1.600 0 0 0 3 0', view: now },
  { name: 'alarms', id: true, view: alarm },
  { name: 'devices', nav: 'Devices', key: 'd', icon: 'M4 2h8v12H4zM7 11.500h2', view: devices },
  { name: 'devices', id: true, view: device },
  { name: 'rules', nav: 'Rules', key: 'r', icon: 'M3 3.500h10M3 8h7M3 12.500h4', view: rules },
  { name: 'rules', id: true, view: rule },
  { name: 'endpoints', nav: 'Endpoints', key: 'e', icon: 'M2 4h12v8H2zM2 4.500l6 4 6-4', view: endpoints },
  { name: 'endpoints', id: true, view: endpoint },
  { name: 'deliveries', view: deliveries },
  { name: 'deliveries', id: true, view: delivery },
  { name: 'tail', nav: 'Live tail', key: 't', icon: 'M2 8h3l2-5 3 10 2-5h2', view: tail },
  { name: 'rejected', nav: 'Rejected', key: 'x', icon: 'M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zM4 4l8 8', view: rejected },
  { name: 'playground', nav: 'Playground', key: 'p', icon: 'M4 3l9 5-9 5z', view: playground },
];
