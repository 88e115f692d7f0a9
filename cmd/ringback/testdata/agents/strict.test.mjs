// Clients that nobody here wrote, unmodified, with the stricter ways of asking:
// openid-client (private_key_jwt, DPoP on token calls, authorization_details),
// oauth4webapi (signed requests, DPoP), and auth0's backchannel calls. Each
// goes through approval, denial, expiry and slow_down. ISSUER is an https URL.
import test from 'node:test';
import assert from 'node:assert/strict';
import * as client from 'openid-client';
import * as oauth from 'oauth4webapi';
import { AuthenticationClient } from 'auth0';

const issuer = process.env.ISSUER;
const CIBA = 'urn:openid:params:grant-type:ciba';
const details = [{
  type: 'payment_initiation',
  instructedAmount: { currency: 'EUR', amount: '50.00' },
  creditorName: 'ACME GmbH',
  creditorAccount: { iban: 'DE89370400440532013000' },
}];

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const code = (want) => (err) => { assert.equal(err.error, want); return true; };

async function decide(authReqID, action) {
  const r = await fetch(`${issuer}/dev/decide?auth_req_id=${authReqID}&action=${action}`, { method: 'POST' });
  assert.equal(r.status, 204);
}

// register adds a client with a key of its own through the management API.
async function register(name, alg, more = {}) {
  const pair = await oauth.generateKeyPair(alg, { extractable: true });
  const jwk = { ...await crypto.subtle.exportKey('jwk', pair.publicKey), kid: name.toLowerCase().replaceAll(' ', '-'), use: 'sig', alg };
  delete jwk.key_ops;
  const r = await fetch(`${process.env.MANAGE}/admin/v1/clients`, {
    method: 'POST', headers: { authorization: `Bearer ${process.env.ADMIN_TOKEN}`, 'content-type': 'application/json' },
    body: JSON.stringify({
      client_name: name, token_endpoint_auth_method: 'private_key_jwt', token_endpoint_auth_signing_alg: alg,
      people: 'any', default_resource: 'https://api.example', jwks: { keys: [jwk] }, ...more,
    }),
  });
  assert.equal(r.status, 201, await r.clone().text());
  return { id: (await r.json()).client_id, key: { key: pair.privateKey, kid: jwk.kid } };
}

for (const alg of ['ES256', 'PS256']) {
  test(`openid-client, private_key_jwt by ${alg}`, { concurrency: true }, async (t) => {
    const registered = await register(`Openid client ${alg.slice(0, 2)}`, alg, { id_token_signed_response_alg: alg });
    const config = await client.discovery(new URL(issuer), registered.id, { id_token_signed_response_alg: alg }, client.PrivateKeyJwt(registered.key));
    const ask = (more = {}) => client.initiateBackchannelAuthentication(config, { scope: 'openid', login_hint: 'alice', ...more });
    const DPoP = () => client.randomDPoPKeyPair('ES256').then((pair) => ({ DPoP: client.getDPoPHandle(config, pair) }));
    await Promise.all([
      t.test('approved', async () => {
        const asked = await ask({ authorization_details: JSON.stringify(details), resource: 'https://api.example' });
        const options = await DPoP();
        const [tokens] = await Promise.all([client.pollBackchannelAuthenticationGrant(config, asked, undefined, options), sleep(300).then(() => decide(asked.auth_req_id, 'allow'))]);
        assert.equal(tokens.claims().sub, 'alice');
        assert.equal(tokens.token_type, 'dpop');
        assert.deepEqual(tokens.authorization_details, details);
        const seen = await client.tokenIntrospection(config, tokens.access_token);
        assert.equal(seen.active, true);
        assert.match(seen.cnf.jkt, /^[A-Za-z0-9_-]{43}$/);
        const resource = await client.fetchProtectedResource(config, tokens.access_token, new URL(`${issuer}/dev/resource`), 'GET', null, new Headers(), options);
        assert.equal(resource.status, 200);
        await assert.rejects(client.genericGrantRequest(config, CIBA, { auth_req_id: asked.auth_req_id }, options), code('invalid_grant'));
      }),
      t.test('denied', async () => {
        const asked = await ask();
        await Promise.all([
          assert.rejects(client.pollBackchannelAuthenticationGrant(config, asked, undefined, await DPoP()), code('access_denied')),
          sleep(300).then(() => decide(asked.auth_req_id, 'deny')),
        ]);
      }),
      t.test('expired', async () => {
        const asked = await ask({ requested_expiry: '10' });
        await sleep(11_000);
        await assert.rejects(client.genericGrantRequest(config, CIBA, { auth_req_id: asked.auth_req_id }, await DPoP()), code('expired_token'));
      }),
      t.test('slowed down', async () => {
        const asked = await ask();
        const poll = async () => client.genericGrantRequest(config, CIBA, { auth_req_id: asked.auth_req_id }, await DPoP());
        await assert.rejects(poll(), code('authorization_pending'));
        await assert.rejects(poll(), code('slow_down'));
        const [tokens] = await Promise.all([client.pollBackchannelAuthenticationGrant(config, asked, undefined, await DPoP()), sleep(4000).then(() => decide(asked.auth_req_id, 'allow'))]);
        assert.ok(tokens.access_token);
      }),
    ]);
  });
}

