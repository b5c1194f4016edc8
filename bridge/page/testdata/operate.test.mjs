// What the playground is filled with, and what small lines are made of.
import test from 'node:test';
import assert from 'node:assert/strict';
import { topicFor, payloadsFor, holdOf } from '../assets/playground.js';
import { pointsOf, valuesOf } from '../assets/devices.js';
import { limitsOf } from '../assets/why.js';

const device = { id: 'f/7', labels: { site: 'lyon' }, foremost: 'temperature', values: [{ metric: 'battery', value: 7 }, { metric: 'door', value: 'open' }, { metric: 'temperature', value: -12 }] };
const explanation = (fires, limit) => ({ rule: { id: 'warm' }, reading: { metric: 'temperature' }, levels: [{ severity: 'major', fires, limit }] });

test('an example has a topic that its source reads', () => {
  assert.equal(topicFor({ topic: 'plant/{site}/{device}/{metric}' }, device), 'plant/lyon/f/7/temperature');
  assert.equal(topicFor({ topic: 'a/+/{line}/#' }, null), 'a/x/line/x');
});

test('an example goes from where a rule is quiet to where it fires', () => {
  assert.deepEqual(payloadsFor(device, explanation('above -15 °C for 20s', -15), 'json').split('\n').map(JSON.parse), [{ temperature: -16.5 }, { temperature: -13.5 }, { temperature: -12 }]);
  assert.deepEqual(payloadsFor(device, explanation('below 10%', 10), 'scalar').split('\n'), ['11', '9', '8']);
  assert.deepEqual(JSON.parse(payloadsFor(device, null, 'json')), { battery: 7, temperature: -12 });
  assert.equal(payloadsFor(null, null, 'json'), '{"temperature":-12}');
});

test('an example waits as long as its rule does', () => {
  assert.equal(holdOf(explanation('above -15 °C for 1m20s', -15)), '1m20s');
  assert.equal(holdOf(explanation('silent for 30m: at 02:00', undefined)), '');
  assert.equal(holdOf(null), '');
});

test('a line has a point for each part that has a reading', () => {
  const points = pointsOf({ last: [1, null, 3] }, Date.UTC(2026, 0, 1), 60_000);
  assert.deepEqual(points, [['2026-01-01T00:01:00.000Z', 1], ['2026-01-01T00:03:00.000Z', 3]]);
});

test('what alarms is seen first', () => {
  assert.deepEqual(valuesOf(device).map((v) => v.metric), ['temperature', 'battery', 'door']);
});

test('a chart has the limits of the rules of its metric, each once', () => {
  const list = [explanation('above -15', -15), explanation('above -15', -15), explanation('outside', [2, 8]), { ...explanation('above 80', 80), reading: { metric: 'humidity' } }];
  assert.deepEqual(limitsOf(list, 'temperature').map((l) => l.value), [-15, 2, 8]);
  assert.deepEqual(limitsOf([{ levels: [] }], 'temperature'), []);
});
