import { createHash } from 'node:crypto';

/** The server gets none of our environment: it has secrets in it, and PG* variables that would redirect it. */
export const SERVER_ENVIRONMENT: NodeJS.ProcessEnv = { PATH: '/usr/bin:/bin', LC_ALL: 'C' };

/** Shown in the command line of each of the server's processes, so that they can be told from other servers'. */
export function clusterName(dataDir: string): string {
  return `posthorn-${createHash('sha256').update(dataDir).digest('hex').slice(0, 16)}`;
}

/**
 * Given on the command line, not written to postgresql.conf: a new version of Posthorn changes them by
 * starting, and a cluster has no settings of its own that a bug report would have to mention.
 */
export function serverSettings(options: {
  port: number;
  logDir: string;
  durable: boolean;
}): Record<string, string> {
  return {
    listen_addresses: '127.0.0.1',
    port: String(options.port),
    // A socket path has a length limit (107 bytes) that a deep checkout exceeds; TCP on loopback has not.
    unix_socket_directories: '',
    password_encryption: 'scram-sha-256',
    timezone: 'UTC',
    log_timezone: 'UTC',
    jit: 'off',
    max_connections: '200',
    // One file per weekday, emptied when its day comes again; log-bound.ts bounds each.
    logging_collector: 'on',
    log_directory: options.logDir,
    log_filename: 'server-%a.log',
    log_rotation_age: '1d',
    log_rotation_size: '0',
    log_truncate_on_rotation: 'on',
    log_line_prefix: '%m [%p] %q%a ',
    // The detail of a constraint violation prints the row, and rows hold customers' payloads.
    log_error_verbosity: 'terse',
    log_parameter_max_length_on_error: '0',
    ...(options.durable ? DURABLE : THROW_AWAY),
  };
}

const DURABLE = {
  fsync: 'on',
  synchronous_commit: 'on',
  full_page_writes: 'on',
  shared_buffers: '256MB',
  max_wal_size: '2GB',
  // Every build has pglz; lz4 is not compiled into these binaries.
  wal_compression: 'pglz',
};

const THROW_AWAY = {
  fsync: 'off',
  synchronous_commit: 'off',
  full_page_writes: 'off',
  shared_buffers: '64MB',
  wal_level: 'minimal',
  max_wal_senders: '0',
};
