/**
 * Loaded before a worker by tests: its resolvers ask the name server at STUB_DNS instead of the machine's. Everything else about
 * them (their sockets, time-outs, tries) stays as the program has it.
 */
import { promises } from 'node:dns';

const server = process.env.STUB_DNS;
if (server === undefined) throw new Error('STUB_DNS is missing');
delete process.env.STUB_DNS;

const RealResolver = promises.Resolver;
class StubbedResolver extends RealResolver {
  constructor(options?: ConstructorParameters<typeof RealResolver>[0]) {
    super(options);
    this.setServers([server!]);
  }
}
Object.assign(promises, { Resolver: StubbedResolver });
