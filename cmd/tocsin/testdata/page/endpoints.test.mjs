// An endpoint that fails, what it was sent, and how it hears of it later.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { api, reading, stage, step, tab, until } from './stage.mjs';

let url, own, page;
const on = () => page;
const endpoint = (name) => api(url, `endpoints/${name}`);
const heard = async (receiver) => (await stage('received', { receiver })).told;

step('an endpoint that fails is the first, and says why', async () => {
  ({ url, own } = await stage('start', { impatient: true }));
  await reading('freezer-1', { temperature: -20 });
  await reading('freezer-1', { temperature: -10.5 });
  page = await tab(url, { at: '#/endpoints' });
  const row = page.getByRole('row', { name: /^bad / });
  await row.getByText('answered 503').first().waitFor();
  await row.getByText(/down|retrying|coming back/).waitFor();
  await page.getByRole('row', { name: /^good / }).getByText('delivering').waitFor();
  await until('it is the first', async () => (await page.locator('tbody tr').first().innerText()).startsWith('bad'));
}, on);

step('its last attempts are there, with what was asked and answered', async () => {
  await until('it was given up', async () => (await endpoint('bad')).dead === 1);
  await page.getByRole('row', { name: /^bad / }).getByRole('link', { name: 'bad' }).click();
  await page.getByRole('heading', { level: 1, name: 'bad' }).waitFor();
  const row = page.getByRole('row', { name: /fired/ });
  await row.getByText('given up').waitFor();
  await row.getByRole('link', { name: 'fired' }).click();
  await page.getByRole('heading', { level: 1, name: /fired to bad/ }).waitFor();
  const attempts = page.getByRole('region', { name: /Attempts/ });
  await attempts.getByText('answered 503').first().waitFor();
  await attempts.getByText('Connect').first().waitFor();
  const request = page.getByRole('region', { name: 'The request' });
  await request.getByText('POST').waitFor();
  await request.getByText('webhook-signature').waitFor();
  await request.getByText(/"type": "alarm.fired"/).waitFor();
  assert.doesNotMatch(await page.locator('main').innerText(), /v1,[A-Za-z0-9+/=]{30,}/, 'a signature is shown');
}, on);

step('when it works again, it is sent what it has missed', async () => {
  await stage('recover', { receiver: 'bad' });
  await page.getByRole('region', { name: 'About' }).getByRole('link', { name: 'bad', exact: true }).click();
  await page.getByRole('button', { name: 'Replay' }).click();
  const dialog = page.getByRole('dialog', { name: 'Replay to bad' });
  await dialog.getByText('1 delivery will be sent again, under the same ids.').waitFor();
  assert.deepEqual(await heard('bad'), []); // nothing before it was confirmed
  await dialog.getByRole('button', { name: 'Send again' }).click();
  await page.getByText('1 delivery is owed again.').waitFor();
  await until('it was told', async () => (await heard('bad')).length > 0);
  assert.deepEqual((await heard('bad')).map((e) => `${e.Type} ${e.Alarm}`), ['alarm.fired warm/freezer-1']);
  await page.getByRole('row', { name: /fired/ }).getByText('accepted').waitFor();
  await page.getByText('delivering').waitFor();
}, on);

step('a test goes the way that everything goes', async () => {
  await page.getByRole('button', { name: 'Test' }).click();
  await page.getByRole('status').getByText(/200/).first().waitFor();
  await page.getByText('Answer', { exact: true }).waitFor();
  await until('the receiver was sent it', async () => (await heard('bad')).some((e) => e.Type === 'test.ping'));
}, on);

