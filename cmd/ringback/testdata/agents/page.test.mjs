// The approval page in a real browser: what must be seen is seen, on a small
// phone, at twice the text size, in both themes, and without scripts.
import test from 'node:test';
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { readFile, mkdir } from 'node:fs/promises';
import { ask, issuer, launch, message, payment, poll } from './browser.mjs';

const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const shots = process.env.SHOTS; // a directory: screenshots are kept there
if (shots) await mkdir(shots, { recursive: true });

const small = { width: 360, height: 640 };
let person = 0;

// asking opens the page of a fresh payment request.
async function asking(browser, options = {}, more = {}) {
  const who = `p${person++}`;
  const asked = await ask(who, { authorization_details: JSON.stringify(payment), binding_message: 'Hotel 1', ...more });
  const m = await message(who);
  const context = await browser.newContext({ viewport: small, ...options });
  const page = await context.newPage();
  await page.goto(m.link);
  return { asked, m, page, context };
}

// What the person must see before deciding.
const needed = { amount: 'text=50.00 EUR', payee: 'text=ACME GmbH', agent: 'text=Travel Agent', host: 'text=travel.example', deny: 'button[value=deny]', allow: 'button[value=allow]' };

async function boxes(page) {
  const out = {};
  for (const [name, selector] of Object.entries(needed)) out[name] = await page.locator(selector).first().boundingBox();
  return out;
}

