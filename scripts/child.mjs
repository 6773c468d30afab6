import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { environment, inRepository } from './paths.mjs';

/**
 * Runs a program to its end with our terminal, and answers its exit code (128 + n when signal n ended it).
 * Ctrl-C reaches the whole process group, so the child may get a signal twice: from the terminal and from us. We pass
 * each kind on once (who signals only us expects it) and never end before the child: it may be draining.
 */
export function runJob(program, args, extra) {
  const child = spawn(program, args, { cwd: inRepository('.'), env: environment(extra), stdio: 'inherit' });
  passSignalsOn(child);
  endWithNpm(child);
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => resolve(code ?? 128 + constants.signals[signal]));
  });
}

/** Runs a program and answers `{ code, output }`; nothing is shown, so that what goes well is silent. */
export function runQuietly(program, args, env, onStart) {
  const child = spawn(program, args, { cwd: inRepository('.'), env, stdio: ['ignore', 'pipe', 'pipe'] });
  passSignalsOn(child);
  if (child.pid !== undefined) onStart(child.pid);
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text) => (output += text));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve({ code: code ?? signal, output }));
  });
}

function passSignalsOn(child) {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    const passOn = () => child.kill(signal);
    const ignore = () => {};
    process.once(signal, passOn).on(signal, ignore);
    child.once('exit', () => process.off(signal, passOn).off(signal, ignore));
  }
}

// kill -9 of `npm start` tells us nothing; without this the job would go on, unseen, and keep its port.
function endWithNpm(child) {
  const parent = process.ppid;
  if (process.env.npm_lifecycle_event === undefined || parent === 1) return;
  const watch = setInterval(() => {
    if (process.ppid !== parent) child.kill('SIGTERM');
  }, 500);
  child.once('exit', () => clearInterval(watch));
}
