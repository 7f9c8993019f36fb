/**
 * Carries out the repairs that a check proposes: each is one fenced transaction that compares all that the judgement
 * rests on, so a store that has moved meanwhile is never harmed; then nothing is done, and the check is made again.
 */

import type { Clock } from '../../core/clock.ts';
import { deadlineAfter } from '../../core/deadline.ts';
import type { Logger } from '../../core/log.ts';
import type { KvPort, Operation } from '../../store/kv.ts';
import type { Committer } from '../commit/committer.ts';
import type { CheckResult, StoreChecker } from './store-checker.ts';
import type { Finding, Repair } from './store-finding.ts';

export interface StoreRepairDependencies {
  readonly kv: KvPort;
  readonly checker: Pick<StoreChecker, 'check'>;
  readonly committer: Committer;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** changed: it was not as seen any more. */
export type Outcome = 'repaired' | 'changed' | 'left';

export interface RepairResult extends CheckResult {
  /** In the order of `findings`. */
  readonly outcomes: readonly Outcome[];
}

const STEP_TIMEOUT_MS = 5000;
/** A repair may uncover what it hid: a use without its pool, a reservation without its hold. */
const ROUNDS = 5;

export class StoreRepair {
  readonly #deps: StoreRepairDependencies;

  constructor(deps: StoreRepairDependencies) {
    this.#deps = deps;
  }

  /**
   * Checks and repairs until nothing is left that can be repaired.
   * @returns the last check, with all findings that were repaired on the way
   * @throws StoreUnavailable; what was repaired until then stays so
   */
  async repair(onProgress?: (keys: number) => void): Promise<RepairResult> {
    const repaired: Finding[] = [];
    for (let round = 1; ; round += 1) {
      const result = await this.#deps.checker.check(onProgress);
      const outcomes: Outcome[] = [];
      for (const finding of result.findings) outcomes.push(await this.#carryOut(finding));
      const again = outcomes.some((outcome) => outcome !== 'left');
      const done = result.findings.filter((_, index) => outcomes[index] === 'repaired');
      if (again && round < ROUNDS) {
        repaired.push(...done);
        continue;
      }
      return {
        ...result,
        findings: [...repaired, ...result.findings],
        outcomes: [...repaired.map((): Outcome => 'repaired'), ...outcomes],
      };
    }
  }

  async #carryOut({ code, object, problem, repair }: Finding): Promise<Outcome> {
    if (repair === undefined) return 'left';
    const { committer, clock, logger } = this.#deps;
    const txn = { compare: repair.seen, success: await this.#operations(repair) };
    const deadline = deadlineAfter(STEP_TIMEOUT_MS, clock);
    const { succeeded } = await committer.submit({ lockKey: repair.lockKey, txn, deadline });
    const outcome = succeeded ? 'repaired' : 'changed';
    logger.warn('the store was not as it must be', { code, object, problem, outcome });
    return outcome;
  }

  async #operations({ edits }: Repair): Promise<Operation[]> {
    const ttlSeconds = edits.find((edit) => edit.ttlSeconds !== undefined)?.ttlSeconds;
    const ttlId = ttlSeconds === undefined ? undefined : await this.#deps.kv.ttlGrant(ttlSeconds);
    return edits.map((edit): Operation => {
      if (edit.after === undefined) return { do: 'delete', range: { key: edit.key } };
      const put = { do: 'put', key: edit.key, value: edit.after } as const;
      return edit.ttlSeconds === undefined || ttlId === undefined ? put : { ...put, ttlId };
    });
  }
}