test('pages', { timeout: 300_000 }, async (t) => {
  const browser = await launch();
  t.after(() => browser.close());

  for (const colorScheme of ['light', 'dark']) {
    await t.test(`360×640, ${colorScheme}: all seen without scrolling, accessible`, async () => {
      const { page, context } = await asking(browser, { colorScheme });
      for (const [name, box] of Object.entries(await boxes(page))) {
        assert.ok(box, `${name} is not on the page`);
        assert.ok(box.x >= 0 && box.x + box.width <= small.width && box.y >= 0 && box.y + box.height <= small.height, `${name} is cut off: ${JSON.stringify(box)}`);
      }
      const { deny, allow } = await boxes(page);
      assert.ok(Math.abs(deny.width - allow.width) <= 1 && Math.abs(deny.height - allow.height) <= 1, 'no is as easy as yes');
      assert.ok(deny.height >= 44, 'a target is at least 44 px high');
      if (shots) await page.screenshot({ path: `${shots}/asking-${colorScheme}.png`, fullPage: true });
      await page.evaluate(axe);
      const { violations } = await page.evaluate(() => globalThis.axe.run());
      assert.deepEqual(violations.map((v) => `${v.id}: ${v.nodes[0].html}`), []);
      await context.close();
    });
  }

  await t.test('200 % text: nothing is clipped', async () => {
    const { page, context } = await asking(browser);
    await page.evaluate(() => { document.documentElement.style.fontSize = '200%'; });
    for (const [name, box] of Object.entries(await boxes(page))) assert.ok(box.x >= 0 && box.x + box.width <= small.width, `${name} is cut off: ${JSON.stringify(box)}`);
    const clipped = await page.evaluate(() => [...document.querySelectorAll('body *')]
      .filter((e) => getComputedStyle(e).overflow !== 'visible' && (e.scrollWidth > e.clientWidth + 1 || e.scrollHeight > e.clientHeight + 1) && e.clientHeight > 1 && !e.matches('input'))
      .map((e) => e.outerHTML.slice(0, 100)));
    assert.deepEqual(clipped, []);
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth) <= small.width, 'the page scrolls sideways');
    if (shots) await page.screenshot({ path: `${shots}/asking-large-text.png`, fullPage: true });
    await context.close();
  });

  for (const javaScriptEnabled of [true, false]) {
    await t.test(`allowing, scripts ${javaScriptEnabled ? 'on' : 'off'}`, async () => {
      const { page, context, m, asked } = await asking(browser, { javaScriptEnabled });
      const outside = [];
      page.on('request', (r) => { if (!r.url().startsWith(issuer)) outside.push(r.url()); });
      await page.fill('input[name=code]', m.code === '111111' ? '222222' : '111111');
      await page.click('button[value=allow]');
      if (shots) await page.screenshot({ path: `${shots}/wrong-code.png`, fullPage: true });
      assert.match(await page.textContent('body'), /2/, 'tries left are told');
      await page.fill('input[name=code]', m.code);
      await page.click('button[value=allow]');
      if (shots) await page.screenshot({ path: `${shots}/allowed.png`, fullPage: true });
      const answer = await poll(asked.auth_req_id);
      assert.ok(answer.access_token, JSON.stringify(answer));
      await page.goto(m.link);
      if (shots) await page.screenshot({ path: `${shots}/elsewhere.png`, fullPage: true });
      assert.deepEqual(outside, []);
      await context.close();
    });
  }

  for (const [value, name] of [['deny', 'refused'], ['block', 'blocked']]) {
    await t.test(name, async () => {
      const { page, context, m, asked } = await asking(browser, { colorScheme: 'dark' });
      await page.fill('input[name=code]', m.code);
      await page.click(`button[value=${value}]`);
      if (shots) await page.screenshot({ path: `${shots}/${name}.png`, fullPage: true });
      assert.equal((await poll(asked.auth_req_id)).error, 'access_denied');
      await context.close();
    });
  }

  await t.test('the number on the agent’s screen', async () => {
    const { page, context, m, asked } = await asking(browser, {}, { acr_values: 'urn:ringback:acr:match' });
    if (shots) await page.screenshot({ path: `${shots}/match.png`, fullPage: true });
    assert.ok(!(await page.content()).includes(asked.match_code), 'the number is not on the page');
    await page.fill('input[name=code]', m.code);
    await page.fill('input[name=match_code]', asked.match_code);
    await page.click('button[value=allow]');
    const answer = await poll(asked.auth_req_id);
    assert.ok(answer.access_token, JSON.stringify(answer));
    assert.equal(JSON.parse(Buffer.from(answer.id_token.split('.')[1], 'base64url')).acr, 'urn:ringback:acr:match');
    await context.close();
  });

  await t.test('in German', async () => {
    const asked = await ask('greta', { authorization_details: JSON.stringify(payment) });
    const m = await message('greta');
    const page = await browser.newPage({ viewport: small });
    await page.goto(m.link);
    if (shots) await page.screenshot({ path: `${shots}/german.png`, fullPage: true });
    assert.match(await page.textContent('body'), /50,00/);
    assert.equal(await page.getAttribute('html', 'lang'), 'de');
    assert.equal((await poll(asked.auth_req_id)).error, 'authorization_pending');
  });

  await t.test('a framed page shows nothing', async () => {
    const { page, context, m } = await asking(browser);
    await page.route('http://evil.example/', (r) => r.fulfill({ contentType: 'text/html', body: `<iframe src="${m.link}"></iframe>` }));
    await page.goto('http://evil.example/');
    await page.waitForTimeout(300);
    assert.ok(!(await page.frames()[1]?.content().catch(() => ''))?.includes('ACME'), 'the page let itself be framed');
    await context.close();
  });

  await t.test('the demo phone', async () => {
    for (const colorScheme of ['light', 'dark']) {
      const page = await browser.newPage({ viewport: { width: 1100, height: 860 }, colorScheme });
      await page.goto(`${issuer}/dev/phone?person=p0`);
      await page.waitForSelector('.note');
      if (shots) await page.screenshot({ path: `${shots}/phone-${colorScheme}.png` });
      await page.click('.note');
      await page.waitForSelector('.bubble');
      if (shots) await page.screenshot({ path: `${shots}/phone-thread-${colorScheme}.png` });
      await page.close();
    }
  });
});
