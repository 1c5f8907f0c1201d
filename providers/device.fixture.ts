// Devices for tests of push providers.
import { Platform } from '../gen/carillon/v1/edge_pb.ts';
import type { DestinationAddress } from '../storage/addresses.ts';

export type DeviceAddress = Extract<DestinationAddress, { kind: 'device' }>;

export const device = (
  token: string,
  platform: Platform = Platform.ANDROID,
  registeredAtMs = 0,
): DeviceAddress => ({ kind: 'device', deviceId: 'device-1', platform, token, registeredAtMs });
