import { pino, type Logger as PinoLogger } from 'pino';

export type Logger = PinoLogger;

/**
 * One JSON line per unit of work on standard output. The message is constant, what varies are fields. Names that
 * could hold a secret are removed wherever they turn up: the last guard, not the first.
 */
export function createLogger(options: { level: string; process: string }): Logger {
  return pino({
    level: options.level,
    base: { process: options.process },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    redact: {
      paths: ['authorization', '*.authorization', 'secret', '*.secret', 'secrets', '*.secrets', 'key', '*.key', 'parameters', '*.parameters'],
      censor: '[removed]',
    },
  });
}
