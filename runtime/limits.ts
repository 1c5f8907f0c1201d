// Every bound of the mesh, named with its unit; nothing grows past what stands in runtime/limits/.
import { accessLimits } from './limits/access.ts';
import { clusterLimits } from './limits/cluster.ts';
import { edgeLimits } from './limits/edge.ts';
import { eventLogLimits } from './limits/event-log.ts';
import { httpCallsLimits } from './limits/http-calls.ts';
import { ingestLimits } from './limits/ingest.ts';
import { linksLimits } from './limits/links.ts';
import { portsLimits } from './limits/ports.ts';
import { processLimits } from './limits/process.ts';
import { providersLimits } from './limits/providers.ts';
import { pushLimits } from './limits/push.ts';
import { receiptsLimits } from './limits/receipts.ts';
import { routerLimits } from './limits/router.ts';
import { stackLimits } from './limits/stack.ts';
import { storageLimits } from './limits/storage.ts';

export const limits = {
  ...storageLimits,
  ...stackLimits,
  ...portsLimits,
  ...linksLimits,
  ...ingestLimits,
  ...routerLimits,
  ...edgeLimits,
  ...providersLimits,
  ...pushLimits,
  ...httpCallsLimits,
  ...receiptsLimits,
  ...processLimits,
  ...eventLogLimits,
  ...clusterLimits,
  ...accessLimits,
} as const;
