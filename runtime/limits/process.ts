// Bounds of a process: its start, its drain, its ops port, and the CLI.

export const processLimits = {
  // --- process
  /** How long a start waits for the event log before it serves without it. */
  startWaitMs: 15_000,
  /** What calls in flight get when their port closes. */
  portCloseMs: 5_000,
  /** Partitions ahead are looked after, and gauges set, this often. */
  partitionsMs: 3_600_000,
  gaugesMs: 5_000,

  // --- ops port
  readinessMs: 2_000,
  readinessAnswerMs: 1_500,
  opsRequestMs: 5_000,
  opsConnectionsCount: 100,

  // --- CLI
  /** From the first Ctrl-C to the end. */
  drainMs: 30_000,
  /** One Ctrl-C comes from the terminal and from what started us, npm among them: that is one, not two. */
  sameSignalMs: 300,
  demoStepMs: 20_000,
  /** What the demo's user is given to acknowledge before push, and before the step after it. */
  demoPushMs: 10_000,
  demoLastMs: 300_000,
  cliMessageBytes: 16_777_216,
  cliConnectMs: 10_000,
  /** Deliveries or dead letters that one command prints. */
  cliDeliveriesCount: 100_000,
  cliAckTries: 5,
  /** Items of one Ack: as many traceparents as it takes. */
  cliAckItems: 100,
  reconnectMinMs: 250,
  reconnectMaxMs: 15_000,
} as const;
