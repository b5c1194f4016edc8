// What the scripts share: the stage that the test has set, a browser, and a page that
// fails for what a page must never do.
import assert from 'node:assert/strict';
import { writeFileSync, mkdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { chromium } from 'playwright-core';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const pictures = process.env.SCREENSHOTS;
mkdirSync(pictures, { recursive: true });

/** Asks the stage for something. */
export async function stage(what, body = {}) {
  const answer = await fetch(`${process.env.STAGE}/${what}`, { method: 'POST', body: JSON.stringify(body) });
  const text = await answer.text();
  assert.equal(answer.status, 200, `${what}: ${text}`);
  return JSON.parse(text);
}

/** Publishes one payload of a device. */
export const reading = (device, values) => stage('publish', [{ topic: `plant/${device}/telemetry`, payload: typeof values === 'string' ? values : JSON.stringify(values) }]);

/** Publishes readings that were one a minute, the last of them now. */
export const past = (device, metric, values) => stage('publish', values.map((v, i) => ({
  topic: `plant/${device}/telemetry`, payload: JSON.stringify({ ts: new Date(Date.now() - (values.length - 1 - i) * 60e3).toISOString(), [metric]: v }),
})));

/** A file of rules in which a device is declared. */
export const declared = `schema = 1
[device.freezer-7]
type = "freezer"
labels = { site = "lyon", room = "cold-1" }
every = "1m"
`;

/** Asks the HTTP API, beside the page. */
export async function api(url, path, o = {}) {
  const answer = await fetch(`${url}/api/v1/${path}`, { ...o, headers: { ...(o.token && { Authorization: `Bearer ${o.token}` }), ...(o.body && { 'Content-Type': 'application/json' }) }, body: o.body && JSON.stringify(o.body) });
  const text = await answer.text();
  assert.ok(answer.ok, `${o.method ?? 'GET'} ${path}: ${answer.status} ${text}`);
  return text ? JSON.parse(text) : null;
}

/** Waits until fn returns something true, and returns it. For what no locator shows. */
export async function until(what, fn) {
  const end = Date.now() + 30_000;
  for (;;) {
    const got = await fn();
    if (got) return got;
    assert.ok(Date.now() < end, `still not so: ${what}`);
    await new Promise((go) => setTimeout(go, 50));
  }
}

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'] });
after(() => browser.close());

/**
 * A tab of a browser of its own, at url. What a page must never do is gathered in
 * its wrong, and what it says to the console in its said. What a script brings about
 * is expected: patterns, to which more may be added later.
 */
export async function tab(url, { expected = [], ...o } = {}) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, reducedMotion: 'reduce', locale: 'en-GB', timezoneId: 'UTC', ...o });
  context.setDefaultTimeout(30_000);
  const page = await context.newPage();
  page.wrong = [];
  page.said = [];
  page.expected = expected;
  const wrong = (text) => { if (!page.expected.some((p) => p.test(text))) page.wrong.push(text); };
  page.on('console', (m) => {
    const text = `${m.type()}: ${m.text()} (${m.location().url}:${m.location().lineNumber})`;
    page.said.push(text);
    if (m.type() === 'error' || m.type() === 'warning') wrong(text);
  });
  page.on('pageerror', (err) => wrong(`an error that nobody caught: ${err.stack}`));
  page.on('dialog', (d) => { wrong(`a dialog of a script: ${d.message()}`); d.dismiss().catch(() => {}); });
  page.on('request', (r) => { if (!r.url().startsWith(url) && !r.url().startsWith('data:')) wrong(`a request to somebody else: ${r.url()}`); });
  page.asked = new Set(); // what was not answered yet
  page.on('request', (r) => { if (!r.url().includes('/api/v1/stream')) page.asked.add(r); });
  for (const end of ['requestfinished', 'requestfailed']) page.on(end, (r) => page.asked.delete(r));
  await page.addInitScript(() => {
    globalThis.violations = [];
    document.addEventListener('securitypolicyviolation', (e) => globalThis.violations.push(`${e.violatedDirective}: ${e.blockedURI} ${e.sample} (${e.sourceFile}:${e.lineNumber})`));
  });
  await page.goto(`${url}/${o.at ?? ''}`);
  return page;
}

