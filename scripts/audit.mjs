import { runQuietly } from './child.mjs';
import { npm } from './install.mjs';

// An answer takes a second; CI does not wait for a registry that has none.
const ARGUMENTS = ['audit', '--omit=dev', '--json', '--fetch-retries=0', '--fetch-timeout=15000'];
const REFUSED = ['high', 'critical'];

/**
 * Fails on a known high or critical weakness of what ships. A registry that does not answer is told and is no failure:
 * whether a commit is good must not depend on who is reachable.
 */
export async function audit() {
  const { output } = await runQuietly(...npm(ARGUMENTS), process.env, () => {});
  const report = reportIn(output);
  if (report === null) {
    console.log('the registry does not tell what is known of our packages: not checked');
    return 0;
  }
  const refused = Object.values(report.vulnerabilities).filter(({ severity }) => REFUSED.includes(severity));
  for (const { name, severity, range } of refused) console.error(`${name} ${range}: ${severity}`);
  return refused.length === 0 ? 0 : 1;
}

/** npm prints its warnings around the report. */
function reportIn(output) {
  try {
    const report = JSON.parse(output.slice(output.indexOf('{'), output.lastIndexOf('}') + 1));
    return typeof report.vulnerabilities === 'object' ? report : null;
  } catch {
    return null;
  }
}
