/**
 * The settings in force while the daemon runs. What can be taken over without a restart (`reload` in
 * daemon/config-schema.ts) changes here and nowhere else: parts that it is about get options that are read anew at each use.
 *
 * Every setting that is marked `reload` must be read through this class; a unit test compares the two.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Clock } from '../core/clock.ts';
import type { Logger } from '../core/log.ts';
import type { ReconcilerOptions } from '../ipam/reconcile/reconciler.ts';
import type { PluginAppOptions } from '../plugin/server.ts';
import { valueAt } from './config.ts';
import { configKeys } from './config-keys.ts';
import type { Config } from './config-schema.ts';

export interface Change {
  /** e.g. `log.level` */
  readonly key: string;
  readonly from: unknown;
  readonly to: unknown;
}

export interface ReloadPlan {
  /** In force at once. */
  readonly now: readonly Change[];
  /** Only after a restart. */
  readonly later: readonly Change[];
}

export class LiveConfig {
  #config: Config;

  constructor(config: Config) {
    this.#config = config;
  }

  get config(): Config {
    return this.#config;
  }

  /** Takes over what can be taken over; the rest stays as it is. */
  take(next: Config): ReloadPlan {
    const plan = reloadPlan(this.#config, next);
    this.#config = merged(this.#config, next, plan.now);
    return plan;
  }

  reconcilerOptions(instance: string): ReconcilerOptions {
    const current = (): Config['reconcile'] => this.#config.reconcile;
    return {
      instance,
      get lookGapMs() {
        return current().lookGapSeconds * 1000;
      },
      get graceMs() {
        return current().pendingGraceSeconds * 1000;
      },
      get intervalMs() {
        return current().intervalSeconds * 1000;
      },
    };
  }

  pluginOptions(parts: { readonly logger: Logger; readonly clock: Clock }): PluginAppOptions {
    const current = (): Config['limits'] => this.#config.limits;
    return {
      ...parts,
      get handlerTimeoutMs() {
        return current().handlerTimeoutMs;
      },
      get linkTimeoutMs() {
        return current().linkTimeoutMs;
      },
    };
  }

  poolOptions(): { readonly coolingSeconds: number } {
    const current = (): Config['ipam'] => this.#config.ipam;
    return {
      get coolingSeconds() {
        return current().coolingSeconds;
      },
    };
  }
}

/** What differs, in the order of the schema. Pure. */
export function reloadPlan(current: Config, next: Config): ReloadPlan {
  const now: Change[] = [];
  const later: Change[] = [];
  for (const { path, node } of configKeys) {
    const [from, to] = [current, next].map((config) => valueAt(config, path.split('.')));
    if (isDeepStrictEqual(from, to)) continue;
    (node.reload === true ? now : later).push({ key: path, from, to });
  }
  return { now, later };
}

/** Keys that can be reloaded lie in a section each, one level deep. */
function merged(current: Config, next: Config, changes: readonly Change[]): Config {
  const result: Record<string, unknown> = { ...current };
  for (const { key } of changes) {
    const [section = '', name = ''] = key.split('.');
    result[section] = { ...(result[section] as object), [name]: valueAt(next, [section, name]) };
  }
  return result as Config;
}