for (const alg of ['ES256', 'PS256', 'Ed25519']) {
  test(`oauth4webapi, signed requests by ${alg}`, { concurrency: true }, async (t) => {
    const registered = await register(`Web api ${alg.slice(0, 2)}`, alg, { require_signed_request_object: true, backchannel_authentication_request_signing_alg: alg, dpop_bound_access_tokens: true });
    const as = await oauth.processDiscoveryResponse(new URL(issuer), await oauth.discoveryRequest(new URL(issuer)));
    const me = { client_id: registered.id };
    const auth = oauth.PrivateKeyJwt(registered.key);
    const pair = await oauth.generateKeyPair('ES256');

    const ask = async (more = {}) => {
      const request = await oauth.issueRequestObject(as, me, { scope: 'openid', login_hint: 'alice', ...more }, registered.key);
      const response = await oauth.backchannelAuthenticationRequest(as, me, auth, { request });
      return oauth.processBackchannelAuthenticationResponse(as, me, response);
    };
    const poll = async (asked, key = pair) => {
      const response = await oauth.backchannelAuthenticationGrantRequest(as, me, auth, asked.auth_req_id, { DPoP: oauth.DPoP(me, key) });
      return oauth.processBackchannelAuthenticationGrantResponse(as, me, response);
    };
    await Promise.all([
      t.test('approved', async () => {
        const asked = await ask({ authorization_details: JSON.stringify(details), binding_message: 'Order 4711', requested_expiry: '120' });
        assert.equal(asked.expires_in, 120);
        await decide(asked.auth_req_id, 'allow');
        const tokens = await poll(asked);
        assert.equal(oauth.getValidatedIdTokenClaims(tokens).sub, 'alice');
        assert.equal(tokens.token_type, 'dpop');
        assert.deepEqual(tokens.authorization_details, details);
        const url = new URL(`${issuer}/dev/resource`);
        assert.equal((await oauth.protectedResourceRequest(tokens.access_token, 'GET', url, undefined, undefined, { DPoP: oauth.DPoP(me, pair) })).status, 200);
        await assert.rejects(oauth.protectedResourceRequest(tokens.access_token, 'GET', url, undefined, undefined, { DPoP: oauth.DPoP(me, await oauth.generateKeyPair('ES256')) }));
        await assert.rejects(poll(asked), code('invalid_grant'));
      }),
      t.test('denied', async () => {
        const asked = await ask();
        await decide(asked.auth_req_id, 'deny');
        await assert.rejects(poll(asked), code('access_denied'));
      }),
      t.test('expired', async () => {
        const asked = await ask({ requested_expiry: '10' });
        await sleep(11_000);
        await assert.rejects(poll(asked), code('expired_token'));
      }),
      t.test('slowed down', async () => {
        const asked = await ask();
        await assert.rejects(poll(asked), code('authorization_pending'));
        await assert.rejects(poll(asked), code('slow_down'));
        await decide(asked.auth_req_id, 'allow');
        assert.ok((await poll(asked)).access_token);
      }),
      t.test('unsigned', async () => {
        const response = await oauth.backchannelAuthenticationRequest(as, me, auth, { scope: 'openid', login_hint: 'alice' });
        await assert.rejects(oauth.processBackchannelAuthenticationResponse(as, me, response), code('invalid_request'));
      }),
    ]);
  });
}

test('auth0', { concurrency: true }, async (t) => {
  const { backchannel } = new AuthenticationClient({ domain: new URL(issuer).host, clientId: 'demo-agent', clientSecret: 'demo-secret-0000' });
  const ask = (more = {}) => backchannel.authorize({ userId: 'alice', scope: 'openid offline_access', binding_message: 'Order 4711', ...more });
  const poll = (asked) => backchannel.backchannelGrant({ auth_req_id: asked.auth_req_id });
  await Promise.all([
    t.test('approved', async () => {
      const asked = await ask({ audience: '', requested_expiry: '120', authorization_details: JSON.stringify(details) });
      assert.equal(asked.expires_in, 120);
      await decide(asked.auth_req_id, 'allow');
      const tokens = await poll(asked);
      assert.ok(tokens.access_token && tokens.id_token);
      assert.deepEqual(tokens.authorization_details, details);
      await assert.rejects(poll(asked), code('invalid_grant'));
    }),
    t.test('audience', async () => {
      const asked = await ask({ audience: 'https://api.example' });
      await decide(asked.auth_req_id, 'allow');
      const { access_token } = await poll(asked);
      assert.equal(JSON.parse(Buffer.from(access_token.split('.')[1], 'base64url')).aud, 'https://api.example');
      await assert.rejects(ask({ audience: 'https://other.example' }), code('invalid_target'));
    }),
    t.test('denied', async () => {
      const asked = await ask();
      await decide(asked.auth_req_id, 'deny');
      await assert.rejects(poll(asked), code('access_denied'));
    }),
    t.test('expired', async () => {
      const asked = await ask({ requested_expiry: '10' });
      await sleep(11_000);
      await assert.rejects(poll(asked), code('expired_token'));
    }),
    t.test('slowed down', async () => {
      const asked = await ask();
      await assert.rejects(poll(asked), code('authorization_pending'));
      await assert.rejects(poll(asked), (err) => {
        assert.equal(err.error, 'slow_down');
        assert.equal(err.headers.get('retry-after'), '10');
        return true;
      });
    }),
  ]);
});
