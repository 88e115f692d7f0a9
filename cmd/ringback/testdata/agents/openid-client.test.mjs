// openid-client, unmodified, against `ringback serve --dev`: poll (approved,
// denied, expired, slowed down) by both ways of sending a secret, and ping.
// ISSUER names the service.
import test from 'node:test';
import assert from 'node:assert/strict';
import http from 'node:http';
import * as client from 'openid-client';

const issuer = process.env.ISSUER;
const secret = 'demo-secret-0000';
const CIBA = 'urn:openid:params:grant-type:ciba';
const details = [{
  type: 'payment_initiation',
  instructedAmount: { currency: 'EUR', amount: '50.00' },
  creditorName: 'ACME GmbH',
  creditorAccount: { iban: 'DE89370400440532013000' },
}];

const discover = (id, auth) => client.discovery(new URL(issuer), id, { client_secret: secret }, auth, { execute: [client.allowInsecureRequests] });
const ask = (config, more = {}) => client.initiateBackchannelAuthentication(config, { scope: 'openid', login_hint: 'alice', ...more });

async function decide(authReqID, action) {
  const r = await fetch(`${issuer}/dev/decide?auth_req_id=${authReqID}&action=${action}`, { method: 'POST' });
  assert.equal(r.status, 204);
}

const later = (ms, f) => new Promise((done, failed) => setTimeout(() => f().then(done, failed), ms));
const code = (want) => (err) => { assert.equal(err.error, want); return true; };

for (const [name, auth] of [['client_secret_basic', client.ClientSecretBasic(secret)], ['client_secret_post', client.ClientSecretPost(secret)]]) {
  test(name, { concurrency: true }, async (t) => {
    const config = await discover('demo-agent', auth);
    await Promise.all([
      t.test('approved', async () => {
        const asked = await ask(config, { authorization_details: JSON.stringify(details), resource: 'https://api.example' });
        const [tokens] = await Promise.all([client.pollBackchannelAuthenticationGrant(config, asked), later(300, () => decide(asked.auth_req_id, 'allow'))]);
        assert.equal(tokens.claims().sub, 'alice');
        assert.equal(tokens.claims().aud, 'demo-agent');
        assert.equal(tokens.token_type, 'bearer');
        assert.deepEqual(tokens.authorization_details, details);
        const seen = await client.tokenIntrospection(config, tokens.access_token);
        assert.equal(seen.active, true);
        assert.equal(seen.aud, 'https://api.example');
        assert.deepEqual(seen.authorization_details, details);
        await client.tokenRevocation(config, tokens.access_token);
        assert.equal((await client.tokenIntrospection(config, tokens.access_token)).active, false);
        await assert.rejects(client.genericGrantRequest(config, CIBA, { auth_req_id: asked.auth_req_id }), code('invalid_grant'));
      }),
      t.test('denied', async () => {
        const asked = await ask(config);
        await Promise.all([
          assert.rejects(client.pollBackchannelAuthenticationGrant(config, asked), code('access_denied')),
          later(300, () => decide(asked.auth_req_id, 'deny')),
        ]);
      }),
      t.test('expired', async () => {
        const asked = await ask(config, { requested_expiry: '10' });
        assert.equal(asked.expires_in, 10);
        // The client stops by itself when expires_in is over; whoever asks then is told.
        await assert.rejects(client.pollBackchannelAuthenticationGrant(config, asked));
        await assert.rejects(client.genericGrantRequest(config, CIBA, { auth_req_id: asked.auth_req_id }), code('expired_token'));
      }),
      t.test('slowed down', async () => {
        const asked = await ask(config);
        const poll = () => client.genericGrantRequest(config, CIBA, { auth_req_id: asked.auth_req_id });
        await assert.rejects(poll(), code('authorization_pending'));
        await assert.rejects(poll(), code('slow_down'));
        const started = Date.now();
        const [tokens] = await Promise.all([client.pollBackchannelAuthenticationGrant(config, asked), later(4000, () => decide(asked.auth_req_id, 'allow'))]);
        assert.ok(tokens.access_token);
        assert.ok(Date.now() - started < 60_000);
      }),
    ]);
  });
}

test('ping', async (t) => {
  const config = await discover('demo-ping', client.ClientSecretBasic(secret));
  const pings = [];
  let arrived;
  const server = http.createServer((req, res) => {
    let body = '';
    req.on('data', (d) => { body += d; });
    req.on('end', () => {
      pings.push({ method: req.method, type: req.headers['content-type'], auth: req.headers.authorization, body: JSON.parse(body) });
      res.writeHead(204).end();
      arrived?.();
    });
  });
  await new Promise((done) => server.listen(9876, '127.0.0.1', done));
  t.after(() => server.close());
  for (const [action, check] of [
    ['allow', async (p) => assert.equal((await p).claims().sub, 'alice')],
    ['deny', (p) => assert.rejects(p, code('access_denied'))],
  ]) {
    const token = `token-${action}-0123456789abcdefghijklmnopqrstuvwxyz`;
    const asked = await ask(config, { client_notification_token: token });
    const pinged = new Promise((done) => { arrived = done; });
    await decide(asked.auth_req_id, action);
    await pinged;
    assert.deepEqual(pings.at(-1), { method: 'POST', type: 'application/json', auth: `Bearer ${token}`, body: { auth_req_id: asked.auth_req_id } });
    await check(client.genericGrantRequest(config, CIBA, { auth_req_id: asked.auth_req_id }));
  }
  await new Promise((done) => setTimeout(done, 2000));
  assert.equal(pings.length, 2, 'a ping that was answered is not repeated');
});
