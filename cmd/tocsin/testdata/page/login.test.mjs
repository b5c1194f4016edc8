// Who may look, who may act, and where a token is.
import assert from 'node:assert/strict';
import { accessible, api, fits, picture, reading, stage, step, tab } from './stage.mjs';

const root = 'a-token-that-nobody-guesses';
const scopes = {};
let url, page;
const on = () => page;

/** Signs in on the form that is shown. */
async function signIn(token) {
  await page.getByLabel('Token', { exact: true }).fill(token);
  await page.getByRole('button', { name: 'Sign in' }).click();
}

/** A token that is shown or kept anywhere but where it belongs. */
async function nowhere(token) {
  assert.ok(!page.url().includes(token), 'the token is in the address');
  assert.ok(!(await page.content()).includes(token), 'the token is in the document');
  assert.deepEqual(await page.context().cookies(), []);
  const fields = await page.locator('input').evaluateAll((all) => all.map((i) => i.value));
  assert.ok(!fields.includes(token), 'the token is in a field');
  assert.ok(!await page.evaluate((t) => Object.values(localStorage).includes(t), token), 'the token is kept for longer than was asked for');
}

/** Signs out, and is asked again. */
async function signOut() {
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.getByRole('heading', { name: 'Sign in' }).waitFor();
}

step('a token is asked for, and a wrong one is refused in words', async () => {
  ({ url } = await stage('start', { token: root }));
  await reading('freezer-1', { temperature: -20 });
  await reading('freezer-1', { temperature: -10 });
  for (const scope of ['read', 'ops', 'admin']) scopes[scope] = await api(url, 'tokens', { method: 'POST', token: root, body: { name: `ada-${scope}`, scope } });
  page = await tab(url, { expected: [/401 \(Unauthorized\)/] });
  await page.getByRole('heading', { name: 'Sign in' }).waitFor();
  await page.getByText('This bridge asks for a token').waitFor();
  await accessible(page);
  await picture(page, 'login-1440-light');
  await page.setViewportSize({ width: 360, height: 780 });
  await fits(page);
  await picture(page, 'login-360-light');
  await page.setViewportSize({ width: 1440, height: 900 });
  await signIn('guessed-and-guessed-wrong');
  await page.getByRole('alert').getByText(/token/).first().waitFor();
  await signIn('ünïcödé');
  await page.getByRole('alert').getByText(/token/).first().waitFor();
  await signIn(root);
  await page.getByRole('link', { name: /freezer-1 at/ }).waitFor();
  await nowhere(root);
}, on);

step('a reload asks nobody again, and who signs out is asked', async () => {
  await page.reload();
  await page.getByRole('link', { name: /freezer-1 at/ }).waitFor();
  await signOut();
}, on);

step('who may look finds nothing to press, and is told why', async () => {
  await signIn(scopes.read.token);
  await page.getByRole('link', { name: /freezer-1 at/ }).click();
  const ack = page.getByRole('button', { name: 'Acknowledge', exact: true });
  await ack.waitFor();
  assert.equal(await ack.getAttribute('aria-disabled'), 'true');
  assert.match(await ack.getAttribute('title'), /ops.*yours has read/);
  await ack.click({ force: true });
  await page.keyboard.press('a');
  assert.ok(!(await api(url, 'alarms/warm%2Ffreezer-1', { token: root })).acked);
  await page.getByText('ada-read').waitFor();
  await nowhere(scopes.read.token);
  await signOut();
}, on);

step('who may act acts, under the name of the token', async () => {
  await signIn(scopes.ops.token);
  await page.getByRole('button', { name: 'Acknowledge', exact: true }).click();
  await page.getByText('Acknowledged: no more reminders are sent.').waitFor();
  const a = await api(url, 'alarms/warm%2Ffreezer-1', { token: root });
  assert.equal(a.acked, true);
  await page.getByText('Acknowledged by ada-ops.').waitFor();
  await nowhere(scopes.ops.token);
}, on);

step('a token that is revoked leads back to the form', async () => {
  await api(url, `tokens/${scopes.ops.id}`, { method: 'DELETE', token: root });
  page.getByRole('button', { name: 'Take back the acknowledgement' }).click().catch(() => {}); // the page may notice before that
  await page.getByRole('heading', { name: 'Sign in' }).waitFor();
  await page.getByText('The token is good no more. Sign in with another.').waitFor();
  await nowhere(scopes.ops.token);
}, on);

step('who stays signed in is so in another tab', async () => {
  await page.getByLabel('Stay signed in on this browser').check();
  await signIn(scopes.read.token);
  await page.getByRole('heading', { level: 1 }).getByText(/freezer-1/).waitFor();
  const other = await page.context().newPage();
  await other.goto(`${url}/`);
  await other.getByRole('link', { name: /freezer-1 at/ }).waitFor();
  await other.close();
}, on);