step('a pause keeps what is owed, and its end sends it', async () => {
  await page.getByRole('button', { name: 'Pause' }).click();
  const dialog = page.getByRole('dialog', { name: 'Pause bad' });
  await dialog.getByLabel('Why (for the log)').fill('new certificates');
  await dialog.getByRole('button', { name: 'Pause' }).click();
  await page.getByText('Paused. What it is owed is kept.').waitFor();
  await page.locator('.chip').getByText('paused').waitFor();
  assert.equal((await endpoint('bad')).condition, 'paused');
  await reading('freezer-2', { temperature: -20 });
  await reading('freezer-2', { temperature: -10.5 });
  await page.getByRole('row', { name: /fired warm\/freezer-2/ }).getByText('waiting').waitFor();
  await page.getByRole('button', { name: 'Enable' }).click();
  const enable = page.getByRole('dialog', { name: 'Enable bad' });
  await enable.getByText('1 delivery will be sent.').waitFor();
  await enable.getByLabel('What is sent of what it is owed').selectOption('discard');
  await enable.getByText('1 delivery will not be sent.').waitFor();
  await enable.getByLabel('What is sent of what it is owed').selectOption('all');
  await enable.getByText('1 delivery will be sent.').waitFor();
  await enable.getByRole('button', { name: 'Enable' }).click();
  await until('it was told', async () => (await heard('bad')).some((e) => e.Alarm === 'warm/freezer-2'));
  await page.getByRole('row', { name: /fired warm\/freezer-2/ }).getByText('accepted').waitFor();
}, on);

step('all deliveries are a list, of which a part can be asked for', async () => {
  await page.getByRole('link', { name: 'Endpoints' }).click();
  await page.getByRole('link', { name: 'All deliveries' }).click();
  await page.getByRole('heading', { level: 1, name: 'Deliveries' }).waitFor();
  await page.getByLabel('Endpoint', { exact: true }).selectOption('spare');
  await page.getByRole('row', { name: /warm\/freezer-2/ }).first().waitFor();
  await until('those of spare alone are shown', async () => (await page.locator('tbody tr').allInnerTexts()).every((t) => /spare/.test(t)));
}, on);

step('an endpoint is registered, and what it is sent is signed with the secret that was shown', async () => {
  await page.getByRole('link', { name: 'Endpoints' }).click();
  await page.getByRole('button', { name: 'Register' }).click();
  const dialog = page.getByRole('dialog', { name: 'Register an endpoint' });
  page.expected.push(/4[0-9]{2} \((Unprocessable Entity|Bad Request)\)/);
  await dialog.getByLabel('URL').fill('http://169.254.169.254/latest/meta-data');
  await dialog.getByRole('button', { name: 'Register' }).click();
  await dialog.getByRole('alert').getByText(/169\.254/).first().waitFor(); // no way into the network of a cloud
  await dialog.getByLabel('URL').fill(`${own}/hook/with-a-key-in-it`);
  await dialog.getByLabel('Name').fill('mine');
  await dialog.getByRole('button', { name: 'Register' }).click();
  await dialog.getByText('It is shown this once').waitFor();
  const secret = await dialog.getByLabel('The secret').inputValue();
  assert.match(secret, /^whsec_/);
  await dialog.getByRole('button', { name: 'Done' }).click();
  await page.getByRole('heading', { level: 1, name: 'mine' }).waitFor();
  await page.getByText('registered', { exact: true }).first().waitFor();
  const text = await page.content();
  assert.ok(!text.includes(secret) && !text.includes('with-a-key-in-it'), 'the page goes on showing what is secret');
  await reading('freezer-3', { temperature: -20 });
  await reading('freezer-3', { temperature: -10.5 });
  const got = await until('it was told', async () => (await stage('noted')).find((n) => n.body.includes('warm/freezer-3')));
  const head = (name) => got.header[name][0];
  const mac = createHmac('sha256', Buffer.from(secret.slice(6), 'base64')).update(`${head('Webhook-Id')}.${head('Webhook-Timestamp')}.${got.body}`).digest('base64');
  assert.equal(head('Webhook-Signature'), `v1,${mac}`);
  await page.getByRole('row', { name: /fired warm\/freezer-3/ }).getByText('accepted').waitFor();
}, on);

step('what was registered is removed, and what is in a file is not', async () => {
  await page.getByRole('button', { name: 'Remove' }).click();
  await page.getByRole('dialog', { name: 'Remove mine' }).getByRole('button', { name: 'Remove' }).click();
  await page.getByRole('heading', { level: 1, name: 'Endpoints' }).waitFor();
  await until('it is gone', async () => (await api(url, 'endpoints')).endpoints.every((e) => e.name !== 'mine'));
  await page.getByRole('link', { name: 'good', exact: true }).click();
  await page.getByRole('heading', { level: 1, name: 'good' }).waitFor();
  await page.getByRole('button', { name: 'Test' }).waitFor();
  assert.equal(await page.getByRole('button', { name: 'Remove' }).count(), 0);
}, on);
