import { createHash } from 'node:crypto';
import { Problem } from '@app/contracts';
import type { EndpointRow } from '@app/persistence';
import type { LimitAsk, LimitPolicy, RequestLimits } from '../edge/request-limits.js';

interface TestPolicies {
  subscriber: LimitPolicy;
  /** Of one host whatever subscribers it is registered with: a victim has one budget, not one for each. */
  host: LimitPolicy;
}

/**
 * A test or a handshake is a request to whomever a URL names, and nobody has to publish anything for it: so few that they
 * are of no use as a cannon, enough for a person who tries to get a receiver to work.
 */
function policies(perMinute: number): { unverified: TestPolicies; verified: TestPolicies } {
  const hostQuota = Math.ceil(perMinute / 2);
  return {
    unverified: {
      subscriber: { name: 'test-subscriber', quota: perMinute },
      host: { name: 'test-host', quota: hostQuota },
    },
    // Has said that it wants them. Counted apart: what strangers send to its host takes nothing away from it.
    verified: {
      subscriber: { name: 'test-subscriber-verified', quota: perMinute * 6 },
      host: { name: 'test-host-verified', quota: perMinute * 6 },
    },
  };
}

/** How many test events and handshakes go out a minute, of a subscriber and to a host, exactly over all api processes. */
export class TestLimits {
  private readonly policies: ReturnType<typeof policies>;

  /** With 0 nothing is limited. */
  constructor(
    private readonly limits: Pick<RequestLimits, 'take' | 'giveBack'>,
    private readonly perMinute: number,
  ) {
    this.policies = policies(perMinute);
  }

  /** Counts one. @throws Problem rate_limited */
  async admit({ subscriberId, url, verifiedAt }: EndpointRow): Promise<void> {
    if (this.perMinute === 0) return;
    const { subscriber, host } = verifiedAt ? this.policies.verified : this.policies.unverified;
    const { hostname } = new URL(url);
    await this.take({ policy: subscriber, who: subscriberId }, 'test events of one subscriber');
    try {
      await this.take({ policy: host, who: digest(hostname) }, `test events to ${hostname}`);
    } catch (error) {
      this.limits.giveBack({ policy: subscriber, who: subscriberId });
      throw error;
    }
  }

  private async take(ask: LimitAsk, what: string): Promise<void> {
    const answers = await this.limits.take([ask]);
    const refused = answers?.find(({ allowed }) => !allowed);
    if (refused) throw refusal(refused.policy, refused.resetSeconds, what);
  }
}

/** A name may be longer than a window's. */
function digest(hostname: string): string {
  return createHash('sha256').update(hostname).digest('base64url');
}

function refusal({ name, quota }: LimitPolicy, retryAfterSeconds: number, what: string): Problem {
  return new Problem(
    'rate_limited',
    `There may be ${quota} ${what} a minute. Ask again in ${retryAfterSeconds} s.`,
    { limit: quota, retryAfterSeconds, violatedPolicies: [name] },
  );
}
