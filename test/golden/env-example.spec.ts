import { envExample } from '@app/config';
import { it } from 'vitest';
import { expectGolden } from '../support/golden.js';

it('.env.example lists every variable, as the table has them', () => {
  expectGolden('.env.example', envExample());
});
