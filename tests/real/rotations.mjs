// What the kill tests ask of the provider besides OAuth: grants without a browser,
// the books of every rotation, and answers that are never sent.
//
// POST /seed stands for a person's consent: a grant, and its first refresh token.
// GET /rotations/GRANT tells what has become of it. After POST /withhold/GRANT the
// answer to its next rotation waits until whoever asked has gone.
import { once } from 'node:events';

const ID = 'rotating';
const SCOPE = 'openid offline_access api';

export const client = {
  client_id: ID,
  client_secret: `secret of ${ID}: +/%&=`,
  grant_types: ['authorization_code', 'refresh_token'],
  response_types: ['code'],
  redirect_uris: ['http://127.0.0.1:9/oauth/callback'],
  scope: SCOPE,
};

// So short that one rotation follows the other, and long enough for a busy machine to
// store a token while it lives.
export const accessTokenLife = (_context, _token, { clientId }) => (clientId === ID ? 3 : 3600);

// Gives what answers these requests; undefined for any other.
export function books(provider) {
  const grants = new Map();
  const withhold = new Set();

  provider.on('grant.success', ({ oidc: { params, entities } }) => {
    if (params.grant_type !== 'refresh_token') return;
    const { RotatedRefreshToken: old, RefreshToken: fresh } = entities;
    grants.get(fresh.grantId)?.rotations.push({ consumed: old.jti, issued: fresh.jti });
  });
  provider.on('grant.revoked', (_context, grantId) => {
    if (grants.has(grantId)) grants.get(grantId).revoked = true;
  });
  provider.use(async (context, next) => {
    await next();
    const grantId = context.oidc?.entities.RotatedRefreshToken?.grantId;
    if (!withhold.delete(grantId)) return;
    const grant = grants.get(grantId);
    grant.withholds = true;
    await once(context.req.socket, 'close');
    grant.withholds = false;
  });

  async function seed() {
    const grant = new provider.Grant({ accountId: 'ada', clientId: ID });
    grant.addOIDCScope(SCOPE);
    const grantId = await grant.save();
    const token = new provider.RefreshToken({
      accountId: 'ada',
      client: await provider.Client.find(ID),
      claims: {},
      grantId,
      gty: 'authorization_code',
      scope: SCOPE,
    });
    grants.set(grantId, { rotations: [], revoked: false, withholds: false });
    return { grant: grantId, refresh_token: await token.save() };
  }

  return async ({ method, url }) => {
    const [, what, grantId] = url.split('/');
    if (method === 'POST' && what === 'seed') return seed();
    if (method === 'POST' && what === 'withhold') return withhold.add(grantId), {};
    if (method === 'GET' && what === 'rotations') return grants.get(grantId);
    return undefined;
  };
}
