import test from 'node:test';
import assert from 'node:assert/strict';
import * as f from '../assets/format.js';
import * as s from '../assets/scale.js';
import { backoff, reader } from '../assets/stream.js';
import { path, queryOf } from '../assets/api.js';
import { harmless } from '../assets/dom.js';

const table = (fn, rows) => rows.forEach(([args, want]) => assert.deepEqual(fn(...[args].flat()), want, JSON.stringify(args)));

test('what would reorder or hide its neighbours is written out', () => {
  table(f.visible, [
    ['freezer', 'freezer'], ['Kühlhaus 冷凍 ❄️', 'Kühlhaus 冷凍 ❄️'], ['a\nb\tc', 'a\nb\tc'],
    ['abc\u202Etxt.exe', 'abc⟨U+202E⟩txt.exe'], ['\u0000\u001b[31m', '⟨U+0000⟩⟨U+001B⟩[31m'], ['x\u200by', 'x⟨U+200B⟩y'],
    ['\u2066a\u2069', '⟨U+2066⟩a⟨U+2069⟩'], ['\u{e0041}', '⟨U+E0041⟩'], ['\ud800', '⟨U+D800⟩'], ['👩‍🚒', '👩‍🚒'], ['<img onerror>', '<img onerror>'],
  ]);
});

test('a text is cut at a whole character', () => {
  assert.equal(f.clip('abc', 3), 'abc');
  assert.equal(f.clip('abcd', 3), 'abc…');
  assert.equal(f.clip('ab🔥🔥', 3), 'ab…');
});

test('lengths of time have two units at most', () => {
  table(f.span, [[-5, '0 ms'], [999, '999 ms'], [1000, '1 s'], [59_999, '59 s'], [60_000, '1 min'], [3_600_000, '1 h'], [7_500_000, '2 h 5 min'], [86_400_000, '1 d'], [360_000_000, '4 d 4 h']]);
  table(f.relative, [[[0, 1000], 'just now'], [[0, 240_000], '4 min ago'], [[7_200_000, 0], 'in 2 h'], [[1000, 0], 'just now']]);
});

test('lengths of time are read as Go writes them', () => {
  table(f.duration, [['1m30.5s', 90_500], ['812µs', 0.812], ['1h0m0s', 3_600_000], ['-2s', -2000], ['0', 0], ['0s', 0], ['', null], ['soon', null], ['5', null]]);
  table(f.took, [['812µs', '812 µs'], ['1.5ms', '1.5 ms'], ['24.4ms', '24 ms'], ['1.25s', '1.3 s'], ['1m30s', '1 min'], ['soon', 'soon']]);
});

test('no time is none', () => table(f.when, [['', null], ['0001-01-01T00:00:00Z', null], ['x', null], ['1970-01-01T00:00:01Z', 1000], [undefined, null]]));

test('values are short and keep what they are', () => {
  table(f.value, [[-14.9, '−14.9'], [1234.5678, '1234.6'], [12345678, '12,346,000'], [0, '0'], [1.5e-7, '1.50e-7'], [true, 'true'], ['open', 'open'], [null, 'no value'], [NaN, 'NaN']]);
  assert.equal(f.measured(4, '°C'), '4 °C');
  assert.equal(f.measured(null, '°C'), 'no value');
  assert.equal(f.count(1, 'device'), '1 device');
  assert.equal(f.count(12000, 'device'), '12,000 devices');
});

test('a key is a rule and a device that may have slashes', () => {
  assert.deepEqual(f.splitKey('warm/a/b'), { rule: 'warm', device: 'a/b' });
  assert.equal(f.link('devices', 'a/b?#'), '#/devices/a%2Fb%3F%23');
  assert.equal(f.link('tail', undefined, { device: 'x y', rule: '' }), '#/tail?device=x+y');
  assert.equal(path('alarms', 'warm/f 1', 'ack'), 'alarms/warm%2Ff%201/ack');
  assert.equal(queryOf({ a: 1, b: '', c: ['x', 'y'], d: null, e: false, f: true }), '?a=1&c=x&c=y&f=true');
});

