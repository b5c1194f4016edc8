// Ten thousand devices.
import assert from 'node:assert/strict';
import { api, declared, past, reading, stage, step, tab, until } from './stage.mjs';

const devices = 10_000;
let url, page;
const on = () => page;
const rows = () => page.locator('#main [role=row]');

step('all devices are one list, of which the document holds what can be seen', async () => {
  ({ url } = await stage('start', { endpoints: 'good', rules: declared }));
  await stage('fleet', { devices });
  page = await tab(url, { at: '#/devices?q=sensor&order=name' });
  await page.getByText('10,000 devices').first().waitFor();
  await page.getByRole('row', { name: /sensor-00000/ }).getByText('0.5 °C').waitFor();
  assert.equal(await page.getByRole('table', { name: 'Devices' }).getAttribute('aria-rowcount'), String(devices + 1));
  assert.ok(await rows().count() < 100, `${await rows().count()} rows are in the document`);
}, on);

step('the list scrolls to its end, and stays as small', async (t) => {
  const slowest = await page.evaluate(async () => {
    let slowest = 0, most = 0, last = performance.now();
    const end = document.documentElement.scrollHeight - innerHeight;
    for (let i = 1; i <= 60; i++) {
      scrollTo(0, end * i / 60);
      await new Promise(requestAnimationFrame);
      slowest = Math.max(slowest, performance.now() - last);
      last = performance.now();
      most = Math.max(most, document.querySelectorAll('#main [role=row]').length);
    }
    return { slowest: Math.round(slowest), most };
  });
  t.diagnostic(`scrolling through all of it: the slowest frame took ${slowest.slowest} ms, and ${slowest.most} rows were in the document at most`);
  assert.ok(slowest.most < 100, `${slowest.most} rows were in the document`);
  await page.getByRole('row', { name: /sensor-09999/ }).getByText('9.5 °C').waitFor();
  assert.ok(await rows().count() < 100);
}, on);

step('a part of a name finds one of them', async () => {
  await page.getByLabel('A part of a name').fill('r-0042');
  await page.getByText('10 devices', { exact: true }).first().waitFor();
  await page.getByRole('row', { name: /sensor-00427/ }).waitFor();
  await page.getByLabel('A part of a name').fill('sensor-04242');
  await page.getByText('1 device', { exact: true }).first().waitFor();
  assert.equal(new URLSearchParams(page.url().split('?')[1]).get('q'), 'sensor-04242'); // can be handed on
  await page.getByLabel('A part of a name').fill('no such');
  await page.getByText('No such device').waitFor();
}, on);

step('a device shows its values, its presence, its chart, and what looks at it', async () => {
  await past('freezer-7', 'temperature', [-21, -20, -18, -16, -12]);
  await until('its readings are kept', async () => (await api(url, 'devices/freezer-7')).samples.temperature?.length >= 5);
  await page.getByLabel('A part of a name').fill('freezer-7');
  const row = page.getByRole('row', { name: /freezer-7/ });
  await row.getByText('−12 °C').waitFor();
  await row.getByRole('img', { name: /temperature in the last hour, now −12 °C/ }).waitFor();
  await row.getByRole('link', { name: 'freezer-7' }).click();
  await page.getByRole('heading', { level: 1, name: 'freezer-7' }).waitFor();
  await page.locator('.reading').getByText('−12 °C').waitFor();
  await page.getByRole('group', { name: /temperature of freezer-7/ }).locator('svg line.limit').first().waitFor({ state: 'attached' });
  await page.getByText('plant.toml:13').waitFor();
  await page.locator('.chip').getByText((await api(url, 'devices/freezer-7')).presence, { exact: true }).waitFor();
  await page.getByText('cold-1').waitFor();
  await reading('freezer-7', { temperature: -11.5 });
  await page.locator('.reading').getByText('−11.5 °C').waitFor();
}, on);
