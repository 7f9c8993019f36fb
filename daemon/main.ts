/**
 * `lanius daemon`, `lanius config` and `lanius purge`: from the command line to one life of the daemon, and its last words.
 *
 * Must not: know what the daemon is made of (compose.ts) or in which order it lives (run.ts).
 */
import { hostname } from 'node:os';
import { DriverError, oneLine } from '../core/errors.ts';
import { loadConfig } from './config.ts';
import { DAEMON_HELP, runConfigCommand } from './config-command.ts';
import type { Config } from './config-schema.ts';
import { goesToJournal, JsonLogger } from './logger.ts';
import { refuseCalls } from './refuse.ts';
import { run, type Start } from './run.ts';
import { SdNotify } from './sd-notify.ts';
import { takeActivatedSockets } from './socket-activation.ts';

/** @param argv without program and script: `daemon …`, `config …` or `purge …` @returns the exit status */
export async function main(argv: readonly string[]): Promise<number> {
  const [command, ...rest] = argv;
  if (command === 'config') return runConfigCommand(rest);
  if (command === 'purge') return (await import('./purge-command.ts')).runPurgeCommand(rest);
  if (rest.includes('--help') || rest.includes('-h')) {
    process.stdout.write(DAEMON_HELP);
    return 0;
  }
  const priorities = goesToJournal(process.env, process.stdout.fd);
  // Loaded late: without systemd the foreign function interface is not needed here.
  const journal = priorities ? { journal: new (await import('./journal.ts')).Journal() } : {};
  const systemd = new SdNotify({
    env: process.env,
    pid: process.pid,
    logger: JsonLogger.to(process.stdout, { level: 'warn', priorities, ...journal }),
  });
  const sockets = takeActivatedSockets(process.env, process.pid);
  const load = (): Config => loadConfig({ argv: rest, env: process.env, hostname: hostname() }).config;
  const start: Start = { systemd, sockets, priorities, ...journal, load, serving: false };
  try {
    await run(load(), start);
    return 0;
  } catch (error) {
    await giveUp(error, start);
    return 1;
  }
}

/** Says why, in the log and for `systemctl status`; answers the calls that wait. */
async function giveUp(error: unknown, { systemd, sockets, serving }: Start): Promise<void> {
  const text =
    error instanceof DriverError
      ? `lanius: ${error.message}`
      : error instanceof Error
        ? error.message
        : String(error);
  const mark = goesToJournal(process.env, process.stderr.fd) ? '<3>' : '';
  process.stderr.write(`${text.replaceAll(/^/gm, mark)}\n`);
  const reason = oneLine(text.replaceAll(/^lanius: /gm, ''));
  systemd.status(reason);
  if (sockets.plugin !== undefined && !serving) await refuseCalls(sockets.plugin, reason);
  await systemd.close();
}
