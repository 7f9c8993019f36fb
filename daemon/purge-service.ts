/** The units of Lanius, as `lanius purge` stops them: by systemctl, where systemd is PID 1. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { InternalError, oneLine } from '../core/errors.ts';

/** What starts others first: the timer its service, the socket the daemon. */
const UNITS = ['lanius-mesos.timer', 'lanius.socket', 'lanius.service'];
/** Started by the timer or by hand, never enabled; it may be about to try again. */
const STARTED = 'lanius-mesos.service';
/** systemd's own name for "systemd is running". @see sd_booted(3) */
const BOOTED = '/run/systemd/system';
const STOP_LIMIT_MS = 60_000;

export interface ServicePort {
  /** Units that are active or enabled. */
  standing(): Promise<readonly string[]>;
  /** Stops and disables them. Idempotent. @throws InternalError with systemd's words */
  stop(): Promise<void>;
}

export class SystemdService implements ServicePort {
  async standing(): Promise<readonly string[]> {
    if (!existsSync(BOOTED)) return [];
    const found: string[] = [];
    for (const unit of UNITS) {
      const states = await Promise.all(['is-active', 'is-enabled'].map((word) => systemctl(word, unit)));
      if (states.some(({ ok }) => ok)) found.push(unit);
    }
    return found;
  }

  async stop(): Promise<void> {
    if (!existsSync(BOOTED)) return;
    const units = await this.standing();
    if (units.length > 0) {
      const { ok, said } = await systemctl('disable', '--now', ...units);
      if (!ok) throw new InternalError(`systemd could not stop ${units.join(' and ')}: ${oneLine(said)}`);
    }
    // It fails where the unit is not installed.
    await systemctl('stop', STARTED);
  }
}

function systemctl(...words: readonly string[]): Promise<{ readonly ok: boolean; readonly said: string }> {
  return new Promise((resolve) => {
    execFile('systemctl', words, { timeout: STOP_LIMIT_MS }, (error, stdout, stderr) => {
      resolve({ ok: error === null, said: `${stderr}${stdout}`.trim() });
    });
  });
}
