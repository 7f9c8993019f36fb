/** The daemon's log as a source of figures: how long each plugin call took inside. Pure. */
import { Samples } from './statistics.ts';

/** @param log JSON lines of the daemon; others are passed over @returns milliseconds by method (`Join`) */
export function callDurations(log: string): Samples {
  const samples = new Samples();
  for (const line of log.split('\n')) {
    const call = callOf(line);
    if (call !== undefined) samples.add(call.method, call.durationMs);
  }
  return samples;
}

function callOf(line: string): { readonly method: string; readonly durationMs: number } | undefined {
  if (!line.includes('"msg":"plugin call"')) return undefined;
  const { method, durationMs }: Record<string, unknown> = JSON.parse(line);
  if (typeof method !== 'string' || typeof durationMs !== 'number') return undefined;
  return { method: method.slice(method.indexOf('.') + 1), durationMs };
}
