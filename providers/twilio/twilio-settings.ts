// The settings of Twilio: an account, a token or an API key, and one sender.
import { z } from 'zod';
import { baseUrl, secret } from '../settings.ts';

export const twilioSettings = z
  .strictObject({
    accountSid: z.string().regex(/^AC[0-9a-fA-F]{32}$/, 'must look like AC and 32 hexadecimal digits'),
    /** Signs receipts; also the password, unless there is an API key. */
    authToken: secret,
    apiKeySid: z
      .string()
      .regex(/^SK[0-9a-fA-F]{32}$/, 'must look like SK and 32 hexadecimal digits')
      .optional(),
    apiKeySecret: secret.optional(),
    /** A number, a short code, or up to 11 letters and digits. */
    from: z
      .string()
      .regex(/^(\+[1-9]\d{6,14}|\d{3,8}|[A-Za-z0-9 ]{1,11})$/, 'must be a number or a sender name')
      .optional(),
    messagingServiceSid: z
      .string()
      .regex(/^MG[0-9a-fA-F]{32}$/, 'must look like MG and 32 hexadecimal digits')
      .optional(),
    baseUrl: baseUrl('https://api.twilio.com'),
  })
  .refine(({ from, messagingServiceSid }) => (from === undefined) !== (messagingServiceSid === undefined), {
    error: 'needs one of from and messagingServiceSid',
  })
  .refine(({ apiKeySid, apiKeySecret }) => (apiKeySid === undefined) === (apiKeySecret === undefined), {
    error: 'needs both of apiKeySid and apiKeySecret, or none',
  });

export type TwilioSettings = z.infer<typeof twilioSettings>;
