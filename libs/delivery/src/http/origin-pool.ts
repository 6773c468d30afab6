import { Connection } from './connection.js';
import type { DialOptions, Origin } from './guarded-dial.js';

/** Is given a connection, which must come back through `release`. */
export interface Taker {
  onConnection(connection: Connection): void;
}

/**
 * The connections to one origin: as few as its requests in flight, never more than `bounds.connectionsMax`, the last used first
 * so that the rest can close. Who finds none free waits in line.
 */
export class OriginPool {
  private readonly idle: Connection[] = [];
  private readonly open = new Set<Connection>();
  private readonly line = new Set<Taker>();

  constructor(
    private readonly origin: Origin,
    private readonly dialOptions: DialOptions,
    private readonly bounds: { connectionsMax: number; ageMaxMs: number },
    private readonly onEmpty: (pool: OriginPool) => void,
  ) {}

  /** Calls `taker` at once or when a connection comes back. */
  take(taker: Taker): void {
    const connection = this.youngIdle();
    if (connection !== undefined) taker.onConnection(connection);
    else if (this.open.size < this.bounds.connectionsMax) taker.onConnection(this.opened());
    else this.line.add(taker);
  }

  leave(taker: Taker): void {
    this.line.delete(taker);
  }

  /**
   * `ended` as HTTP ends. Anything else is closed and never handed on. Closed too when it is old: its name may lead elsewhere
   * by now.
   */
  release(connection: Connection, ended: boolean): void {
    const reusable = ended && connection.reusable && this.isYoung(connection);
    if (!reusable) this.close(connection);
    const [next] = this.line;
    if (next !== undefined) {
      this.line.delete(next);
      next.onConnection(reusable ? connection : this.opened());
    } else if (reusable) {
      this.idle.push(connection);
    } else if (this.open.size === 0) {
      this.onEmpty(this);
    }
  }

  destroy(): void {
    for (const connection of this.open) connection.destroy();
    this.open.clear();
    this.idle.length = 0;
  }

  /** Some wait a minute for their next request. */
  private youngIdle(): Connection | undefined {
    let last = this.idle.pop();
    while (last !== undefined && !this.isYoung(last)) {
      this.close(last);
      last = this.idle.pop();
    }
    return last;
  }

  private isYoung(connection: Connection): boolean {
    return connection.ageMs() < this.bounds.ageMaxMs;
  }

  private close(connection: Connection): void {
    this.open.delete(connection);
    connection.destroy();
  }

  private opened(): Connection {
    const connection = new Connection(this.origin, this.dialOptions, (closed) => {
      // Closed while idle: by its time or by the peer. One that carries a request is released by that request.
      const at = this.idle.indexOf(closed);
      if (at < 0) return;
      this.idle.splice(at, 1);
      this.release(closed, false);
    });
    this.open.add(connection);
    return connection;
  }
}
