// The token that every push to APNs carries: signed by the developer account's key, no older than an hour, and not renewed too often.
import { SignJWT } from 'jose';
import type { Clock } from '../../runtime/clock.ts';
import { limits } from '../../runtime/limits.ts';
import type { MakeToken } from '../credential.ts';
import { type ApnsSettings, signingKeyOf } from './apns-settings.ts';

/** https://developer.apple.com/documentation/usernotifications/establishing-a-token-based-connection-to-apns */
export function apnsTokens(settings: ApnsSettings, clock: Clock): MakeToken {
  const key = signingKeyOf(settings);
  return async () => {
    const nowMs = clock.now();
    const token = await new SignJWT()
      .setProtectedHeader({ alg: 'ES256', kid: settings.keyId })
      .setIssuer(settings.teamId)
      .setIssuedAt(Math.floor(nowMs / 1000))
      .sign(key);
    return { token, renewAtMs: nowMs + limits.apnsTokenMs, endsAtMs: nowMs + limits.apnsTokenEndMs };
  };
}
