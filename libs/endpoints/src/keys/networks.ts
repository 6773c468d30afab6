import { KEY_NETWORKS_MAX, Problem } from '@app/contracts';
import { parseCidrs } from '@app/domain';

// Addresses are compared in their IPv4 form, so such a network would match nobody.
const MAPPED = /^::ffff:/i;

/** The networks that a key may be used from, as they are stored. @throws Problem invalid_request */
export function checkNetworks(networks: string[]): string[] {
  const unique = [...new Set(networks.map((each) => each.trim()))];
  if (unique.length > KEY_NETWORKS_MAX) throw refuse('', `must have at most ${KEY_NETWORKS_MAX} networks`);
  unique.forEach((each, at) => {
    if (MAPPED.test(each)) throw refuse(`/${at}`, 'must be written as an IPv4 network, such as 192.0.2.0/24');
    try {
      // Blanks and commas would make two of one, and an empty text none: from anywhere.
      if (parseCidrs(each).length === 1 && !/[\s,]/.test(each)) return;
    } catch (error) {
      throw refuse(`/${at}`, `is not right: ${(error as Error).message}`);
    }
    throw refuse(`/${at}`, 'must be one network, such as 192.0.2.0/24 or 2001:db8::/32');
  });
  return unique;
}

function refuse(at: string, detail: string): Problem {
  const pointer = `/allowedIps${at}`;
  return new Problem('invalid_request', `\`${pointer}\` ${detail}.`, { errors: [{ pointer, detail }] });
}
