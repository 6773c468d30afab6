import { createServer, type AddressInfo } from 'node:net';

/** Listens with the shortest line there is, says where, and is then stopped by its parent. */
const server = createServer();
server.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () =>
  process.send!((server.address() as AddressInfo).port),
);
process.on('disconnect', () => process.exit(0));
