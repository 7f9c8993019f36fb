/**
 * The operations of the kernel worker, as types: argument and result of each. What it does for them is in the file
 * that `worker.ts` names; here they only come together.
 */
import type { KernelFeatures, LinkInfo, MacvlanSpec } from './port.ts';

export interface Operation<Argument, Result> {
  readonly argument: Argument;
  readonly result: Result;
}

export interface LinkOperations {
  readonly macvlanAdd: Operation<MacvlanSpec, LinkInfo>;
  readonly linkDelete: Operation<string, boolean>;
  readonly linkGet: Operation<string, LinkInfo | undefined>;
  readonly linkList: Operation<undefined, LinkInfo[]>;
  readonly linkListIn: Operation<string, LinkInfo[] | undefined>;
  readonly probe: Operation<undefined, KernelFeatures>;
}

export interface KernelOperations extends LinkOperations {}
export type OperationName = keyof KernelOperations;

/** The functions that do them. */
export type Handlers<Operations> = {
  readonly [O in keyof Operations]: Operations[O] extends Operation<infer Argument, infer Result>
    ? (argument: Argument) => Result
    : never;
};
