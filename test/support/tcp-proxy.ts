import { once } from 'node:events';
import { createServer, connect, type AddressInfo, type Socket } from 'node:net';

export interface Weather {
  /** Added to each piece of data, in each direction. */
  latencyMs: number;
  /** Of each direction of each connection; null: as fast as it comes. */
  bytesPerSecond: number | null;
  /** Nothing passes, nobody is told, as behind a cut cable; what was sent meanwhile arrives when it is mended. */
  cut: boolean;
  /** New connections are refused (reset at once). */
  refuse: boolean;
}

/** A wire between a program and a server on this machine, with weather. It changes no byte and loses none. */
export interface TcpProxy {
  readonly port: number;
  /** The connection string or URL of the server, by way of this wire. */
  urlOf(serverUrl: string): string;
  /** Changes what is given, for data that arrives from now on. */
  set(weather: Partial<Weather>): void;
  /** Ends every connection with a reset. Answers how many there were. */
  reset(): number;
  /** The connections of this moment are dead for ever, and neither side hears of it; new ones work. */
  silence(): number;
  /** Where connections from now on lead: the server has moved. */
  leadTo(port: number): void;
  readonly connections: number;
  stop(): Promise<void>;
}

const FAIR: Weather = { latencyMs: 0, bytesPerSecond: null, cut: false, refuse: false };

export async function startTcpProxy(port: number, weather: Partial<Weather> = {}): Promise<TcpProxy> {
  const now: Weather = { ...FAIR, ...weather };
  const wires = new Set<Wire>();
  let target = port;

  // Each side may end its half by itself, as on a real wire.
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (near) => {
    if (now.refuse) return reset(near.on('error', () => undefined));
    const far = connect({ port: target, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
    const wire = new Wire(near, far, now);
    wires.add(wire);
    void wire.ended.then(() => wires.delete(wire));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const own = (server.address() as AddressInfo).port;

  return {
    port: own,
    urlOf: (serverUrl) => {
      const url = new URL(serverUrl);
      url.hostname = '127.0.0.1';
      url.port = String(own);
      return url.href;
    },
    set: (change) => {
      Object.assign(now, change);
      for (const wire of wires) wire.weatherChanged();
    },
    reset: () => {
      const count = wires.size;
      for (const wire of wires) wire.reset();
      return count;
    },
    silence: () => {
      const count = wires.size;
      for (const wire of wires) wire.silence();
      return count;
    },
    leadTo: (elsewhere) => (target = elsewhere),
    get connections() {
      return wires.size;
    },
    stop: async () => {
      for (const wire of wires) wire.reset();
      server.close();
      await once(server, 'close');
    },
  };
}

/** Two sockets and what is on its way between them. */
class Wire {
  readonly ended: Promise<void>;
  private readonly lines: Line[];
  private silent = false;

  constructor(
    private readonly near: Socket,
    private readonly far: Socket,
    weather: Weather,
  ) {
    const isDead = (): boolean => this.silent || weather.cut;
    this.lines = [new Line(near, far, weather, isDead), new Line(far, near, weather, isDead)];
    // One side that breaks breaks the other, unless the wire is dead: then nobody hears of it.
    for (const [one, other] of [
      [near, far],
      [far, near],
    ])
      one.on('error', () => isDead() || reset(other));
    this.ended = Promise.all([closed(near), closed(far)]).then(() => undefined);
  }

  weatherChanged(): void {
    for (const line of this.lines) line.forward();
  }

  reset(): void {
    reset(this.near);
    reset(this.far);
  }

  silence(): void {
    this.silent = true;
  }
}

/**
 * Node refuses to reset a socket that is still writing its end (EINVAL), and then leaves it open for ever: its handle
 * spins and keeps the process from ending. Such a one is closed.
 */
function reset(socket: Socket): void {
  if (socket.writableFinished || (!socket.writableEnded && socket.writableLength === 0))
    socket.resetAndDestroy();
  else socket.destroy();
}

/** Also after an error: `once` would reject with it. */
function closed(socket: Socket): Promise<unknown> {
  return new Promise((resolve) => socket.once('close', resolve));
}

interface Piece {
  readonly dueAt: number;
  /** Null: the sender has ended its half. */
  readonly data: Buffer | null;
}

/** One direction. Pieces leave in the order in which they came, none before it is due. */
class Line {
  private readonly pieces: Piece[] = [];
  private freeAt = 0;
  private timer: NodeJS.Timeout | undefined;

  constructor(
    from: Socket,
    private readonly to: Socket,
    private readonly weather: Weather,
    private readonly isDead: () => boolean,
  ) {
    from.on('data', (data: Buffer) => this.take(data));
    from.on('end', () => this.take(null));
    to.once('close', () => clearTimeout(this.timer));
  }

  forward(): void {
    clearTimeout(this.timer);
    while (this.pieces.length > 0 && !this.isDead()) {
      const waitMs = this.pieces[0].dueAt - performance.now();
      if (waitMs > 0) {
        this.timer = setTimeout(() => this.forward(), waitMs);
        return;
      }
      const { data } = this.pieces.shift()!;
      if (this.to.destroyed) continue;
      if (data === null) this.to.end();
      else this.to.write(data);
    }
  }

  private take(data: Buffer | null): void {
    const { latencyMs, bytesPerSecond } = this.weather;
    const sendMs = bytesPerSecond === null || data === null ? 0 : (data.length / bytesPerSecond) * 1000;
    this.freeAt = Math.max(performance.now(), this.freeAt) + sendMs;
    this.pieces.push({ dueAt: this.freeAt + latencyMs, data });
    this.forward();
  }
}
