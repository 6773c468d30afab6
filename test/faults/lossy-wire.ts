import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import type { Random } from '@app/domain';
import type { FaultContext } from './fault-context.js';

/** A wire that loses packets, as programs see that: TCP sends each again, later each time, and what follows waits for it. */
export interface LossyWire {
  readonly port: number;
  /** Packets that were lost. */
  readonly lost: number;
  /** Pieces that were sent. */
  readonly sent: number;
  /** Connections that were given up because too much of them was lost. */
  readonly broken: number;
}

// What Linux waits before it sends again what nobody has acknowledged: 1 s for a SYN, 200 ms for data, doubled each time.
const SYN_AGAIN_MS = 1000;
const DATA_AGAIN_MS = 200;
// Linux goes on for 15 rounds; nobody who is tested here waits that long.
const ROUNDS_MAX = 7;

/** A proxy of our own, because losing real packets needs rights and kernel modules that not every machine has. */
export async function startLossyWire(
  context: FaultContext,
  target: number,
  loss: number,
): Promise<LossyWire> {
  const { random } = context;
  const sockets = new Set<Socket>();
  const counts = { lost: 0, sent: 0, broken: 0 };

  /** How long a packet takes that may get lost; null when it never arrives. */
  function delayOf(firstMs: number, chance: Random): number | null {
    counts.sent++;
    let delayMs = 0;
    for (let round = 0; round < ROUNDS_MAX; round++) {
      if (chance.next() >= loss) return delayMs;
      counts.lost++;
      delayMs += firstMs * 2 ** round;
    }
    return null;
  }

  function carry(near: Socket): void {
    const far = connect({ port: target, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
    for (const [one, other] of [
      [near, far],
      [far, near],
    ]) {
      sockets.add(one);
      one.on('error', () => other.destroy()).on('close', () => sockets.delete(one));
    }
    const giveUp = (): void => {
      counts.broken++;
      near.destroy();
      far.destroy();
    };
    // The handshake is the kernel's: that its packets were lost is made up for before the first byte passes.
    const opened = delayOf(SYN_AGAIN_MS, random);
    if (opened === null) return giveUp();
    forward(near, far, opened);
    forward(far, near, 0);

    function forward(from: Socket, to: Socket, firstMs: number): void {
      let freeAt = performance.now() + firstMs;
      const later = (step: () => unknown): void => {
        const delayMs = delayOf(DATA_AGAIN_MS, random);
        if (delayMs === null) return giveUp();
        freeAt = Math.max(freeAt, performance.now()) + delayMs;
        const timer = setTimeout(() => to.destroyed || step(), freeAt - performance.now());
        to.once('close', () => clearTimeout(timer));
      };
      from.on('data', (chunk: Buffer) => later(() => to.write(chunk)));
      from.on('end', () => later(() => to.end()));
      from.on('close', () => from.readableEnded || to.destroy());
    }
  }

  const server = await context.own(
    async () => {
      const it = createServer({ allowHalfOpen: true, noDelay: true }, carry);
      await new Promise<void>((resolve) => it.listen({ port: 0, host: '127.0.0.1', backlog: 4096 }, resolve));
      return it;
    },
    (it) => {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => it.close(resolve));
    },
  );
  return {
    port: (server.address() as AddressInfo).port,
    get lost() {
      return counts.lost;
    },
    get sent() {
      return counts.sent;
    },
    get broken() {
      return counts.broken;
    },
  };
}
