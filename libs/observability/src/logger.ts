import { pino, type Logger as PinoLogger } from 'pino';

export type Logger = PinoLogger;

/**
 * One JSON line per unit of work on standard output. The message is constant, what varies are fields. Names that
 * could hold a secret are removed wherever they turn up: the last guard, not the first.
 */
export function createLogger(options: { level: string; process: string }): Logger {
  const output = pino.destination({ dest: 1, sync: false });
  const lines = new LineBuffer(output as unknown as Output);
  process.on('exit', () => flush(lines));
  return pino(
    {
      level: options.level,
      base: { process: options.process },
      timestamp: pino.stdTimeFunctions.isoTime,
      serializers: { err: toldOf },
      formatters: { level: (label) => ({ level: label }), bindings: withoutSecrets, log: withoutSecrets },
    },
    lines,
  );
}

/** What pino.destination makes, as far as it is used here: it writes at once what is as long as `minLength`, and keeps the rest. */
interface Output {
  minLength: number;
  write(text: string): unknown;
  flushSync(): void;
}

const TOGETHER_LENGTH = 8192;
const TOGETHER_MS = 50;

/**
 * Lines go out together, 8 KiB or 50 ms of them: a write of its own for each cost a tenth of an api's or a worker's time. What is
 * left is written at exit; only kill -9 can lose it. pino's destination can gather too, and measures all that it has
 * gathered with each line that comes: a tenth of what a worker allocated.
 */
export class LineBuffer {
  private text = '';
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly output: Output) {}

  write(line: string): void {
    this.text += line;
    if (this.text.length >= TOGETHER_LENGTH) this.flush();
    else this.timer ??= setTimeout(() => this.flush(), TOGETHER_MS);
  }

  flush(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    const { text } = this;
    this.text = '';
    if (text !== '') this.output.write(text);
  }

  /** For the end of the process, and for pino at a fatal line. What were on its way to the output would not arrive any more. */
  flushSync(): void {
    const { minLength } = this.output;
    this.output.minLength = Infinity;
    this.flush();
    this.output.flushSync();
    this.output.minLength = minLength;
  }
}

const SECRET_NAMES = new Set(['authorization', 'secret', 'secrets', 'key', 'parameters']);
const REMOVED = '[removed]';

/**
 * A line's fields, and those within its objects. By hand: pino's own redaction takes a third of the time of a line, and each
 * attempt writes one.
 */
export function withoutSecrets(fields: Record<string, unknown>): Record<string, unknown> {
  let clean = fields;
  for (const name in fields) {
    const value = fields[name];
    let kept: unknown = value;
    if (SECRET_NAMES.has(name)) kept = REMOVED;
    else if (isPlain(value)) kept = withoutOwnSecrets(value);
    if (kept === value) continue;
    if (clean === fields) clean = { ...fields };
    clean[name] = kept;
  }
  return clean;
}

function withoutOwnSecrets(fields: Record<string, unknown>): Record<string, unknown> {
  const found = Object.keys(fields).filter((name) => SECRET_NAMES.has(name));
  return found.length === 0
    ? fields
    : { ...fields, ...Object.fromEntries(found.map((name) => [name, REMOVED])) };
}

/** Errors have a serializer of their own, which takes what it names and nothing else. */
function isPlain(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !(value instanceof Error) && !Array.isArray(value);
}

/** An error as a line may have it: PostgreSQL's `detail` prints rows, and drivers hang the whole query on theirs. */
function toldOf(error: unknown, depth = 0): unknown {
  if (!(error instanceof Error)) return typeof error === 'string' ? error.slice(0, 500) : typeof error;
  const { code, constraint, table } = error as { code?: unknown; constraint?: unknown; table?: unknown };
  const cause = error.cause === undefined || depth >= 3 ? undefined : toldOf(error.cause, depth + 1);
  return { type: error.name, message: error.message, code, constraint, table, stack: error.stack, cause };
}

function flush(lines: LineBuffer): void {
  try {
    lines.flushSync();
  } catch {
    // Not opened yet, or the reader is gone: there is nobody to tell.
  }
}
