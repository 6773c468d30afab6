import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

/**
 * One set-up at a time in a working copy, so that `npm start` and `npm test` begun together do not delete each
 * other's packages. The lock is a file that names its holders; the lock of dead holders is anybody's.
 * `work` gets a function that makes a child process a holder too: npm goes on when only we are killed.
 */
export async function withLock(path, work) {
  await take(path);
  const alsoHeldBy = (pid) => {
    writeFileSync(`${path}.${process.pid}`, `${holderId(process.pid)}\n${holderId(pid)}`);
    renameSync(`${path}.${process.pid}`, path);
  };
  try {
    return await work(alsoHeldBy);
  } finally {
    rmSync(path, { force: true });
  }
}

async function take(path) {
  const draft = `${path}.${process.pid}`;
  writeFileSync(draft, holderId(process.pid));
  try {
    for (let waited = false; ; waited = true) {
      try {
        // A link appears with its content or not at all: no moment in which the lock exists and names nobody.
        linkSync(draft, path);
        return;
      } catch (error) {
        if (error.code !== 'EEXIST') throw error;
      }
      const holder = read(path);
      if (holder === holderId(process.pid)) return;
      if (holder !== undefined && !isAlive(holder)) removeAbandoned(path, holder);
      else {
        if (!waited) console.error('Another command is installing or building here; waiting for it …');
        await delay(200);
      }
    }
  } finally {
    rmSync(draft, { force: true });
  }
}

// Renamed, looked at, and only then deleted: in between a third command may have taken the lock anew.
function removeAbandoned(path, holder) {
  const aside = `${path}.abandoned.${process.pid}`;
  try {
    renameSync(path, aside);
    if (read(aside) !== holder) linkSync(aside, path);
  } catch {
    // Somebody else was faster; the next round sees the state as it is.
  } finally {
    rmSync(aside, { force: true });
  }
}

/** Pid and, where the system tells it, the time that process started: pids come again, the pair does not. */
function holderId(pid) {
  const [state, ...rest] =
    read(`/proc/${pid}/stat`)
      ?.replace(/^.*\) /, '')
      .split(' ') ?? [];
  const boot = read('/proc/sys/kernel/random/boot_id')?.trim();
  // A zombie holds nothing; in a container whose init reaps nobody it would hold it for ever.
  return `${pid} ${boot ?? ''} ${state === 'Z' ? 'ended' : (rest[18] ?? '')}`;
}

function isAlive(holders) {
  return holders.split('\n').some(isAliveHolder);
}

function isAliveHolder(holder) {
  const pid = Number(holder.split(' ')[0]);
  try {
    process.kill(pid, 0);
  } catch (error) {
    if (error.code !== 'EPERM') return false;
  }
  return holderId(pid) === holder;
}

function read(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
