// How rules stand, and what they would make of a payload.
import assert from 'node:assert/strict';
import { api, past, reading, stage, step, tab } from './stage.mjs';

let url, page;
const on = () => page;

step('a rule says how it stands, how near it came, and that it looks at nothing', async () => {
  ({ url } = await stage('start', { endpoints: 'good' }));
  await reading('freezer-1', { temperature: -20 });
  await reading('freezer-1', { temperature: -10.5 });
  await past('hall-1', 'humidity', [60, 61, 62, 63]);
  page = await tab(url, { at: '#/rules' });
  const row = (rule) => page.getByRole('row', { name: new RegExp(`^${rule} `) });
  await row('warm').getByText('firing').first().waitFor();
  await row('draughty').getByText('pending').waitFor();
  await row('damp').getByText('never fired').waitFor();
  await row('damp').getByText(/61.5%/).first().waitFor(); // how near it came
  await row('forgotten').getByText('matches nothing').waitFor();
  await row('forgotten').getByText('No device that was heard of has what this rule looks at').waitFor();
  await page.getByLabel('State').selectOption('attention');
  await row('forgotten').waitFor();
  await row('warm').waitFor({ state: 'detached' });
  await page.getByLabel('State').selectOption('');
  await row('warm').getByRole('link', { name: 'warm' }).click();
  await page.getByRole('heading', { level: 1, name: 'warm' }).waitFor();
  await page.getByText('plant.toml:10').first().waitFor();
  await page.getByText('1 alarm is under way').waitFor();
  await page.getByRole('link', { name: 'freezer-1' }).first().waitFor();
}, on);

step('a rule is tried with payloads that make it fire', async () => {
  await page.getByRole('link', { name: 'Try it' }).click();
  await page.getByRole('heading', { level: 1, name: 'Playground' }).waitFor();
  await page.getByText(/[12] events? would be told\./).waitFor();
  await page.getByLabel('Payload').fill('{"temperature": -20}\n{"temperature": -12.5}\n{"temperature": -4}\n{"temperature": -20}');
  await page.getByRole('button', { name: 'Run' }).click();
  await page.getByText('3 events would be told.').waitFor();
  const steps = page.locator('.try-step');
  assert.equal(await steps.count(), 4);
  await steps.nth(1).getByText('fired', { exact: true }).waitFor();
  await steps.nth(1).getByText('Told: good').waitFor();
  await steps.nth(1).getByText('plant.toml:13').waitFor();
  await steps.nth(2).getByText('escalated', { exact: true }).waitFor();
  await steps.nth(3).getByText('resolved', { exact: true }).waitFor();
  const { alarms } = await api(url, 'alarms?state=firing');
  assert.deepEqual(alarms.map((a) => a.key), ['warm/freezer-1']); // it was a game
  assert.equal((await api(url, 'devices/freezer-1')).values[0].value, -10.5);
}, on);

step('a payload that cannot be used says why', async () => {
  await page.getByLabel('Payload').fill('{"temperature": ');
  await page.getByRole('button', { name: 'Run' }).click();
  await page.getByText('not used').waitFor();
  await page.getByLabel('Topic').fill('elsewhere/freezer-1');
  await page.getByRole('button', { name: 'Run' }).click();
  await page.getByText('unmatched').waitFor();
}, on);

step('a text of a rule is tried, and a broken one says where, what, and what to do', async () => {
  await page.getByLabel('Topic').fill('plant/freezer-1/telemetry');
  await page.getByLabel('Payload').fill('{"temperature": 3}');
  await page.getByLabel('Judged by').selectOption({ label: 'A text of my own…' });
  const text = page.getByLabel('Rules, as in a rule file');
  page.expected.push(/422 \(Unprocessable Entity\)/);
  await text.fill('[rule.mine]\nmetric = "temperature"\nabov = "2 °C"\n');
  await page.getByRole('button', { name: 'Run' }).click();
  const wrong = page.getByRole('alert');
  await wrong.getByText(/:3:/).waitFor();
  await wrong.getByText(/abov/).first().waitFor();
  await wrong.getByText(/above/).first().waitFor(); // what was meant
  assert.equal(await text.evaluate((el) => el.value.slice(el.selectionStart, el.selectionEnd)), 'abov = "2 °C"');
  await text.fill('[rule.mine]\nmetric = "temperature"\nabove = "2 °C"\n');
  await text.press('Control+Enter');
  await page.getByText('1 event would be told.').waitFor();
}, on);
