// The settings of Vonage: a key, and a secret that is sent or one that signs.
import { z } from 'zod';
import { baseUrl, secret } from '../settings.ts';
import { vonageMethods } from './vonage-signature.ts';

export const vonageSettings = z
  .strictObject({
    apiKey: secret,
    /** Goes out with each message; absent: messages are signed instead. */
    apiSecret: secret.optional(),
    /** Signs what Vonage calls back with; absent: nothing it calls with is believed. */
    signatureSecret: secret.optional(),
    signatureMethod: z.enum(vonageMethods).optional(),
    /** A number without +, or up to 11 letters and digits. */
    from: z.string().regex(/^(\d{3,15}|[A-Za-z0-9 ]{1,11})$/, 'must be a number without + or a sender name'),
    baseUrl: baseUrl('https://rest.nexmo.com'),
  })
  .refine(({ apiSecret, signatureSecret }) => apiSecret !== undefined || signatureSecret !== undefined, {
    error: 'needs one of apiSecret and signatureSecret',
  })
  .refine(
    ({ signatureSecret, signatureMethod }) =>
      (signatureSecret === undefined) === (signatureMethod === undefined),
    { error: 'needs both of signatureSecret and signatureMethod, or none' },
  );

export type VonageSettings = z.infer<typeof vonageSettings>;
