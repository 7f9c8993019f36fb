/**
 * What `docker` prints when an engine refuses, in a form that can be compared word for word: the ids of requests are
 * made equal, and what the command itself adds (hints to its help, the word "docker:") is left out.
 */
import type { EngineVersion } from './machine.ts';
import type { RunResult } from './run.ts';

/** Words of the command itself, not of the engine. */
const HINT = /^(Run 'docker .*|See 'docker .*|time=".*)$/;

/** The engine's refusal; rejects an outcome that is none. Lines are kept, as engines from 25 on say some things in two. */
export function refusal({ status, stdout, stderr }: RunResult): string {
  if (status === 0) throw new Error(`it was not refused: ${stdout}`);
  const lines = stderr.split('\n').filter((line) => line !== '' && !HINT.test(line));
  const first = lines[0] ?? '';
  // The command ends the refusal of a run with a full stop, up to 26.1.
  const text = first.startsWith('docker: ') ? lines.join('\n').slice(8).replace(/\.$/, '') : lines.join('\n');
  return text.replace(/req [0-9a-f]{6}/g, 'req ID').replace(/^Error response from daemon: /, '');
}

/** How an engine wraps what a driver says of an endpoint's start. */
export function atStart(engine: EngineVersion, text: string): string {
  return engine === '28.5' ? `failed to set up container networking: ${text}` : text;
}

/** For words that come from the engine itself: those of 20.10, and those of 26.1 and 28.5. */
export function engineSays(old: string, now: string): (engine: EngineVersion) => string {
  return (engine) => (engine === '20.10' ? old : now);
}
