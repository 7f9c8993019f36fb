/** A step on its way through the Committer: who waits for it, and what is known of it. */
import type { DriverError } from '../../core/errors.ts';
import type { Step, StepResult } from './step.ts';

export interface Waiting {
  readonly step: Step;
  readonly resolve: (result: StepResult) => void;
  readonly reject: (error: DriverError) => void;
  timer: NodeJS.Timeout | undefined;
  /** May have been executed already under an earlier epoch. */
  uncertain: boolean;
  /** The caller's deadline has passed. */
  abandoned: boolean;
  /** It was in a transaction that etcd refused. */
  alone: boolean;
}

export function waitingOf(step: Step, resolve: Waiting['resolve'], reject: Waiting['reject']): Waiting {
  return { step, resolve, reject, timer: undefined, uncertain: false, abandoned: false, alone: false };
}

/** The step that takes back an abandoned one, or undefined if it surely did nothing. */
export function undoingOf({ uncertain, step }: Waiting): Waiting | undefined {
  const { lockKey, undo, undone } = step;
  if (!uncertain || undo === undefined) return undefined;
  const told = ({ succeeded, revision }: StepResult): void => {
    if (succeeded) undone?.(revision);
  };
  return waitingOf({ lockKey, txn: undo }, told, () => {});
}