test('only addresses that open a page are links', () => {
  for (const good of ['#/devices', '/openapi.yaml', 'https:' + '//wiki.example/runbook']) assert.equal(harmless(good), good);
  for (const bad of ['javascript' + ':alert(1)', 'data:text/html,x', '//evil.example', 'vbscript:x', ' javascript' + ':x', 'x']) assert.equal(harmless(bad), '#/', bad);
});

test('the stream is read wherever it is cut', () => {
  const text = 'retry: 2000\n\n:\n\nid: a-1\nevent: event\ndata: {"x":1}\n\nevent: reading\r\ndata: 1\r\ndata: 2\r\n\r\nid: a-2\rdata:z\r\revent: none\n\ndata';
  const whole = [];
  reader((m) => whole.push(m))(text);
  assert.deepEqual(whole, [{ type: 'event', data: '{"x":1}', id: 'a-1' }, { type: 'reading', data: '1\n2', id: 'a-1' }, { type: 'message', data: 'z', id: 'a-2' }]);
  for (let cut = 1; cut < 9; cut++) {
    const got = [], waits = [];
    const read = reader((m) => got.push(m), (ms) => waits.push(ms));
    for (let i = 0; i < text.length; i += cut) read(text.slice(i, i + cut));
    assert.deepEqual(got, whole, `in pieces of ${cut}`);
    assert.deepEqual(waits, [2000]);
  }
});

test('reconnecting waits longer each time, and never for ever', () => {
  assert.equal(backoff(0, 1000, () => 0), 500);
  assert.equal(backoff(0, 1000, () => 1), 1000);
  assert.equal(backoff(3, 1000, () => 1), 8000);
  assert.equal(backoff(99, 2000, () => 1), 30_000);
});

test('scales', () => {
  assert.equal(s.linear(0, 10, 0, 100)(5), 50);
  assert.equal(s.linear(3, 3, 0, 100)(3), 50);
  assert.deepEqual(s.extent([3, NaN, -1, Infinity]), [-1, 3]);
  assert.equal(s.extent([]), null);
  assert.deepEqual(s.padded([5, 5], 0.1), [4.5, 5.5]);
  assert.deepEqual(s.padded([0, 0]), [-1, 1]);
  assert.deepEqual(s.ticks(-20, -10, 4), [-20, -17.5, -15, -12.5, -10]);
  assert.deepEqual(s.ticks(0, 0.3, 3), [0, 0.1, 0.2, 0.3]);
  assert.deepEqual(s.ticks(5, 5, 4), [5]);
  assert.equal(s.ticks(-1e300, 1e300, 5).length < 12, true);
});

test('times are marked at round moments of the local clock', () => {
  const at = (text) => Date.parse(text);
  assert.deepEqual(s.timeTicks(at('2026-11-06T10:02:00Z'), at('2026-11-06T10:21:00Z'), 4), ['10:05', '10:10', '10:15', '10:20'].map((t) => at(`2026-11-06T${t}:00Z`)));
  assert.deepEqual(s.timeTicks(at('2026-11-05T22:00:00Z'), at('2026-11-08T01:00:00Z'), 3), ['05', '06', '07'].map((d) => at(`2026-11-${d}T23:00:00Z`)));
});

test('points that are no numbers are left out of the line', () => {
  const points = [['2026-01-01T00:00:02Z', 2], ['2026-01-01T00:00:01Z', true], ['x', 1], ['2026-01-01T00:00:03Z', 'open'], ['2026-01-01T00:00:04Z', null]];
  const list = s.numbers(points);
  assert.deepEqual(list.map((p) => p[1]), [1, 2]);
  assert.equal(s.nearest(list, Date.parse('2026-01-01T00:00:09Z')), 1);
  assert.equal(s.nearest([], 0), -1);
  assert.equal(s.route([[0, 1], [10, 2]], (v) => v, (v) => v), 'M0.0 1.0L10.0 2.0');
  assert.equal(s.route([[0, 1], [10, 2]], (v) => v, (v) => v, true), 'M0.0 1.0H10.0V2.0');
});

test('a line is broken where nothing was heard', () => {
  const points = Array.from({ length: 12 }, (_, i) => [i * 1000 + (i > 5 ? 60_000 : 0), 1]);
  const same = (v) => v;
  assert.equal(s.gap(points), 10_000);
  assert.equal(s.route(points, same, same).split('M').length, 3);
  assert.equal(s.route(points.slice(0, 9), same, same).split('M').length, 2);
});
