import test from 'node:test';
import assert from 'node:assert/strict';
import { burns, limitLines, order, outcome, standings, story, Told } from '../assets/alarms.js';

test('the worst alarm is first, then what nobody cares for, then the longest', () => {
  const a = (key, severity, started_at, more) => ({ key, severity, started_at, state: 'firing', ...more });
  const list = [a('new', 'critical', '2026-01-02'), a('seen', 'critical', '2026-01-01', { acked: true }), a('old', 'critical', '2026-01-01'), a('mild', 'info', '2025-01-01'), a('late', 'major', '2026-01-01', { shelved: {} }), a('b', 'info', '2025-01-01')];
  assert.deepEqual(list.sort(order).map((x) => x.key), ['old', 'new', 'seen', 'late', 'b', 'mild']);
  assert.deepEqual(['pending', 'firing', 'recovering', 'inactive'].map((state) => burns({ state })), [false, true, true, false]);
});

const alarm = { key: 'warm/f1', told: ['ops', 'pager'] };
const d = (endpoint, state, type = 'alarm.fired', more = {}) => ({ alarm: 'warm/f1', endpoint, state, type, tries: 1, ...more });

test('who was told is counted by who accepted', () => {
  const told = new Told();
  const of = (list, a = alarm) => { told.fill(list); const { text, tone } = told.of(a); return `${text} (${tone})`; };
  assert.equal(of([]), 'told 2 (plain)');
  assert.equal(of([d('ops', 'delivered'), d('pager', 'delivered')]), '2 of 2 accepted (good)');
  assert.equal(of([d('ops', 'delivered'), d('pager', 'waiting')]), '1 of 2 accepted (late)');
  assert.equal(of([d('ops', 'delivered'), d('pager', 'waiting', 'alarm.fired', { tries: 0 })]), '1 of 2 accepted (plain)');
  assert.equal(of([d('ops', 'dead'), d('pager', 'waiting')]), '0 of 2 accepted (bad)');
  assert.equal(of([], { key: 'x/y' }), 'nobody told (late)');
  assert.equal(of([], { key: 'x/y', muted: 'maintenance' }), 'nobody told (plain)');
});

test('an endpoint that is stuck at the start has not heard, whatever waits behind', () => {
  const told = new Told();
  told.fill([d('ops', 'waiting', 'alarm.acked', { tries: 0 }), d('ops', 'waiting', 'alarm.fired', { tries: 3, error: 'refused' })]);
  assert.deepEqual(told.of({ key: 'warm/f1', told: ['ops'] }), { text: '0 of 1 accepted', tone: 'bad', detail: 'ops: attempt 3 failed: refused' });
  told.add(d('ops', 'delivered', 'alarm.fired'));
  assert.equal(told.of({ key: 'warm/f1', told: ['ops'] }).tone, 'good');
});

test('an endpoint stands at the oldest that it has not accepted', () => {
  const list = [d('ops', 'waiting', 'alarm.unacked', { tries: 0 }), d('pager', 'delivered', 'alarm.unacked'), d('ops', 'waiting', 'alarm.acked', { tries: 2 }), d('pager', 'dead', 'alarm.acked'), d('ops', 'delivered')];
  assert.deepEqual(standings(list, ['crm', 'ops']).map((s) => [s.endpoint, s.delivery?.type, s.delivery?.state, s.behind]), [
    ['crm', undefined, undefined, 0], ['ops', 'alarm.acked', 'waiting', 1], ['pager', 'alarm.unacked', 'delivered', 0]]);
});

test('who has accepted the start has heard of the alarm, whatever follows', () => {
  const told = new Told();
  told.fill([d('ops', 'waiting', 'alarm.acked', { error: 'answered 500' }), d('ops', 'delivered')]);
  assert.equal(told.of({ key: 'warm/f1', told: ['ops'] }).text, '1 of 1 accepted');
  assert.match(told.of({ key: 'warm/f1', told: ['ops'] }).detail, /accepted; of what followed, attempt 1 failed: answered 500/);
});

test('who was not told the start and then that it is worse has heard of it', () => {
  const told = new Told();
  told.fill([d('ops', 'delivered', 'alarm.escalated'), d('ops', 'dead', 'alarm.fired')]);
  assert.deepEqual(told.of({ key: 'warm/f1', told: ['ops'] }), { text: '1 of 1 accepted', tone: 'good', detail: 'ops: accepted' });
  told.add(d('ops', 'waiting', 'alarm.reminder'));
  assert.equal(told.of({ key: 'warm/f1', told: ['ops'] }).tone, 'good');
});

test('what was told of the episode before says nothing of this one', () => {
  const told = new Told();
  told.fill([d('ops', 'waiting', 'alarm.fired', { tries: 0 }), d('ops', 'delivered', 'alarm.resolved'), d('ops', 'delivered'), d('crm', 'delivered', 'alarm.resolved')]);
  assert.equal(told.of({ key: 'warm/f1', told: ['ops'] }).text, '0 of 1 accepted');
  told.add(d('ops', 'delivered'));
  assert.equal(told.of({ key: 'warm/f1', told: ['ops'] }).text, '1 of 1 accepted');
  told.add(d('ops', 'delivered', 'alarm.resolved'));
  assert.equal(told.of({ key: 'warm/f1', told: ['ops'] }).text, 'told 1');
  told.add({ endpoint: 'ops', state: 'delivered', type: 'device.lost' });
});

test('outcomes are in words', () => {
  assert.equal(outcome({ state: 'waiting', tries: 0 }), 'waiting');
  assert.equal(outcome({ state: 'dead', tries: 9, error: 'answered 404' }), 'given up: answered 404');
});

test('limits of a chart are those that are numbers', () => {
  const unit = (v) => `${v} °C`;
  assert.deepEqual(limitLines([{ severity: 'warning', limit: -15, clear: -17 }, { severity: 'critical', limit: -8, clear: -10 }], unit), [
    { value: -15, kind: 'limit', severity: 'warning', text: 'warning -15 °C' }, { value: -8, kind: 'limit', severity: 'critical', text: 'critical -8 °C' }, { value: -17, kind: 'clear', text: 'clears -17 °C' }]);
  assert.deepEqual(limitLines([{ severity: 'info', limit: [1, 2], clear: 'x' }], String).map((l) => l.value), [1, 2]);
  assert.deepEqual(limitLines([{ severity: 'info', limit: 'open' }], String), []);
  assert.deepEqual(limitLines(undefined, String), []);
});

test('a story is told by its events, the newest first', () => {
  const list = [['e2', 'ops', '12:01'], ['e1', 'pager', '12:00'], ['e1', 'ops', '12:00']].map(([event, endpoint, at]) => ({ event, endpoint, at, type: 'x' }));
  assert.deepEqual(story(list).map((ev) => [ev.id, ev.deliveries.map((x) => x.endpoint)]), [['e2', ['ops']], ['e1', ['ops', 'pager']]]);
  assert.deepEqual(story([]), []);
});
