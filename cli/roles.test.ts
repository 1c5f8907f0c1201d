// Roles that run apart are refused when they could not find one another, and the sentence says what is missing.
import { expect, test } from 'vitest';
import { resolveConfig } from '../runtime/config-load.ts';
import { checkRoles, parseRoles } from './roles.ts';

const POSTGRES = { CARILLON_POSTGRES_URL: 'postgres://h/d' };
const OPEN = { CARILLON_HOST: '0.0.0.0', CARILLON_JWT_SECRET: 'x'.repeat(32) };
const SECRET = { CARILLON_CLUSTER_SECRET: 'x'.repeat(32) };
const REDIS = { CARILLON_REDIS_URL: 'redis://h' };

test.each([
  ['ingest,router,edge,providers', {}, undefined],
  ['ingest', POSTGRES, undefined],
  ['providers', POSTGRES, undefined],
  ['edge,router', POSTGRES, undefined],
  ['edge', { ...POSTGRES, ...REDIS }, undefined],
  ['ingest', {}, /needs CARILLON_POSTGRES_URL/],
  ['edge', POSTGRES, /needs CARILLON_REDIS_URL/],
  ['ingest,router', POSTGRES, /needs CARILLON_REDIS_URL/],
  ['ingest,edges', POSTGRES, /edges is not a role; did you mean edge\?/],
  ['everything', POSTGRES, /everything is not a role; there are ingest, router, edge, providers/],
  ['', POSTGRES, /Say which roles/],
  ['edge', { ...POSTGRES, ...REDIS, ...OPEN }, /need CARILLON_CLUSTER_SECRET, .* or CARILLON_TLS_CA/],
  ['ingest,router,edge,providers', { ...POSTGRES, ...REDIS, ...OPEN }, /need CARILLON_CLUSTER_SECRET/],
  ['edge', { ...POSTGRES, ...REDIS, ...OPEN, ...SECRET }, /with CARILLON_EDGE_ADVERTISE where/],
  ['router', { ...POSTGRES, ...REDIS, ...OPEN, ...SECRET }, undefined],
  ['edge', { ...POSTGRES, ...REDIS, ...OPEN, ...SECRET, CARILLON_EDGE_ADVERTISE: 'e1:7201' }, undefined],
  ['edge', { ...POSTGRES, ...REDIS, ...OPEN, ...SECRET, CARILLON_HOST: 'e1.internal' }, undefined],
  ['ingest', { ...POSTGRES, ...REDIS, ...OPEN }, undefined],
  ['ingest,router,edge,providers', { ...POSTGRES, ...OPEN }, undefined],
])('serve %s with %o', (roles, environment, refused) => {
  const check = () =>
    checkRoles(parseRoles(roles.split(',').filter(Boolean)), resolveConfig({ environment }).config);
  if (refused) expect(check).toThrow(refused);
  else check();
});
