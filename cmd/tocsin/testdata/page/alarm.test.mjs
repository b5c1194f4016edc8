// From a quiet page to an alarm that somebody takes care of.
import assert from 'node:assert/strict';
import { api, reading, stage, step, tab, until } from './stage.mjs';

let url, page;
const on = () => page;
const alarm = () => api(url, `alarms/${encodeURIComponent('warm/freezer-1')}`);

step('a page on which nothing burns says what is watched', async () => {
  ({ url } = await stage('start'));
  page = await tab(url);
  await page.getByRole('heading', { level: 1, name: 'Nothing burns' }).waitFor();
  await page.getByText('No device that a rule looks at has been heard of yet').waitFor();
  assert.equal(await page.title(), 'Now · Tocsin');
}, on);

step('an alarm appears by itself', async (t) => {
  await reading('freezer-1', { temperature: -20 });
  await page.locator('.live').getByText('Live', { exact: true }).waitFor();
  const before = performance.now();
  await reading('freezer-1', { temperature: -8.5 });
  await page.getByRole('link', { name: 'freezer-1 at -8.5 °C' }).waitFor();
  t.diagnostic(`the alarm was shown ${Math.round(performance.now() - before)} ms after its reading was published`);
  await page.waitForFunction(() => document.title === '(1) Now · Tocsin');
  await page.getByText('2 of 3 accepted').waitFor();
}, on);

step('an alarm says why, against which limit, and who was told', async () => {
  await page.getByRole('link', { name: /freezer-1 at/ }).click();
  await page.getByRole('heading', { level: 1, name: /freezer-1 at -8.5 °C, limit -15 °C/ }).waitFor();
  const why = page.getByRole('region', { name: 'Why' });
  await why.getByText('plant.toml:13').waitFor(); // where the limit is written
  await why.getByText('holds now').first().waitFor();
  await page.getByText(/above -15 °C/).first().waitFor();
  const chart = page.getByRole('group', { name: /Arrow keys read single values/ });
  await chart.locator('svg line.limit.major').waitFor({ state: 'attached' }); // a line has no height
  await chart.locator('svg path.line').waitFor();
  await chart.focus();
  await chart.press('End');
  await page.locator('.readout').getByText('−8.5 °C').waitFor();
  await page.locator('.readout').getByText('6.5 °C above the limit').waitFor();
  const told = page.getByRole('region', { name: 'Who was told' });
  await told.getByRole('row', { name: /^good / }).getByText('accepted', { exact: true }).waitFor();
  await told.getByRole('row', { name: /^spare / }).getByText('accepted', { exact: true }).waitFor();
  await told.getByRole('row', { name: /^bad / }).getByText('retrying').waitFor();
  await told.getByRole('row', { name: /^bad / }).getByText('503').waitFor();
}, on);

step('a chart follows what comes', async () => {
  await reading('freezer-1', { temperature: -9.25 });
  await page.getByRole('region', { name: 'Why' }).getByText('−9.25 °C').waitFor();
  await page.getByRole('group', { name: /the last −9.25 °C/ }).waitFor();
}, on);

step('somebody acknowledges by name, and takes it back', async () => {
  await page.getByRole('button', { name: 'With a note…' }).click();
  const dialog = page.getByRole('dialog', { name: 'Acknowledge' });
  await dialog.getByLabel('Your name').fill('Ada');
  await dialog.getByLabel('Why, for those who look later').fill('the door was open');
  await dialog.getByRole('button', { name: 'Acknowledge' }).click();
  await page.getByText('Acknowledged: no more reminders are sent.').waitFor();
  await page.getByText('Acknowledged by Ada.').waitFor();
  let a = await alarm();
  assert.equal(a.acked, true);
  assert.equal(a.acked_by, 'Ada');
  await page.getByRole('button', { name: 'Take back the acknowledgement' }).click();
  await page.getByText('Nobody takes care of it now.').waitFor();
  await page.getByRole('button', { name: 'Acknowledge', exact: true }).waitFor();
  a = await alarm();
  assert.ok(!a.acked, 'it is acknowledged still');
}, on);

step('somebody shelves it for an hour, and takes it back', async () => {
  await page.getByRole('button', { name: 'Shelve…' }).click();
  const dialog = page.getByRole('dialog', { name: 'Shelve' });
  assert.equal(await dialog.getByLabel('Your name').inputValue(), 'Ada'); // it is remembered
  await dialog.getByRole('button', { name: '1 hour' }).click();
  await dialog.getByLabel('Why, for those who look later').fill('defrosting');
  await dialog.getByRole('button', { name: 'Shelve' }).click();
  await page.getByText(/^Shelved until/).waitFor();
  await page.getByText(/Shelved by Ada until .*: defrosting/).waitFor();
  let a = await alarm();
  const left = Date.parse(a.shelved.until) - Date.now();
  assert.ok(left > 55 * 60e3 && left < 65 * 60e3, `shelved until ${a.shelved.until}`);
  assert.equal(a.shelved.by, 'Ada');
  await page.getByRole('button', { name: 'Unshelve' }).click();
  await page.getByText('It is told of again.').waitFor();
  a = await alarm();
  assert.ok(!a.shelved, 'it is shelved still');
}, on);

step('an alarm that is over leaves the list, and says so where it is looked at', async () => {
  await reading('freezer-1', { temperature: -21 });
  await page.getByText('inactive', { exact: true }).first().waitFor();
  await page.waitForFunction(() => !document.title.startsWith('('));
  await page.getByRole('link', { name: 'Tocsin, what is burning now' }).click();
  await page.getByRole('heading', { level: 1, name: 'Nothing burns' }).waitFor();
  const want = ['alarm.fired', 'alarm.acked', 'alarm.unacked', 'alarm.shelved', 'alarm.unshelved', 'alarm.resolved'];
  await until('the receiver was told of all of it, in order', async () => {
    const { told } = await stage('received', { receiver: 'good' });
    return told.map((e) => e.Type).join() === want.join();
  });
}, on);
