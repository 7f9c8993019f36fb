/**
 * Named points between two outside effects at which a test can stop the process, to prove that a crash there
 * leaves nothing that the next start cannot repair.
 *
 * Off in production at no cost: without LANIUS_FAILPOINT the function is a constant no-op.
 * LANIUS_FAILPOINT=`name=kill[,name=kill…]`; `name@3=kill` acts at the third passage.
 */
import { writeSync } from 'node:fs';

/** Every failpoint there is; a test walks this list. */
export const FAILPOINTS = [
  'lease.before-commit',
  'lease.after-commit',
  'endpoint.before-record',
  'endpoint.after-record',
  'join.before-link',
  'join.after-link',
  'leave.after-undo',
  'endpoint.before-link-delete',
  'release.before-commit',
  'release.after-commit',
  'pool.after-record',
  'network.after-record',
] as const;
export type Failpoint = (typeof FAILPOINTS)[number];

const armed = parse(process.env['LANIUS_FAILPOINT'] ?? '');

/** Passes `name`; ends the process with SIGKILL if the failpoint is armed. */
export const failpoint: (name: Failpoint) => void = armed.size === 0 ? () => {} : pass;

function pass(name: Failpoint): void {
  const left = armed.get(name);
  if (left === undefined) return;
  if (left > 1) {
    armed.set(name, left - 1);
    return;
  }
  writeSync(2, `failpoint ${name}: killed\n`);
  process.kill(process.pid, 'SIGKILL');
}

function parse(text: string): Map<string, number> {
  const points = new Map<string, number>();
  for (const part of text.split(',').filter((p) => p !== '')) {
    const match = /^([a-z.-]+)(?:@(\d+))?=kill$/.exec(part);
    if (match?.[1] === undefined || !(FAILPOINTS as readonly string[]).includes(match[1])) {
      throw new Error(
        `LANIUS_FAILPOINT: "${part}" is not one of ${FAILPOINTS.map((f) => `${f}=kill`).join(', ')}`,
      );
    }
    points.set(match[1], Number(match[2] ?? 1));
  }
  return points;
}
