// The event log's suite on a real Apache Kafka.
import { inject } from 'vitest';
import { silentLog } from '../runtime/log.ts';
import { eventLogContract } from './event-log.contract.ts';
import { KafkaEventLog } from './event-log.kafka.ts';

eventLogContract('Kafka', async () => {
  const { kafkaBrokers: brokers } = inject('stack');
  return {
    kind: 'kafka',
    url: brokers,
    open: () => new KafkaEventLog({ brokers, log: silentLog }),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
});
