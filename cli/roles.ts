// The roles a process can take, and what the configuration must hold for those that were asked for.
import { type Config, isLoopback } from '../runtime/config.ts';
import { CarillonError } from '../runtime/errors.ts';
import { nearest } from '../runtime/nearest.ts';
import { usage } from './cli.ts';

export const roleNames = ['ingest', 'router', 'edge', 'providers'] as const;
export type Role = (typeof roleNames)[number];

export const allRoles: ReadonlySet<Role> = new Set(roleNames);

/** Reads `ingest,edge`. Throws USAGE. */
export function parseRoles(written: readonly string[]): ReadonlySet<Role> {
  const roles = new Set<Role>();
  for (const name of written) {
    const role = roleNames.find((each) => each === name);
    if (!role) {
      const meant = nearest(name, roleNames);
      throw usage(
        `${name} is not a role; ${meant ? `did you mean ${meant}?` : `there are ${roleNames.join(', ')}.`}`,
      );
    }
    roles.add(role);
  }
  if (roles.size === 0) throw usage(`Say which roles: ${roleNames.join(', ')}.`);
  return roles;
}

/** Stands for all addresses of this machine. */
const isWildcard = (host: string): boolean => /^(0\.0\.0\.0|::|0:0:0:0:0:0:0:0)$/.test(host);

/**
 * Throws CONFIG_INVALID when roles that run apart from others could not find one another, or when anybody who reaches this
 * machine could speak to an edge as if they were a router.
 */
export function checkRoles(roles: ReadonlySet<Role>, config: Config): void {
  const linked = config.redisUrl !== undefined && (roles.has('edge') || roles.has('router'));
  if (linked && !isLoopback(config.host) && !config.clusterSecret && !config.tlsCa)
    throw new CarillonError(
      'CONFIG_INVALID',
      `CARILLON_HOST is ${config.host}, which other machines may reach: the links between routers and edges need CARILLON_CLUSTER_SECRET, the same for all of them, or CARILLON_TLS_CA.`,
    );
  if (config.redisUrl && roles.has('edge') && isWildcard(config.host) && !config.edgeAdvertise)
    throw new CarillonError(
      'CONFIG_INVALID',
      `CARILLON_HOST is ${config.host}, which is no address to call: say with CARILLON_EDGE_ADVERTISE where routers reach the links of this edge.`,
    );
  if (roles.size === roleNames.length) return;
  const asked = [...roles].join(',');
  if (!config.postgresUrl)
    throw new CarillonError(
      'CONFIG_INVALID',
      `Serving ${asked} alone needs CARILLON_POSTGRES_URL: an embedded PostgreSQL belongs to one process, which then serves all roles.`,
    );
  if (roles.has('edge') !== roles.has('router') && !config.redisUrl)
    throw new CarillonError(
      'CONFIG_INVALID',
      `Serving ${asked} alone needs CARILLON_REDIS_URL: edge and router in different processes find one another there.`,
    );
}
