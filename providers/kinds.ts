// Every kind of provider that can be configured.
import { z } from 'zod';
import { Channel } from '../gen/carillon/v1/notification_pb.ts';
import type { Database } from '../storage/database.ts';
import { apnsKind } from './apns/apns.ts';
import { fcmKind } from './fcm/fcm.ts';
import type { ProviderKind } from './kind.ts';
import { sandboxProvider } from './sandbox.ts';
import { sendgridKind } from './sendgrid/sendgrid.ts';
import { sesKind } from './ses/ses.ts';
import { smtpKind } from './smtp-kind.ts';
import { termiiKind } from './termii/termii.ts';
import { twilioKind } from './twilio/twilio.ts';
import { vonageKind } from './vonage/vonage.ts';
import { webPushKind } from './web-push/web-push.ts';
import { webhookKind } from './webhook/webhook.ts';

const channels = [Channel.PUSH, Channel.EMAIL, Channel.SMS] as const;

/** Those of services outside, by channel. */
export const providerKinds: readonly ProviderKind[] = [
  fcmKind,
  apnsKind,
  webPushKind,
  smtpKind,
  sesKind,
  sendgridKind,
  twilioKind,
  termiiKind,
  vonageKind,
  ...channels.map(webhookKind),
];

const nothing = z.strictObject({});

/** The sandbox of each channel, which keeps in `db` what it takes. */
export const sandboxKinds = (db: Database): readonly ProviderKind[] =>
  channels.map((channel) => ({
    kind: 'sandbox',
    channel,
    settings: nothing,
    environment: {},
    secrets: [],
    open: ({ name }) => sandboxProvider({ db, channel, name }),
  }));
