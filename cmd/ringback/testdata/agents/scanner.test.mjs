// A link scanner of the worst kind: it fetches by every method, runs scripts,
// follows links, fills and posts every form with every button in every order.
// It has links, but not the messages around them.
import test from 'node:test';
import assert from 'node:assert/strict';
import { ask, issuer, launch, message, poll } from './browser.mjs';

const links = Number(process.env.LINKS || 1000);
const orders = (list) => list.length < 2 ? [list] : list.flatMap((x, i) => orders([...list.slice(0, i), ...list.slice(i + 1)]).map((rest) => [x, ...rest]));

async function inBatches(list, size, f) {
  for (let i = 0; i < list.length; i += size) await Promise.all(list.slice(i, i + size).map((x, k) => f(x, i + k)));
}

// byHand does without a browser: cookies are kept, forms are posted as they
// stand and with what a guesser without any knowledge would fill in.
async function byHand(link, n) {
  let cookie = '';
  const go = async (method, body) => {
    const r = await fetch(link, { method, body, redirect: 'follow', headers: { ...(cookie && { cookie }), origin: issuer, 'sec-fetch-site': 'same-origin' } });
    const set = r.headers.getSetCookie().map((c) => c.split(';')[0]).join('; ');
    if (set) cookie = set;
    return method === 'HEAD' ? '' : r.text();
  };
  for (const method of ['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE', 'PATCH', 'POST']) await go(method);
  const html = await go('GET');
  const hidden = [...html.matchAll(/<input[^>]*type="?hidden"?[^>]*>/g)].map(([tag]) => [tag.match(/name="?([^"\s>]+)/)?.[1], tag.match(/value="([^"]*)"/)?.[1] ?? '']);
  const buttons = [...html.matchAll(/<button[^>]*name="?([^"\s>]+)"?[^>]*value="?([^"\s>]+)/g)].map((m) => [m[1], m[2]]);
  assert.ok(buttons.length >= 2, `no form behind the link: ${html.slice(0, 200)}`);
  const all = orders(buttons);
  for (const button of all[n % all.length]) {
    for (const filled of [{}, { code: '', match_code: '' }, { code: 'x', match_code: 'x' }]) await go('POST', new URLSearchParams([...hidden, ...Object.entries(filled), button]));
  }
  await fetch(`${link}?${new URLSearchParams([...hidden, ...buttons])}`, { headers: { cookie } });
}

let posted = 0;

// inBrowser presses every button: once as a person would, and once past
// whatever the browser itself checks. It goes on when the answer is there.
async function inBrowser(page, link, n) {
  await page.goto(link);
  const all = orders(await page.locator('button[name]').evaluateAll((list) => list.map((b) => b.value)));
  for (const value of all[n % all.length]) {
    await page.locator(`button[name][value="${value}"]`).first().click({ noWaitAfter: true });
    const answer = Promise.all([page.waitForResponse((r) => r.request().method() === 'POST'), page.waitForEvent('load')]);
    await page.evaluate((v) => {
      const b = document.querySelector(`button[value="${v}"]`);
      b.form.noValidate = true;
      b.form.requestSubmit(b);
    }, value);
    await answer;
    posted++;
  }
}

// scan lets the scanner have these people's links, and returns how many of
// their requests are pending after it.
async function scan(browser, people) {
  const asked = [];
  await inBatches(people, 32, async (p, i) => { asked[i] = await ask(p, { requested_expiry: '3600' }); });
  const found = [];
  await inBatches(people, 32, async (p, i) => { found[i] = await message(p); });
  await inBatches(found, 8, (m, i) => byHand(m.link, i));
  await inBatches(found, 2, async (m, i) => {
    const page = await browser.newPage({ viewport: { width: 320, height: 480 } }); // one for all gets slower with every link
    await inBrowser(page, m.link, i);
    await page.close();
  });
  let pending = 0;
  await inBatches(asked, 32, async (a) => { if ((await poll(a.auth_req_id)).error === 'authorization_pending') pending++; });

  // The links still work for who has the message.
  const page = await browser.newPage();
  for (const i of new Set([0, people.length >> 1, people.length - 1])) {
    await page.goto(found[i].link);
    await page.fill('input[name=code]', found[i].code);
    await page.click('button[value=allow]');
    await page.getByText('You can close').first().waitFor();
  }
  await page.close();
  return pending;
}

// A link lives for ten minutes, so there are never more than can be scanned in
// that time.
test(`${links} links given to a scanner`, { timeout: 3_000_000 }, async () => {
  const people = Array.from({ length: links }, (_, i) => `p${i}`);
  const browser = await launch();
  let pending = 0;
  try {
    for (let i = 0; i < links; i += 100) pending += await scan(browser, people.slice(i, i + 100));
  } finally {
    await browser.close();
  }
  assert.ok(posted >= 3 * links, `the scanner posted ${posted} forms`);
  assert.equal(pending, links, 'requests still pending');
});
