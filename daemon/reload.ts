/**
 * `systemctl reload lanius` (SIGHUP): the configuration is read anew. What can be taken over is, and is told; a change of
 * anything else is named and waits for a restart; a configuration with an error changes nothing.
 */
import type { Logger } from '../core/log.ts';
import { InvalidConfig } from './config.ts';
import type { Config } from './config-schema.ts';
import type { LiveConfig } from './live-config.ts';
import type { LogLevel } from './logger.ts';
import type { SdNotify } from './sd-notify.ts';

export interface ReloadingOptions {
  /** Reads file, variables and flags as at the start. @throws InvalidConfig */
  readonly load: () => Config;
}

export interface ReloadingDependencies {
  readonly live: LiveConfig;
  readonly systemd: Pick<SdNotify, 'reloading' | 'ready'>;
  readonly logger: Logger & { setLevel(level: LogLevel): void };
}

export class Reloading {
  readonly #load: () => Config;
  readonly #deps: ReloadingDependencies;

  constructor({ load }: ReloadingOptions, deps: ReloadingDependencies) {
    this.#load = load;
    this.#deps = deps;
  }

  /** Never throws. */
  reload(): void {
    const { systemd } = this.#deps;
    systemd.reloading('reading the configuration');
    systemd.ready(this.#reload());
  }

  /** @returns a line for `systemctl status` */
  #reload(): string {
    const { live, logger } = this.#deps;
    let next: Config;
    try {
      next = this.#load();
    } catch (error) {
      const problems = error instanceof InvalidConfig ? error.problems : [String(error)];
      logger.error('the configuration has an error: the one before stays in force', { problems });
      return `serving; the configuration was not taken over: ${problems[0] ?? ''}`;
    }
    const { now, later } = live.take(next);
    logger.setLevel(live.config.log.level);
    for (const change of now) logger.info('a setting was taken over', { ...change });
    for (const change of later)
      logger.warn('a changed setting waits for a restart: systemctl restart lanius', { ...change });
    if (now.length + later.length === 0) logger.info('the configuration is as it was');
    if (later.length === 0) return 'serving';
    return `serving; waiting for a restart: ${later.map(({ key }) => key).join(', ')}`;
  }
}
