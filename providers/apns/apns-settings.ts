// The settings of APNs: a signing key of the developer account, the app's topic, and which of Apple's two environments.
import { createPrivateKey, type KeyObject } from 'node:crypto';
import { z } from 'zod';
import { isBaseUrl } from '../settings.ts';

/** PEM whose line breaks may be written as `\n`, as environments often have them. */
function keyOf(text: string): KeyObject | undefined {
  try {
    const key = createPrivateKey(text.replaceAll('\\n', '\n'));
    return key.asymmetricKeyDetails?.namedCurve === 'prime256v1' ? key : undefined;
  } catch {
    return undefined;
  }
}

const tenLetters = z.string().regex(/^[A-Z0-9]{10}$/, 'must be 10 capital letters and digits');

export const apnsSettings = z.strictObject({
  /** The text of the .p8 file. */
  key: z
    .string()
    .refine((text) => keyOf(text) !== undefined, 'must be the text of a .p8 file: a P-256 key in PEM'),
  keyId: tenLetters,
  teamId: tenLetters,
  /** The app's bundle id. */
  topic: z.string().regex(/^[A-Za-z0-9.-]{1,255}$/, "must be the app's bundle id"),
  /** `sandbox`: builds for development. Tokens of one environment are none in the other. */
  environment: z.enum(['production', 'sandbox']).default('production'),
  /** Instead of Apple's address of the environment. */
  baseUrl: z
    .string()
    .refine(isBaseUrl, 'must be an https URL, or http on loopback, without query')
    .optional(),
});

export type ApnsSettings = z.infer<typeof apnsSettings>;

/** Of settings that have passed. */
export const signingKeyOf = ({ key }: ApnsSettings): KeyObject => keyOf(key)!;

/** https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns */
const addresses: Record<ApnsSettings['environment'], string> = {
  production: 'https://api.push.apple.com',
  sandbox: 'https://api.sandbox.push.apple.com',
};

export const apnsUrlOf = ({ baseUrl, environment }: ApnsSettings): string =>
  baseUrl ?? addresses[environment];
