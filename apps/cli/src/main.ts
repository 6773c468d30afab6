#!/usr/bin/env node
import '../../version-guard.js';
import 'reflect-metadata';
import { Command } from 'commander';
import { VERSION } from '../../version.js';
import { explain } from './cli-error.js';
import { doctorCommand } from './doctor.command.js';
import { keysCommand } from './keys.command.js';
import { migrateCommand } from './migrate.command.js';
import { upCommand } from './up.command.js';

// A terminal that was closed, or a `| head`, takes no more lines: that ends no process of ours in the middle of its work.
process.stdout.on('error', () => {});
process.stderr.on('error', () => {});

const program = new Command('posthorn')
  .description('Outbound webhook delivery: signed, at least once, every attempt on record.')
  .version(VERSION)
  .addCommand(upCommand())
  .addCommand(migrateCommand())
  .addCommand(doctorCommand())
  .addCommand(keysCommand());

program.parseAsync().catch((error: unknown) => {
  process.stderr.write(`posthorn: ${explain(error)}\n`);
  // Not process.exit(): the sentence may still be on its way into a pipe, and nothing is left open by a command.
  process.exitCode = 1;
});
