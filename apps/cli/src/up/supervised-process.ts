import { fork, type ChildProcess } from 'node:child_process';
import { closeSync } from 'node:fs';
import { CliError } from '../cli-error.js';
import { NODE_OPTIONS } from '../../../node-options.js';
import { LogFile } from './log-file.js';

export interface ProcessToRun {
  name: 'api' | 'worker';
  /** The compiled entry. */
  entry: string;
  env: NodeJS.ProcessEnv;
  logFile: string;
  /** The variable with its port: a restarted process gets the port that the first one took. */
  portVariable: string;
}

// Above the time a process may wait for its database.
const READY_MS = 60_000;
// What api and worker promise to need at most; deliveries that are still out then are taken over after the next start.
const DRAIN_MS = 20_000;
const RESTART_FIRST_MS = 500;
const RESTART_LAST_MS = 30_000;
// One that ran this long was well: its next death starts a new series.
const WELL_AFTER_MS = 60_000;

/** One of our own processes: started, started again when it dies, stopped in order. */
export class SupervisedProcess {
  private readonly log: LogFile;
  private child: ChildProcess | undefined;
  private restart: NodeJS.Timeout | undefined;
  private failures = 0;
  private stopping = false;

  constructor(
    private readonly what: ProcessToRun,
    private readonly say: (line: string) => void,
    private readonly onStarted: () => void,
  ) {
    this.log = new LogFile(what.logFile);
  }

  get pid(): number | undefined {
    return this.child?.pid;
  }

  /** Answers its port. @throws CliError when it ends before it is ready: nothing that a restart would mend. */
  async start(): Promise<number> {
    const port = await this.run();
    this.what.env = { ...this.what.env, [this.what.portVariable]: String(port) };
    return port;
  }

  /** SIGTERM, the time to drain, then SIGKILL. */
  async stop(): Promise<void> {
    this.stopping = true;
    clearTimeout(this.restart);
    const child = this.child;
    if (child !== undefined && isRunning(child)) {
      const gone = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGTERM');
      const overdue = setTimeout(() => {
        this.say(`${this.what.name} has not finished after ${DRAIN_MS / 1000} s and is killed`);
        child.kill('SIGKILL');
      }, DRAIN_MS);
      await gone;
      clearTimeout(overdue);
    }
    this.log.close();
  }

  private run(): Promise<number> {
    const startedAt = performance.now();
    const output = this.log.open();
    // A session of its own: the terminal's Ctrl-C reaches it through us only, after which it drains before its database
    // goes. The channel: when we are killed it closes, and the child drains then, too.
    const child = fork(this.what.entry, [], {
      env: this.what.env,
      execArgv: [...NODE_OPTIONS[this.what.name]],
      detached: true,
      stdio: ['ignore', output, output, 'ipc'],
    });
    closeSync(output);
    this.child = child;
    this.onStarted();

    return new Promise((resolve, reject) => {
      let isReady = false;
      const overdue = setTimeout(() => child.kill('SIGKILL'), READY_MS);
      child.on('message', (message: { type?: string; port?: number }) => {
        if (message.type !== 'ready' || typeof message.port !== 'number') return;
        isReady = true;
        clearTimeout(overdue);
        resolve(message.port);
      });
      child.once('error', (error) =>
        reject(new CliError(`${this.what.name} cannot be started: ${error.message}`)),
      );
      child.once('exit', (code, signal) => {
        clearTimeout(overdue);
        const end = `${this.what.name} ended (${signal ?? `exit ${code}`})`;
        if (!isReady) reject(new CliError(`${end} before it was ready. ${this.lastWords()}`));
        else if (!this.stopping) this.runAgain(end, performance.now() - startedAt > WELL_AFTER_MS);
      });
    });
  }

  private runAgain(why: string, wasWell: boolean): void {
    this.failures = wasWell ? 1 : this.failures + 1;
    const delayMs = Math.min(RESTART_FIRST_MS * 2 ** (this.failures - 1), RESTART_LAST_MS);
    this.say(`${why}; starting it again in ${delayMs / 1000} s (see ${this.what.logFile})`);
    this.restart = setTimeout(() => {
      this.run().then(
        () => this.say(`${this.what.name} runs again`),
        (error: Error) => this.stopping || this.runAgain(error.message, false),
      );
    }, delayMs);
  }

  private lastWords(): string {
    const lines = this.log.lastLines();
    return lines === ''
      ? `It said nothing in ${this.what.logFile}.`
      : `Its last lines in ${this.what.logFile}:\n${lines}`;
  }
}

function isRunning(child: ChildProcess): boolean {
  return child.pid !== undefined && child.exitCode === null && child.signalCode === null;
}
