// Every view at two widths, light and dark: nothing scrolls sideways, everybody can
// use it, and it is something to look at.
import assert from 'node:assert/strict';
import { accessible, api, declared, fits, go, harmless, past, picture, reading, stage, step, tab, until } from './stage.mjs';

let url, page, views;
const on = () => page;

/** Values that wander between two others. */
const wave = (n, low, high) => Array.from({ length: n }, (_, i) => Number((low + (high - low) * (0.5 + 0.5 * Math.sin(i / 4) * Math.cos(i / 9))).toFixed(1)));

step('a plant with something going on', async () => {
  ({ url } = await stage('start', { rules: declared }));
  for (let i = 1; i <= 9; i++) await past(`freezer-${i}`, 'temperature', wave(50, -24 + i / 2, -19 + i / 2));
  await past('hall-1', 'humidity', wave(50, 55, 68));
  await past('freezer-7', 'temperature', [-16, -12.4]);
  await past('freezer-3', 'temperature', [-10, -3.5]);
  await reading('freezer-5', { temperature: -14.2, door: 'open', battery: 81 });
  await stage('publish', [{ topic: 'plant/freezer-9/telemetry', payload: '{"temperature": -2' }, { topic: 'plants/freezer-9', payload: '21.5' }, { topic: 'plant/freezer-8/telemetry', payload: '{"temperature": 850}' }]);
  await api(url, 'alarms/warm%2Ffreezer-7/ack', { method: 'POST', body: { by: 'Ada', reason: 'the door was open' } });
  await api(url, 'endpoints/spare/disable', { method: 'POST', body: { reason: 'new certificates' } });
  const d = await until('the endpoint that fails was tried', async () => (await api(url, 'deliveries?endpoint=bad')).deliveries.find((d) => d.tries > 1));
  await until('readings are kept', async () => (await api(url, 'devices/freezer-7')).samples.temperature?.length > 10);
  views = {
    alarm: '#/alarms/warm%2Ffreezer-3', devices: '#/devices', device: '#/devices/freezer-7', rules: '#/rules', rule: '#/rules/warm',
    playground: '#/playground?rule=warm', endpoints: '#/endpoints', endpoint: '#/endpoints/bad', deliveries: '#/deliveries', delivery: `#/deliveries/${encodeURIComponent(d.id)}`, tail: '#/tail', rejected: '#/rejected', missing: '#/nowhere', now: '#/',
  };
  page = await tab(url);
}, on);

for (const width of [1440, 360]) {
  for (const scheme of ['light', 'dark']) {
    step(`every view, ${width} px wide, ${scheme}`, async () => {
      await page.setViewportSize({ width, height: width > 800 ? 900 : 780 });
      await page.emulateMedia({ colorScheme: scheme, reducedMotion: 'reduce' });
      const wrong = [];
      for (const [name, at] of Object.entries(views)) {
        await go(page, at);
        if (name === 'tail') await until('something comes', async () => { await reading('freezer-5', { temperature: -14 - Math.floor(Math.random() * 60) / 10 }); return await page.locator('.tail li').count() > 5; });
        if (name === 'devices') await page.locator('.spark').first().waitFor();
        if (name === 'rejected') await page.locator('details.reject summary').first().click();
        for (const check of [fits, accessible, harmless]) {
          try { await check(page); } catch (err) { wrong.push(`${name}: ${err.message}`); }
        }
        await picture(page, `${name}-${width}-${scheme}`);
      }
      assert.deepEqual(wrong, []);
    }, on);
  }
}

for (const [width, scheme] of [[1440, 'dark'], [360, 'light']]) {
  step(`every dialog, ${width} px wide, ${scheme}`, async () => {
    await page.setViewportSize({ width, height: width > 800 ? 900 : 780 });
    await page.emulateMedia({ colorScheme: scheme, reducedMotion: 'reduce' });
    const wrong = [];
    for (const [hash, name, said] of [
      [views.alarm, 'Shelve…', 'Until'], [views.alarm, 'With a note…', 'Your name'], [views.endpoint, 'Replay', /will be sent|nothing of that/], [views.endpoint, 'Pause', 'Why (for the log)'],
      [views.endpoint, 'Discard', /will not be sent/], [views.endpoints, 'Register', 'URL'], [views.now, 'More', 'Rejected'], [views.now, '?', 'Next row'],
    ]) {
      await go(page, hash);
      if (name === '?') await page.keyboard.press('?');
      else if (name === 'More' && width > 800) continue;
      else await page.getByRole('button', { name, exact: true }).click();
      await (name === 'More' ? page.locator('#nav') : page.getByRole('dialog')).getByText(said).first().waitFor();
      for (const check of [fits, accessible, harmless]) {
        try { await check(page); } catch (err) { wrong.push(`${name}: ${err.message}`); }
      }
      await picture(page, `dialog-${name.replace(/\W/g, '') || 'keys'}-${width}-${scheme}`);
      await page.keyboard.press('Escape');
    }
    assert.deepEqual(wrong, []);
  }, on);
}

step('what judges a page sees what is wrong with it', async () => {
  await page.evaluate(() => {
    const el = document.createElement('input'); // without a name
    el.style.width = '3000px';
    document.querySelector('main').append(el);
    setTimeout(() => { document.body.setAttribute('onclick', 'alert(1)'); });
  });
  await assert.rejects(fits(page), /scrolls sideways/);
  await assert.rejects(accessible(page), /critical label/);
  await until('the policy was violated', () => page.evaluate(() => globalThis.violations.length > 0));
  await assert.rejects(harmless(page), /require-trusted-types-for/);
  await page.evaluate(() => fetch('http://localhost:1/').catch(() => {}));
  await assert.rejects(harmless(page), /connect-src/);
}, on);
