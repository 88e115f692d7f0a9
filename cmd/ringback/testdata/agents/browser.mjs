// A real browser, and what tests of pages share.
import { chromium } from 'playwright-core';

export const issuer = process.env.ISSUER;
const auth = 'Basic ' + Buffer.from('demo-agent:demo-secret-0000').toString('base64');

export const payment = [{
  type: 'payment_initiation',
  instructedAmount: { currency: 'EUR', amount: '50.00' },
  creditorName: 'ACME GmbH',
  creditorAccount: { iban: 'DE89370400440532013000' },
}];

export const launch = () => chromium.launch({
  executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});

// ask sends a request as the demo agent and returns the acknowledgement.
export async function ask(person, more = {}) {
  const r = await fetch(`${issuer}/bc-authorize`, {
    method: 'POST', headers: { authorization: auth },
    body: new URLSearchParams({ scope: 'openid', login_hint: person, ...more }),
  });
  if (!r.ok) throw new Error(`asking: ${r.status} ${await r.text()}`);
  return r.json();
}

export async function poll(authReqID) {
  const r = await fetch(`${issuer}/token`, {
    method: 'POST', headers: { authorization: auth },
    body: new URLSearchParams({ grant_type: 'urn:openid:params:grant-type:ciba', auth_req_id: authReqID }),
  });
  return r.json();
}

// message waits for the n-th message to a person that has a link.
export async function message(person, n = 1) {
  for (let i = 0; i < 500; i++) {
    const all = await (await fetch(`${issuer}/dev/outbox?person=${person}`)).json();
    const linked = all.filter((m) => m.links.length > 0);
    if (linked.length >= n) {
      const m = linked[n - 1];
      return { ...m, link: m.links[0], code: m.text.replace(m.links[0], '').match(/\b\d{6}\b/)[0] };
    }
    await new Promise((done) => setTimeout(done, 20));
  }
  throw new Error(`no message with a link for ${person}`);
}
