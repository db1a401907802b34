// An authorization server of oidc-provider's for the tests, on the port that is
// given, with a client for each kind of authentication.
//
// Besides the provider's own endpoints: /check answers 200 for a live token in
// Authorization and 401 for any other, which is what nginx's auth_request asks;
// POST /revoke-all revokes behind the client's back every token issued so far.
import { createServer } from 'node:http';
import Provider from 'oidc-provider';

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

const provider = new Provider(issuer, {
  clients: [client('basic', 'client_secret_basic'), client('post', 'client_secret_post')],
  scopes: ['api'],
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    introspection: { enabled: true, allowedPolicy: () => true },
    revocation: { enabled: true, allowedPolicy: () => true },
  },
  ttl: { ClientCredentials: 3600 },
});

const issued = new Set();
provider.on('client_credentials.saved', (token) => issued.add(token));

async function live(request) {
  const value = (request.headers.authorization ?? '').replace(/^Bearer /, '');
  const token = value && (await provider.ClientCredentials.find(value));
  return Boolean(token && token.isValid);
}

async function revokeAll() {
  for (const token of issued) await token.destroy();
  issued.clear();
}

const handle = provider.callback();
createServer(async (request, response) => {
  const end = (status) => response.writeHead(status).end();
  try {
    if (request.url === '/check') return end((await live(request)) ? 200 : 401);
    if (request.url === '/revoke-all') return await revokeAll(), end(204);
    if (request.url === '/issued') return response.end(String(issued.size));
    return handle(request, response);
  } catch (error) {
    console.error(error);
    return end(500);
  }
}).listen(port, '127.0.0.1', () => console.log('listening'));
