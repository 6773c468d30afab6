/** Redirects, also to an inner server, to other schemes and in circles: failed at once, shown, and never followed. */
import { runCases, type Cases } from './cases.js';
import { answer, fine, startHostileServer } from './hostile-server.js';
import type { FaultRow } from './fault-row.js';

export const row: FaultRow = {
  row: 33,
  name: 'redirects',
  // That none is followed is http-sender.spec.ts's, that it is for good retry-classes.spec.ts's.
  quick: false,
  async run(context) {
    const inner = await startHostileServer(context, { behaviours: { fine } });
    const innerTls = await startHostileServer(context, { onConnection: (socket) => socket.destroy() });
    const targets: Record<string, [status: number, location: string | null]> = {
      moved: [301, inner.url('/fine')],
      found: [302, inner.url('/fine')],
      'see-other': [303, inner.url('/fine')],
      temporary: [307, inner.url('/fine')],
      permanent: [308, inner.url('/fine')],
      'to-tls': [302, innerTls.url('/fine').replace('http:', 'https:')],
      circle: [302, '/circle'],
      relative: [307, '//metadata.internal/latest'],
      script: [302, 'javascript:alert(1)'],
      file: [302, 'file:///etc/passwd'],
      nowhere: [302, null],
      'not-modified': [304, null],
      choices: [300, inner.url('/fine')],
    };
    const server = await startHostileServer(context, {
      behaviours: Object.fromEntries(
        Object.entries(targets).map(([name, [status, location]]) => [
          name,
          (socket) => {
            socket.write(answer(status, location === null ? {} : { location }, ''));
            return String(status);
          },
        ]),
      ),
    });
    const cases: Cases = Object.fromEntries(
      Object.entries(targets).map(([name, [statusCode]]) => [
        name,
        { url: server.url(`/${name}`), failure: 'redirect' as const, statusCode },
      ]),
    );
    const { shown, figures } = await runCases(context, cases);
    for (const [name, [, location]] of Object.entries(targets)) {
      const [{ gaveUp, timeline }] = shown.get(name)!;
      const { headers } = timeline[0].response as unknown as { headers: Record<string, string> };
      context.check(gaveUp === 'permanent', `${name}: gave up because of ${gaveUp}`);
      context.check((headers.location ?? null) === location, `${name}: support sees where to`, headers);
    }
    const followed = inner.connections + innerTls.connections;
    context.check(followed === 0, `${followed} redirects were followed`);
    context.check(
      server.requests.length === Object.keys(targets).length,
      'one request each',
      server.requests.length,
    );
    return { ...figures, followed };
  },
};
