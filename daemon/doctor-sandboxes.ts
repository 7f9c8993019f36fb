/** Doctor's check of the settings in sandboxes: are they in force, is the kernel heard, what was mended? */
import type { DriverError } from '../core/errors.ts';
import { shortId } from '../core/ids.ts';
import type { SandboxCounters, SandboxState } from '../links/kept-sandbox.ts';
import type { DoctorCheck } from '../plugin/wire/admin.ts';

const NAMED = 5;

export interface SandboxFindings {
  readonly states: readonly SandboxState[];
  readonly counters: Readonly<SandboxCounters>;
  /** Why link events are not heard. */
  readonly failure: DriverError | undefined;
}

/** What there is to find now. */
export function sandboxFindings({
  sandboxes,
  events,
}: {
  readonly sandboxes: { states(): readonly SandboxState[]; readonly counters: Readonly<SandboxCounters> };
  readonly events: { readonly failure: DriverError | undefined };
}): SandboxFindings {
  return { states: sandboxes.states(), counters: sandboxes.counters, failure: events.failure };
}

/** One line for each of the first endpoints that lack a setting; a line for all that is well; one for deaf ears. */
export function checkSandboxes({ states, counters, failure }: SandboxFindings): DoctorCheck[] {
  const problems = states.flatMap(({ endpointId, problems }) =>
    [...problems].map(([setting, { message }]) => `endpoint ${shortId(endpointId)}: ${setting}: ${message}`),
  );
  const checks: DoctorCheck[] = problems.slice(0, NAMED).map((finding) => ({
    check: 'sandboxes',
    status: 'warn',
    finding,
    remedy: 'it is tried again and again; if it stays, start the container again',
  }));
  if (problems.length > NAMED) {
    checks.push({
      check: 'sandboxes',
      status: 'warn',
      finding: `and ${problems.length - NAMED} more like these`,
    });
  }
  if (failure !== undefined) {
    checks.push({
      check: 'link events',
      status: 'warn',
      finding: `${failure.message}; what changes in sandboxes is found once a minute only`,
      remedy: 'run the daemon with the capabilities of systemd/lanius.service',
    });
  }
  if (checks.length === 0)
    checks.push({ check: 'sandboxes', status: 'ok', finding: summary(states, counters) });
  return checks;
}

function summary(states: readonly SandboxState[], { mended, resyncs }: Readonly<SandboxCounters>): string {
  const ready = states.filter((state) => state.ready).length;
  const parts = [`the settings of ${ready} of ${states.length} endpoints are in force`];
  if (ready < states.length) parts.push('the others are not in a sandbox, down, or without address');
  if (mended > 0)
    parts.push(`${mended} were mended since the start, because something in a sandbox broke them`);
  if (resyncs > 1) parts.push(`events were lost ${resyncs - 1} times`);
  return parts.join('; ');
}
