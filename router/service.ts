// Answers where users are and which edges there are.
import { create } from '@bufbuild/protobuf';
import type { EdgeLinks } from '../cluster/edge-link.ts';
import type { Membership } from '../cluster/membership.ts';
import type { Presence } from '../cluster/presence.ts';
import {
  GetPresenceResponseSchema,
  ListEdgesResponseSchema,
  RouterService,
} from '../gen/carillon/v1/router_pb.ts';
import { callerOf } from '../runtime/identity.ts';
import { type Mount, mount } from '../runtime/mount.ts';

export interface RouterServiceOptions {
  presence: Presence;
  membership: Membership;
  links: EdgeLinks;
}

export function routerMount({ presence, membership, links }: RouterServiceOptions): Mount {
  return mount(RouterService, {
    async getPresence({ userId }, { requestHeader }) {
      const { tenant } = callerOf(requestHeader);
      const [where] = await presence.locate([{ tenant, userId }]);
      return create(GetPresenceResponseSchema, { edges: [...(where?.edges ?? [])] });
    },
    async listEdges() {
      const linked = new Set(links.linked());
      const edges = await membership.edges();
      return create(ListEdgesResponseSchema, {
        edges: edges.map((edge) => ({ ...edge, linked: linked.has(edge.node) })),
      });
    },
  });
}
