// The settings of FCM: a service account's key as Google hands it out, and what devices get.
import { createPrivateKey } from 'node:crypto';
import { z } from 'zod';
import { baseUrl, isBaseUrl } from '../settings.ts';

function isRsaKey(pem: string): boolean {
  try {
    return createPrivateKey(pem).asymmetricKeyType === 'rsa';
  } catch {
    return false;
  }
}

const account = z.object({
  type: z.literal('service_account'),
  project_id: z.string().regex(/^[a-z0-9][a-z0-9.:-]{1,127}$/),
  private_key_id: z.string().max(256),
  private_key: z.string().refine(isRsaKey),
  client_email: z.string().min(3).max(320),
  token_uri: z.string().refine(isBaseUrl),
});

export type ServiceAccount = z.infer<typeof account>;

function accountOf(text: string): ServiceAccount | undefined {
  try {
    return account.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

export const fcmSettings = z.strictObject({
  /** The JSON file of a service account that may send messages, as text. */
  serviceAccount: z
    .string()
    .refine(
      (text) => accountOf(text) !== undefined,
      'must be the JSON of a service account with its RSA key',
    ),
  /** `both`: iOS devices whose tokens are FCM's too. */
  platforms: z.enum(['android', 'ios', 'both']).default('android'),
  /** `system`: Android shows the notification by itself. `app`: the app is told, and shows it. */
  display: z.enum(['system', 'app']).default('system'),
  baseUrl: baseUrl('https://fcm.googleapis.com'),
  /** Where access tokens come from, when not where the service account says. */
  tokenUrl: z
    .string()
    .refine(isBaseUrl, 'must be an https URL, or http on loopback, without query')
    .optional(),
});

export type FcmSettings = z.infer<typeof fcmSettings>;

/** Of settings that have passed. */
export const serviceAccountOf = ({ serviceAccount }: FcmSettings): ServiceAccount =>
  accountOf(serviceAccount)!;