let broken = '';

/** Goes to another view, and waits until it is all there. */
export async function go(page, hash) {
  await page.evaluate((to) => {
    if (location.hash === to) return;
    for (const el of document.querySelectorAll('main h1')) el.dataset.before = '';
    location.hash = to;
  }, hash);
  await page.locator('main h1:not([data-before])').first().waitFor();
  await page.locator('main .loading').waitFor({ state: 'detached' });
  await page.getByText('Looking…').waitFor({ state: 'detached' });
  await until('everything was answered', () => page.asked.size === 0);
}

/** A part of a story, which ends where a part fails. A picture and the console are kept of what fails. */
export function step(name, fn, page) {
  test(name, async (t) => {
    if (broken) { t.skip(`“${broken}” has failed`); return; }
    try {
      await fn(t);
      const p = page?.();
      if (p && !p.isClosed()) await harmless(p);
    } catch (err) {
      broken = name;
      const p = page?.();
      if (p && !p.isClosed()) {
        const file = join(pictures, `failed-${name.replaceAll(/[^a-z0-9]+/gi, '-').toLowerCase()}`);
        await p.screenshot({ path: `${file}.png` }).catch(() => {});
        writeFileSync(`${file}.txt`, `${p.url()}\n${p.wrong.join('\n')}\n--\n${p.said.join('\n')}\n`);
        err.stack += `\nAt ${p.url()}; a picture is ${file}.png (TOCSIN_SCREENSHOTS keeps it). The console said:\n${p.said.slice(-10).join('\n')}\nThe page showed:\n${(await p.locator('body').innerText().catch(() => '')).slice(0, 1500)}`;
      }
      throw err;
    }
  });
}

/** Fails for what the page has done and must not. */
export async function harmless(page) {
  const violations = await page.evaluate(() => globalThis.violations.splice(0));
  const wrong = page.wrong.splice(0);
  assert.deepEqual([...wrong, ...violations], [], 'the page did what it must not');
}

/** Fails when the page, or a card of it, is wider than the room that it has. */
export async function fits(page) {
  const wide = await page.evaluate(() => {
    const most = document.documentElement.clientWidth;
    // A card cuts off what is too wide for it, which nobody could read.
    const cut = [...document.querySelectorAll('main .card, main li')].filter((el) => el.scrollWidth > el.clientWidth + 1).map((el) => `${el.innerText.slice(0, 200)} is cut off`);
    if (document.documentElement.scrollWidth <= most) return cut;
    return [...document.querySelectorAll('body *')].filter((el) => el.getBoundingClientRect().right > most + 1).slice(0, 5).map((el) => el.outerHTML.slice(0, 200));
  });
  assert.deepEqual(wide, [], 'the page scrolls sideways');
}

/** Fails for what axe finds serious or critical. */
export async function accessible(page) {
  if (!await page.evaluate(() => typeof globalThis.axe !== 'undefined')) await page.evaluate(axe);
  const found = await page.evaluate(async () => {
    const { violations } = await globalThis.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa'], resultTypes: ['violations'] });
    return violations.filter((v) => v.impact === 'serious' || v.impact === 'critical')
      .map((v) => `${v.impact} ${v.id}: ${v.help}: ${v.nodes.slice(0, 3).map((n) => `${n.target.join(' ')} ${n.any[0]?.message ?? ''}`).join(' | ')}`);
  });
  assert.deepEqual(found, [], 'axe finds');
}

/** Keeps a picture of the page. */
export const picture = (page, name) => page.screenshot({ path: join(pictures, `${name}.png`), fullPage: false });
