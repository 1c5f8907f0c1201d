// The same server, another database.

/** Replaces the database in a connection string of either form that `pg` takes: a URL's path, or `socket:…?db=`. */
export function databaseUrl(url: string, database: string): string {
  if (url.startsWith('socket:')) return url.replace(/([?&]db=)[^&]*/, `$1${database}`);
  const [rest, query] = url.split('?', 2);
  const replaced = `${rest!.slice(0, rest!.lastIndexOf('/'))}/${database}`;
  return query === undefined ? replaced : `${replaced}?${query}`;
}
