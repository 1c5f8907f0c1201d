// The settings of Amazon SES: a region, credentials that may send, a sender, and the topic whose receipts are believed.
import { z } from 'zod';
import { isBaseUrl, mailSender, secret } from '../settings.ts';

export const sesSettings = z
  .strictObject({
    region: z.string().regex(/^[a-z]{2}(-[a-z]+){1,3}-\d$/, 'must be a region, such as eu-west-1'),
    accessKeyId: secret,
    secretAccessKey: secret,
    sessionToken: z
      .string()
      .regex(/^[\x21-\x7e]{1,4096}$/)
      .optional(),
    from: mailSender,
    /** Its event destination is the topic. */
    configurationSet: z
      .string()
      .regex(/^[\w-]{1,64}$/, 'must be a configuration set')
      .optional(),
    /** The SNS topic whose messages are believed; absent: none are. */
    topicArn: z
      .string()
      .regex(/^arn:aws[\w-]*:sns:[a-z0-9-]+:\d{12}:[\w-]{1,256}(\.fifo)?$/, 'must be the ARN of an SNS topic')
      .optional(),
    /** The region's own when absent. */
    baseUrl: z
      .string()
      .refine(isBaseUrl, 'must be an https URL, or http on loopback, without query')
      .optional(),
  })
  .transform(({ baseUrl: given, ...rest }) => ({
    ...rest,
    baseUrl: given ?? `https://email.${rest.region}.amazonaws.com`,
  }));

export type SesSettings = z.infer<typeof sesSettings>;
