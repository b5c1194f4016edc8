// What happens while somebody looks.
import assert from 'node:assert/strict';
import { reading, stage, step, tab, until } from './stage.mjs';

let url, page;
const on = () => page;
const tail = () => page.getByRole('list', { name: /What happens/ }).getByRole('listitem');

step('what comes is shown as it comes', async () => {
  ({ url } = await stage('start'));
  page = await tab(url, { at: '#/tail' });
  await page.getByText('Waiting for something to happen').waitFor();
  await page.locator('.live').getByText('Live', { exact: true }).waitFor();
  await reading('freezer-1', { temperature: -20 });
  await reading('freezer-1', { temperature: -10.5 });
  await tail().filter({ hasText: 'fired' }).filter({ hasText: 'freezer-1 at -10.5 °C' }).first().waitFor();
  await tail().filter({ hasText: 'good alarm.fired, answered 200' }).filter({ hasText: 'accepted' }).waitFor();
  await tail().filter({ hasText: 'bad alarm.fired, answered 503' }).filter({ hasText: 'retry' }).first().waitFor();
  assert.equal(await tail().filter({ hasText: 'reading' }).count(), 0); // they are asked for
}, on);

step('readings are shown if asked for, and of one device if asked for', async () => {
  await page.getByLabel('Readings').check();
  await until('readings are shown', async () => {
    await reading('freezer-2', { temperature: -20.5 });
    return await tail().filter({ hasText: 'temperature −20.5' }).count() > 0;
  });
  await page.getByLabel('Device, exactly').fill('freezer-3');
  await page.getByLabel('Device, exactly').press('Enter');
  await until('those of the device alone are shown', async () => {
    await reading('freezer-2', { temperature: -19.5 });
    await reading('freezer-3', { temperature: -18.5 });
    return await tail().filter({ hasText: '−18.5' }).count() > 0;
  });
  assert.equal(await tail().filter({ hasText: 'freezer-2' }).count(), 0);
}, on);

step('a pause holds what comes, and loses nothing', async () => {
  await page.getByRole('button', { name: 'Pause' }).click();
  const before = await tail().count();
  await reading('freezer-3', { temperature: -22.25 });
  await page.getByText(/^Paused: [0-9]+ rows? waits?/).waitFor();
  assert.equal(await tail().count(), before);
  await page.getByRole('button', { name: 'Go on' }).click();
  await tail().filter({ hasText: '−22.25' }).first().waitFor();
}, on);

step('what is not used is there, with its reason and its text', async () => {
  await page.getByRole('link', { name: 'Rejected' }).click();
  await page.getByText('All input is used').waitFor();
  await stage('publish', [
    { topic: 'plant/freezer-9/telemetry', payload: '{"temperature": -2' },
    { topic: 'plant/freezer-9/telemetry', payload: '{"temperature": 700}' },
    { topic: 'elsewhere/freezer-9', payload: '{"temperature": 7}' },
  ]);
  const cut = page.locator('details.reject').filter({ hasText: 'source plant' }).filter({ hasText: 'json' });
  await cut.waitFor();
  await cut.locator('summary').click();
  await cut.getByText('{"temperature": -2', { exact: true }).waitFor();
  await cut.getByText('plant/freezer-9/telemetry').waitFor();
  const wrong = page.locator('details.reject').filter({ hasText: 'range' });
  await wrong.locator('summary').click();
  await wrong.getByText('{"temperature": 700}').waitFor();
}, on);

step('a server that stops is missed, and its return is the truth', async () => {
  await page.locator('#nav a').first().click();
  await page.getByRole('link', { name: /freezer-1 at/ }).waitFor();
  page.expected.push(/net::ERR_/, /Failed to load resource/);
  await stage('stop');
  await page.locator('.live').getByText('Not live').waitFor();
  await stage('start');
  await reading('freezer-1', { temperature: -25 }); // over, before the page is back
  await reading('freezer-5', { temperature: -3.5 });
  await page.locator('.live').getByText('Live', { exact: true }).waitFor();
  await page.getByRole('link', { name: /freezer-5 at -3.5 °C/ }).waitFor();
  await page.getByRole('link', { name: /freezer-1 at/ }).waitFor({ state: 'detached' });
  await page.waitForFunction(() => document.title.startsWith('(1) '));
}, on);
