import { readFileSync } from 'node:fs';
import { join } from 'node:path';

// The program runs from dist; what is no code stays where it was written.
const FIXTURES = join(import.meta.dirname, '../../../libs/delivery/src/http/fixtures');

const fixture = (name: string): string => readFileSync(join(FIXTURES, `${name}.pem`), 'utf8');

/** Of all certificates below. Made for tests, known to everybody. */
export const KEY = fixture('key');
/** For `hooks.test` and 127.0.0.1, until 2126. Signed by itself. */
export const VALID = fixture('valid');
/** The same, until 2020. */
export const EXPIRED = fixture('expired');
/** Good for 127.0.0.1 until 2126 and signed by itself, as VALID; nobody is told to trust it. */
export const STRANGER = `-----BEGIN CERTIFICATE-----
MIIBpjCCAU2gAwIBAgIUU/dKUjqpB9jKO/HQflXW9X0rdGswCgYIKoZIzj0EAwIw
GDEWMBQGA1UEAwwNc3RyYW5nZXIudGVzdDAgFw0yNjExMjIyMDU5MjZaGA8yMTI2
MTAyOTIwNTkyNlowGDEWMBQGA1UEAwwNc3RyYW5nZXIudGVzdDBZMBMGByqGSM49
AgEGCCqGSM49AwEHA0IABLBzuPSTD72qplwTonUxLGl5Vh7GTPoWjVqX+6+slY9j
XgKl3sqzTSquMpnwtFIMfBFaOsXDa/GZEyfO5J1IOcijczBxMB0GA1UdDgQWBBTi
pphw/Rv+IS15wNcgrs/u7E8pWTAfBgNVHSMEGDAWgBTipphw/Rv+IS15wNcgrs/u
7E8pWTAPBgNVHRMBAf8EBTADAQH/MB4GA1UdEQQXMBWCDXN0cmFuZ2VyLnRlc3SH
BH8AAAEwCgYIKoZIzj0EAwIDRwAwRAIgRpQSBycYhBS5RfdaxUnfWUvJMCMsVdf6
5nXCwM8erEYCIFPuWAMfFH5nne/18Fgy3MyAjMFWyCvniT/6Q9NO0uFp
-----END CERTIFICATE-----
`;
