// Names in the environment that begin like settings and are none: the tools around the mesh read them, a start leaves them alone.

/** With what each is for. */
export const toolNames: Readonly<Record<string, string>> = {
  CARILLON_TOKEN: 'For commands: the token or API key to call with.',
  CARILLON_API_KEY: 'For commands: the API key to call with, where no token is given.',
  CARILLON_WEBHOOK_URL: 'For `carillon providers set webhook --from-env`: where messages go.',
  CARILLON_WEBHOOK_SECRETS: 'For the same: what they are signed with.',
  CARILLON_WEBHOOK_ALLOW_PRIVATE: 'For the same: `true` lets them go to addresses that are not public.',
  CARILLON_CACHE_DIR: 'Where `npm run stack` keeps the programs that it fetched.',
  CARILLON_COMPOSE_POSTGRES_PORT: 'The port of PostgreSQL in `deploy/compose.yaml`.',
  CARILLON_COMPOSE_KAFKA_PORT: 'The port of Kafka there.',
  CARILLON_COMPOSE_REDIS_PORT: 'The port of Redis there.',
};
