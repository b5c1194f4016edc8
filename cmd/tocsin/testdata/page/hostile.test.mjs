// Whatever devices, files and receivers say, a page only shows it.
import assert from 'node:assert/strict';
import { api, fits, go, picture, stage, step, tab, until } from './stage.mjs';

const image = '<img src=x onerror=alert(1)>';
const script = '</script><script>alert(2)</script>';
const turned = 'pay\u202Egnp.exe';
const long = 'W'.repeat(10_000);
const devices = [`freezer-${image}`, `freezer-${turned}`, `freezer-${'m'.repeat(100)}`, 'freezer-"><svg onload=alert(3)>', 'freezer-javascript:alert(4)'];
// A text of TOML may not hold what turns others around unless it is written out.
const toml = (text) => JSON.stringify(text).replaceAll('\u202e', '\\u202E');
const rules = `schema = 1
[device.${toml(devices[0])}]
type = "freezer"
labels = { site = ${toml(image)}, note = ${toml(script + turned)} }
[rule.hostile]
devices = "freezer-*"
metric = "pressure"
above = 1
title = ${toml(`${image}${script} ${turned} {device} ${'wide'.repeat(60)}`)}
runbook = "https://wiki.example.com/x?<img>"
`;

let url, page;
const on = () => page;

/** Everything that a page must not have become. */
async function unharmed(name) {
  assert.equal(await page.locator('img[src="x"], main script, [onerror], [onload]').count(), 0, 'a text has become markup');
  assert.ok(!(await page.locator('body').innerText()).includes('\u202e'), 'a text turns its neighbours around');
  await fits(page);
  await picture(page, `hostile-${name}`);
}

const views = {};

step('hostile names, titles, labels, payloads and answers arrive', async () => {
  ({ url } = await stage('start', { endpoints: 'good rude', rules }));
  const messages = devices.flatMap((d) => [{ topic: `plant/${d}/telemetry`, payload: JSON.stringify({ temperature: -20, pressure: 0 }) }, { topic: `plant/${d}/telemetry`, payload: JSON.stringify({ temperature: -10, pressure: 2 }) }]);
  await stage('publish', [...messages,
    { topic: `plant/${devices[0]}/telemetry`, payload: `{"${image}": 1, "${image.repeat(20)}": 2}` },
    { topic: `plant/freezer-1/telemetry`, payload: `{"temperature": "${image}${script}${turned}${long}"}` },
    { topic: `plant/freezer-1/telemetry`, payload: `${image}${script}${turned}${long}` },
    { topic: `elsewhere/${image}`, payload: script },
  ]);
  page = await tab(url, { viewport: { width: 360, height: 780 }, at: '#/tail' });
  await page.locator('.live').getByText('Live', { exact: true }).waitFor();
  const d = await until('somebody was told', async () => (await api(url, 'deliveries?limit=50')).deliveries.find((d) => d.endpoint === 'rude' && d.tries > 0));
  Object.assign(views, {
    now: '#/', alarm: `#/alarms/${encodeURIComponent(`hostile/${devices[0]}`)}`, devices: '#/devices', device: `#/devices/${encodeURIComponent(devices[0])}`, turned: `#/devices/${encodeURIComponent(devices[1])}`,
    rules: '#/rules', rule: '#/rules/hostile', playground: `#/playground?${new URLSearchParams({ rule: 'hostile', device: devices[0] })}`, endpoints: '#/endpoints', endpoint: '#/endpoints/rude', deliveries: '#/deliveries', delivery: `#/deliveries/${encodeURIComponent(d.id)}`, rejected: '#/rejected',
  });
}, on);

for (const name of ['now', 'alarm', 'devices', 'device', 'turned', 'rules', 'rule', 'playground', 'endpoints', 'endpoint', 'deliveries', 'delivery', 'rejected']) {
  step(`they are harmless on a narrow screen: ${name}`, async () => {
    if (name === 'turned') page.expected.push(/404 \(Not Found\)/); // no device can have such a name
    await go(page, views[name]);
    await page.locator('main details').evaluateAll((all) => { for (const d of all) d.open = true; });
    await unharmed(name);
  }, on);
}

step('they are harmless while they come', async () => {
  await go(page, '#/tail');
  await page.getByLabel('Readings').check();
  await until('all kinds are shown', async () => {
    await stage('publish', [{ topic: `plant/${devices[0]}/telemetry`, payload: JSON.stringify({ temperature: -10, pressure: Math.random() * 2, [image]: script }) }]);
    const text = await page.locator('.tail').innerText();
    return /reading/.test(text) && /fired|resolved/.test(text);
  });
  await unharmed('tail');
}, on);

step('an address that names nothing is harmless, too', async () => {
  for (const hash of [`#/${encodeURIComponent(image)}`, `#/alarms/${encodeURIComponent(script)}`, '#/devices/%E0%A4%A', `#/devices/${'x'.repeat(3000)}`]) {
    page.expected.push(/404 \(Not Found\)/, /400|422|414/);
    await go(page, hash);
    await unharmed('nothing');
  }
}, on);
