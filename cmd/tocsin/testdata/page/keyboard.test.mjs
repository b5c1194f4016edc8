// Without a pointer.
import assert from 'node:assert/strict';
import { api, reading, stage, step, tab, until } from './stage.mjs';

let url, page;
const on = () => page;

/** The text of what has the focus, which has to be marked. */
async function focused() {
  const { text, marked } = await page.evaluate(() => {
    const el = document.activeElement;
    const style = getComputedStyle(el);
    return { text: el.innerText || el.getAttribute('aria-label') || el.tagName, marked: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0 || style.boxShadow !== 'none' };
  });
  assert.ok(marked, `nothing shows that “${text}” has the focus`);
  return text.trim();
}

const has = (pattern) => until(`the focus is on ${pattern}`, async () => pattern.test(await page.evaluate(() => document.activeElement.innerText || document.activeElement.getAttribute('aria-label') || '')));

step('the first key leads to a way past the navigation', async () => {
  ({ url } = await stage('start', { endpoints: 'good' }));
  await reading('freezer-1', { temperature: -20 });
  await reading('freezer-1', { temperature: -10.5 });
  await reading('freezer-2', { temperature: -20 });
  await reading('freezer-2', { temperature: -1.5 });
  page = await tab(url);
  await page.getByRole('link', { name: /freezer-2 at/ }).waitFor();
  await page.keyboard.press('Tab');
  assert.equal(await focused(), 'Skip to the content');
  assert.ok((await page.locator('#skip').boundingBox()).x >= 0, 'it cannot be seen');
  await page.keyboard.press('Enter');
  await has(/2 alarms/);
}, on);

step('keys go from row to row, open one, and acknowledge it', async () => {
  await page.keyboard.press('j');
  assert.match(await focused(), /freezer-2 at -1.5 °C/); // critical, so it is the first
  await page.keyboard.press('j');
  assert.match(await focused(), /freezer-1 at -10.5 °C/);
  await page.keyboard.press('k');
  assert.match(await focused(), /freezer-2/);
  await page.keyboard.press('Enter');
  await page.getByRole('button', { name: 'Acknowledge', exact: true }).waitFor();
  await has(/freezer-2 at -1.5 °C/);
  await page.keyboard.press('a');
  await page.getByText('Acknowledged: no more reminders are sent.').waitFor();
  assert.equal((await api(url, 'alarms/warm%2Ffreezer-2')).acked, true);
}, on);

step('Tab goes through everything, and says where it is', async () => {
  const names = [];
  await page.reload();
  await page.getByRole('button', { name: 'Shelve…' }).waitFor();
  for (let i = 0; i < 60; i++) {
    await page.keyboard.press('Tab');
    if (await page.evaluate(() => document.activeElement === document.body)) break; // around
    names.push(await focused());
  }
  for (const name of ['Skip to the content', 'Shelve…', 'Take back the acknowledgement']) assert.ok(names.includes(name), `${name} cannot be reached: ${names.join(', ')}`);
}, on);

step('a dialog takes the focus, and gives it back', async () => {
  const button = page.getByRole('button', { name: 'Shelve…' });
  await button.focus();
  await page.keyboard.press('Enter');
  await page.getByRole('dialog', { name: 'Shelve' }).waitFor();
  assert.ok(await page.evaluate(() => document.activeElement.closest('dialog') !== null), 'the focus is outside of the dialog');
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  await has(/Shelve…/);
}, on);

step('keys go to views, to the filter, and say what they are', async () => {
  await page.keyboard.press('?');
  await page.getByRole('dialog', { name: 'Keys' }).getByText('Next row').waitFor();
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  await page.keyboard.press('g');
  await page.keyboard.press('d');
  await page.getByRole('heading', { level: 1, name: 'Devices' }).waitFor();
  await page.getByRole('row', { name: /freezer-1/ }).waitFor();
  await has(/Devices/);
  await page.keyboard.press('/');
  await page.keyboard.type('freezer-1');
  await page.getByText('1 device', { exact: true }).first().waitFor();
}, on);
