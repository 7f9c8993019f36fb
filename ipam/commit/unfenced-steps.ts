/**
 * Sends steps for who has no session: `lanius purge`, when the daemon of this host is gone.
 *
 * Must be given only steps that compare all they rest on (as those of ipam/host/host-forgetting.ts do: the host has no session,
 * the lease is as it was read): there is no fence, and a request whose answer was lost may still be executed later.
 */
import type { KvPort } from '../../store/kv.ts';
import type { Step, StepResult } from './step.ts';

export class UnfencedSteps {
  readonly #kv: KvPort;

  constructor({ kv }: { readonly kv: KvPort }) {
    this.#kv = kv;
  }

  /** @throws StoreUnavailable if etcd does not answer; then it may have been done. Each has the time of one call */
  async submit({ txn }: Step): Promise<StepResult> {
    return await this.#kv.txn(txn);
  }
}
