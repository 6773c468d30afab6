import { setTimeout as delay } from 'node:timers/promises';
import { isAlive, type ProcessMark } from './run-file.js';

// They drain for 20 s at most; after that they hang.
const LEAVE_MS = 25_000;
const LOOK_EVERY_MS = 100;

/** Api and worker of an `up` that was killed end by themselves, but hold its ports until then. */
export async function outwaitOrphans(orphans: ProcessMark[], say: (line: string) => void): Promise<void> {
  let left = await alive(orphans);
  if (left.length > 0) say(`an earlier run was killed; waiting for what it was doing (pid ${pids(left)})`);
  for (const end = Date.now() + LEAVE_MS; left.length > 0 && Date.now() < end; left = await alive(left))
    await delay(LOOK_EVERY_MS);
  for (const { pid } of left) kill(pid);
}

async function alive(marks: ProcessMark[]): Promise<ProcessMark[]> {
  const answers = await Promise.all(marks.map(isAlive));
  return marks.filter((_, at) => answers[at]);
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // Gone meanwhile; or another user's, and then its port is reported as taken.
  }
}

function pids(marks: ProcessMark[]): string {
  return marks.map(({ pid }) => pid).join(', ');
}
