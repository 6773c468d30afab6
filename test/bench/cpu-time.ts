import { readdir, readFile } from 'node:fs/promises';

// USER_HZ: what the kernel counts in here, on every architecture that Node runs on.
const MS_PER_TICK = 10;

interface Process {
  parent: number;
  /** Its own, and that of its children that ended and were waited for. */
  cpuMs: number;
}

/**
 * The CPU time of a process and all below it, also of those that ended: the postmaster waits for its backends, so
 * those are in its own record. Null where there is no /proc.
 */
export async function cpuMsOf(roots: readonly number[]): Promise<number | null> {
  if (process.platform !== 'linux') return null;
  const all = await processes();
  let sum = 0;
  const below = [...roots];
  for (let pid = below.pop(); pid !== undefined; pid = below.pop()) {
    sum += all.get(pid)?.cpuMs ?? 0;
    for (const [child, { parent }] of all) if (parent === pid) below.push(child);
  }
  return sum;
}

async function processes(): Promise<Map<number, Process>> {
  const pids = (await readdir('/proc')).map(Number).filter((pid) => pid > 0);
  const read = await Promise.all(
    pids.map(async (pid) => {
      const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null);
      if (text === null) return [];
      // The name in parentheses may hold anything; proc(5) counts the state behind it as field 3.
      const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
      const ticks = fields.slice(11, 15).reduce((total, field) => total + Number(field), 0);
      return [[pid, { parent: Number(fields[1]), cpuMs: ticks * MS_PER_TICK }]] as const;
    }),
  );
  return new Map(read.flat());
}

/** The memory of one process that is in RAM; 0 where there is no /proc. */
export async function residentBytes(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(text)?.[1] ?? 0) * 1024;
}
