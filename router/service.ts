// Answers where users belong, where they are, and which edges and routers there are, as this process sees it.
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { durationFromMs, timestampFromMs } from '@bufbuild/protobuf/wkt';
import type { HandlerContext } from '@connectrpc/connect';
import type { EdgeLinks, HeldPresence } from '../cluster/edge-link.ts';
import type { Ownership } from '../cluster/ownership.ts';
import type { Presence, UserKey } from '../cluster/presence.ts';
import { edgesToAsk } from '../cluster/whom.ts';
import { Activity } from '../gen/carillon/v1/edge_pb.ts';
import {
  type GetPresenceResponse,
  GetPresenceResponseSchema,
  type ListEdgesResponse,
  ListEdgesResponseSchema,
  type LocateResponse,
  LocateResponseSchema,
  type PresentDeviceSchema,
  RouterService,
} from '../gen/carillon/v1/router_pb.ts';
import type { Authenticator } from '../runtime/authenticator.ts';
import { CarillonError } from '../runtime/errors.ts';
import { principalOf } from '../runtime/identity.ts';
import { type Mount, mount } from '../runtime/mount.ts';

export interface RouterServiceOptions {
  presence: Pick<Presence, 'locate' | 'leaseAgesMs'>;
  ownership: Pick<Ownership, 'view' | 'owner' | 'owners' | 'share'>;
  links: Pick<EdgeLinks, 'held' | 'linked' | 'viewOf'>;
  authenticator: Authenticator;
}

type Device = MessageInitShape<typeof PresentDeviceSchema>;

/** What an edge said of the user; `held` is undefined when it did not answer. */
interface Said {
  edge: string;
  held: HeldPresence | undefined;
  leaseAgeMs: number | undefined;
}

function locate({ ownership }: RouterServiceOptions, user: UserKey): LocateResponse {
  if (user.userId === '')
    throw new CarillonError('INVALID_REQUEST', undefined, {
      violations: [{ field: 'user_id', description: 'must name a user: the caller is none' }],
    });
  const { number, hash } = ownership.view;
  const { url, node } = ownership.owner(user) ?? {};
  return create(LocateResponseSchema, { url, node, view: { number, hash } });
}

const devicesOf = ({ edge, held, leaseAgeMs }: Said): Device[] =>
  (held?.streams ?? []).map(({ sessionId, deviceId, activity, openFor, lastAckAge }) => ({
    sessionId,
    deviceId,
    activity,
    openFor,
    lastAckAge,
    edge,
    leaseAge: leaseAgeMs === undefined ? undefined : durationFromMs(leaseAgeMs),
  }));

function bestOf(devices: readonly Device[]): Activity {
  if (devices.length === 0) return Activity.UNSPECIFIED;
  return devices.some(({ activity }) => activity === Activity.FOREGROUND)
    ? Activity.FOREGROUND
    : Activity.BACKGROUND;
}

/** Presence says which edges to ask; what counts is what they answer. */
async function presenceOf(options: RouterServiceOptions, user: UserKey): Promise<GetPresenceResponse> {
  const { presence, ownership, links } = options;
  const [where] = await presence.locate([user]);
  if (!where) throw new CarillonError('CLUSTER_UNAVAILABLE');
  const linked = links.linked();
  // One question for one user: here all linked edges may be asked.
  const asked = edgesToAsk(where, ownership.owners(user), linked, Number.POSITIVE_INFINITY);
  const [leaseAgesMs, answers] = await Promise.all([
    presence.leaseAgesMs(asked).catch(() => []),
    Promise.all(asked.map((edge) => links.held(edge, [user]))),
  ]);
  const said = asked.map((edge, at): Said => ({ edge, held: answers[at]?.[0], leaseAgeMs: leaseAgesMs[at] }));
  const devices = said.flatMap(devicesOf);
  // An edge that does not answer holds whom presence says it holds.
  const silent = said.filter(({ edge, held }) => !held && where.edges.includes(edge)).map(({ edge }) => edge);
  const vanishedMs = devices.length + silent.length > 0 ? undefined : where.vanishedAtMs;
  return create(GetPresenceResponseSchema, {
    edges: [...new Set([...devices.map(({ edge = '' }) => edge), ...silent])],
    devices,
    activity: bestOf(devices),
    known: where.known && silent.length === 0,
    vanishedAt: vanishedMs === undefined ? undefined : timestampFromMs(vanishedMs),
  });
}

function edgesOf({ ownership, links }: RouterServiceOptions): ListEdgesResponse {
  const { number, hash, members } = ownership.view;
  const linked = new Set(links.linked());
  return create(ListEdgesResponseSchema, {
    view: { number, hash },
    edges: members
      .filter(({ role }) => role === 'edge')
      .map(({ node, incarnation, address, url, weight, zone }) => ({
        node,
        incarnation,
        linkAddress: address,
        linked: linked.has(node),
        url,
        weight,
        zone,
        share: ownership.share(node),
        viewHash: links.viewOf(node),
      })),
    routers: members
      .filter(({ role }) => role === 'router')
      .map(({ node, incarnation, address, zone }) => ({ node, incarnation, address, zone })),
  });
}

export function routerMount(options: RouterServiceOptions): Mount {
  const about = (userId: string, context: HandlerContext): UserKey => {
    const caller = principalOf(context);
    return { tenant: caller.tenant, userId: userId || caller.userId };
  };
  return mount(
    RouterService,
    {
      locate: ({ userId }, context) => locate(options, about(userId, context)),
      getPresence: ({ userId }, context) => presenceOf(options, about(userId, context)),
      listEdges: () => edgesOf(options),
    },
    { authenticator: options.authenticator },
  );
}
