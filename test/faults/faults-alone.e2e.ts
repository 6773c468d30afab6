/** Promise: as faults.e2e.ts, the rows that measure; nothing else of the suite runs beside them (vitest.config.ts). */
import { it } from 'vitest';
import { everyQuickRow } from './run-faults.js';

it('every quick row that measures holds', () => everyQuickRow('alone'), 240_000);
