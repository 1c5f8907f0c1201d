// Bounds of what goes to FCM, APNs and Web Push: connections, tokens, payloads.

export const pushLimits = {
  pushConnectMs: 10_000,
  /** Calls at once over one connection, if the service allows as many: more than all lanes of a provider have slots. */
  pushStreamsCount: 64,
  /** A connection from which nothing came for so long is pinged, and given up when the ping is not answered in time. */
  pushPingMs: 30_000,
  pushPongMs: 5_000,
  /** Connections opened for one call, when the service ends them before they can be used. */
  pushConnectsCount: 2,
  /** Unused for so long, a connection is closed. Apple takes frequent new ones for an attack, Google closes idle ones itself. */
  apnsIdleMs: 3_600_000,
  fcmIdleMs: 120_000,
  /** After a renewal that failed, while the credential at hand still holds. */
  credentialPauseMs: 10_000,
  /** One request for an access token. Google's last an hour and are renewed so long before their end. */
  fcmTokenMs: 10_000,
  fcmTokenAheadMs: 300_000,
  /** Apple refuses tokens older than an hour, and new ones more often than every 20 minutes: ours is renewed after 40. */
  apnsTokenMs: 2_400_000,
  apnsTokenEndMs: 3_300_000,
  /** RFC 8292 allows 24 h; renewed when three quarters are over. */
  vapidMs: 43_200_000,
  /** Push services that subscriptions name: each has its token, its breaker and its connections. Those used last stay. */
  webPushServicesCount: 128,
  webPushConnectionsCount: 16,
  /** The longest that FCM keeps a message, and the push services behind Web Push too: four weeks. */
  pushTtlSeconds: 2_419_200,
  /** How long a service keeps the message that takes another one back: the default life of a notification. */
  pushClearSeconds: 604_800,
  fcmPayloadBytes: 4_096,
  apnsPayloadBytes: 4_096,
  /** 4,096 bytes of RFC 8291 less its header (86), the delimiter (1) and the tag (16). */
  webPushPayloadBytes: 3_993,
  webPushEndpointBytes: 2_048,
  messageIdChars: 512,
} as const;
