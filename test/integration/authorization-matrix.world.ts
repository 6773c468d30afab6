import { newId, systemRandom, toPublicId } from '@app/domain';
import type { ApiFixture, Reply } from './api-fixture.js';

/** A subscriber with one of everything that a route can name. Keys are the names of path parameters. */
export interface World {
  subscriber: string;
  externalId: string;
  endpoint: string;
  /** Was one of its endpoints, and is deleted. */
  deletedEndpoint: string;
  event: string;
  delivery: string;
  replay: string;
  /** A key that is bound to it. */
  key: string;
  token: string;
  /** An event type of its own: the catalogue belongs to nobody, but a test that deletes one needs one. */
  name: string;
  /** Everything that tells of this world: none of it may be in an answer to somebody else. */
  traces: string[];
}

/** What a path can name, and the prefix of its id. Event types (`name`) belong to nobody. */
export const PREFIXES = {
  subscriber: 'sub',
  endpoint: 'ep',
  event: 'evt',
  delivery: 'dlv',
  replay: 'rpl',
  key: 'key',
  token: 'tok',
} as const;
export type Named = keyof typeof PREFIXES;

/** An id of the right form that nobody has. */
export function nobodys(kind: Named): string {
  return toPublicId(PREFIXES[kind], newId(Date.now(), systemRandom));
}

/** Ids that nobody has, for a path's every parameter. */
export function noWorld(): Pick<World, Named> {
  const ids = Object.keys(PREFIXES).map((kind) => [kind, nobodys(kind as Named)]);
  return Object.fromEntries(ids) as Pick<World, Named>;
}

let worlds = 0;

/** Everything through the front door, as staff. Nothing is sent: no worker runs. */
export async function makeWorld({ call }: ApiFixture): Promise<World> {
  const mark = `world${++worlds}x`;
  const name = `thing.${mark}`;
  const insist = async (method: string, path: string, body?: object) => made(await call(method, path, body));
  const post = (path: string, body: object) => insist('POST', path, body);

  const externalId = `${mark}-external`;
  const { id: subscriber } = await post('/v1/subscribers', { name: `${mark}-name`, externalId });
  const endpoints = `/v1/subscribers/${subscriber}/endpoints`;
  const [disabled, deleted, { id: endpoint, secret }] = await Promise.all(
    ['disabled', 'deleted', 'used'].map((use) =>
      post(endpoints, {
        url: `https://hooks.example.com/${mark}-${use}`,
        description: mark,
        verification: 'challenge',
      }),
    ),
  );
  await post('/v1/event-types', { name });
  await Promise.all([
    insist('DELETE', `${endpoints}/${deleted.id}`),
    // So that it has a delivery that is over: replays move only these.
    post(`${endpoints}/${disabled.id}/disable`, {}),
  ]);
  // Two of each, so that a list has a second page.
  const [{ id: event }] = await Promise.all(
    [1, 2].map(() => post('/v1/events', { subscriber, type: 'thing.happened', data: { mark } })),
  );
  const span = { since: new Date(Date.now() - 60_000).toISOString(), until: '2098-01-01T00:00:00Z' };
  const [{ id: replay }] = await Promise.all(
    [endpoint, disabled.id].map((each) => post('/v1/replays', { subscriber, endpoint: each, ...span })),
  );
  const found = await insist('GET', `/v1/deliveries?endpoint=${endpoint}`);
  const deliveries = (found.data as { id: string }[]).map(({ id }) => id);
  const [key, token] = await Promise.all([
    post('/v1/api-keys', { name: `${mark}-key`, scopes: ['events:write'], subscriber }),
    post(`/v1/subscribers/${subscriber}/access-tokens`, { description: `${mark}-token` }),
  ]);
  const texts = [key.key, token.token, `${mark}-key`, `${mark}-token`];
  const ids = [key.id, token.id, subscriber, endpoint, disabled.id, deleted.id, event, replay, ...deliveries];
  return {
    subscriber,
    externalId,
    endpoint,
    deletedEndpoint: deleted.id,
    event,
    delivery: deliveries[0],
    replay,
    key: key.id,
    token: token.id,
    name,
    // The name of its event type is everybody's, and holds the mark without what follows it here.
    traces: [
      ...ids,
      externalId,
      `${mark}-name`,
      `${mark}-used`,
      `${mark}-disabled`,
      `"${mark}"`,
      secret,
      ...texts,
    ],
  };
}

// oxlint-disable-next-line no-explicit-any
function made(reply: Reply): any {
  if (reply.status >= 300) throw new Error(`the world was not made: ${reply.status} ${reply.text}`);
  return reply.body;
}
