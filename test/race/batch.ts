/**
 * Messages of one turn of the event loop as one: an IPC message costs a system call and wakes the other process, which
 * would be most of what a race does. Nothing from outside is read between a message and its way out, so the order of
 * events stays what it was.
 */
export function batched<T>(send: (batch: readonly T[]) => void): (message: T) => void {
  let batch: T[] = [];
  return (message) => {
    batch.push(message);
    if (batch.length > 1) return;
    process.nextTick(() => {
      const full = batch;
      batch = [];
      send(full);
    });
  };
}
