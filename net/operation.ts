/** What the operations of the kernel worker are made of; the files of their families and `operations.ts` stand on it. */

export interface Operation<Argument, Result> {
  readonly argument: Argument;
  readonly result: Result;
}

/** The functions that do them. */
export type Handlers<Operations> = {
  readonly [O in keyof Operations]: Operations[O] extends Operation<infer Argument, infer Result>
    ? (argument: Argument) => Result
    : never;
};
