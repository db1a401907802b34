// An authorization server of oidc-provider's for the tests, on the port that is
// given, with a client for each kind of authentication.
//
// With a redirect URI as its second argument it also has a client for people,
// who sign in and consent on pages of the provider's own.
//
// Besides the provider's own endpoints: /check answers 200 for a live token in
// Authorization and 401 for any other, which is what nginx's auth_request asks;
// POST /revoke-all revokes behind the client's back every token issued so far. What the
// kill tests ask is in rotations.mjs.
import { createServer } from 'node:http';
import Provider from 'oidc-provider';
import * as rotations from './rotations.mjs';

const port = Number(process.argv[2]);
const issuer = `http://127.0.0.1:${port}`;
const client = (id, method) => ({
  client_id: id,
  client_secret: `secret of ${id}: +/%&=`,
  grant_types: ['client_credentials'],
  response_types: [],
  redirect_uris: [],
  token_endpoint_auth_method: method,
  scope: 'api',
});
// A person's client: its redirect URI is that of the sidekey under test.
const personal = process.argv[3] && {
  ...client('personal', 'client_secret_basic'),
  grant_types: ['authorization_code', 'refresh_token'],
  response_types: ['code'],
  redirect_uris: [process.argv[3]],
  scope: 'openid offline_access api',
};

const provider = new Provider(issuer, {
  clients: [
    client('basic', 'client_secret_basic'),
    client('post', 'client_secret_post'),
    rotations.client,
    ...(personal ? [personal] : []),
  ],
  scopes: ['openid', 'offline_access', 'api'],
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  rotateRefreshToken: true,
  pkce: { required: () => true },
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: Boolean(personal) },
    introspection: { enabled: true, allowedPolicy: () => true },
    // Who asks for a token for a resource gets a JWT for it (RFC 8707, RFC 9068).
    resourceIndicators: {
      enabled: true,
      defaultResource: () => undefined,
      getResourceServerInfo: (_, resource) => ({
        scope: 'api',
        audience: resource,
        accessTokenFormat: 'jwt',
        jwt: { sign: { alg: 'RS256' } },
      }),
    },
    revocation: { enabled: true, allowedPolicy: () => true },
  },
  ttl: { ClientCredentials: 3600, AccessToken: rotations.accessTokenLife },
});

const issued = new Set();
provider.on('client_credentials.saved', (token) => issued.add(token));

async function live(request) {
  const value = (request.headers.authorization ?? '').replace(/^Bearer /, '');
  const token =
    value &&
    ((await provider.ClientCredentials.find(value)) ?? (await provider.AccessToken.find(value)));
  return Boolean(token && token.isValid);
}

async function revokeAll() {
  for (const token of issued) await token.destroy();
  issued.clear();
}

const books = rotations.books(provider);
const handle = provider.callback();
createServer(async (request, response) => {
  const end = (status) => response.writeHead(status).end();
  try {
    if (request.url === '/check') return end((await live(request)) ? 200 : 401);
    if (request.url === '/revoke-all') return await revokeAll(), end(204);
    if (request.url === '/issued') return response.end(String(issued.size));
    const told = await books(request);
    if (told) return response.end(JSON.stringify(told));
    return handle(request, response);
  } catch (error) {
    console.error(error);
    return end(500);
  }
}).listen(port, '127.0.0.1', () => console.log('listening'));
