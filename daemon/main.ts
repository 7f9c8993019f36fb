/**
 * `lanius daemon` and `lanius config`: from the command line to one life of the daemon, and its last words.
 *
 * Must not: know what the daemon is made of (compose.ts) or in which order it lives (run.ts).
 */
import { hostname } from 'node:os';
import { DriverError, oneLine } from '../core/errors.ts';
import { loadConfig } from './config.ts';
import { DAEMON_HELP, runConfigCommand } from './config-command.ts';
import { goesToJournal, JsonLogger } from './logger.ts';
import { refuseCalls } from './refuse.ts';
import { run, type Start } from './run.ts';
import { SdNotify } from './sd-notify.ts';
import { takeActivatedSockets } from './socket-activation.ts';

/** @param argv without program and script: `daemon …` or `config …` @returns the exit status */
export async function main(argv: readonly string[]): Promise<number> {
  const [command, ...rest] = argv;
  if (command === 'config') return runConfigCommand(rest);
  if (rest.includes('--help') || rest.includes('-h')) {
    process.stdout.write(DAEMON_HELP);
    return 0;
  }
  const priorities = goesToJournal(process.env, process.stdout.fd);
  const systemd = new SdNotify({
    env: process.env,
    pid: process.pid,
    logger: JsonLogger.to(process.stdout, { level: 'warn', priorities }),
  });
  const sockets = takeActivatedSockets(process.env, process.pid);
  const start: Start = { systemd, sockets, priorities, serving: false };
  try {
    const { config } = loadConfig({ argv: rest, env: process.env, hostname: hostname() });
    await run(config, start);
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
