// The lanes under the names by which limits of providers call them.
import { Lane } from '../gen/carillon/v1/notification_pb.ts';

export type LaneName = 'critical' | 'normal' | 'bulk';

export const laneNames: readonly LaneName[] = ['critical', 'normal', 'bulk'];

export function slotLane(lane: Lane): LaneName {
  if (lane === Lane.CRITICAL) return 'critical';
  return lane === Lane.BULK ? 'bulk' : 'normal';
}
