/** Processor time of another process. @see proc(5) /proc/pid/stat utime, stime */
import { readFileSync } from 'node:fs';

/** Linux gives user space this many ticks a second, whatever its own clock does. @see time(7) USER_HZ */
const TICKS_A_SECOND = 100;

/** Seconds in user and kernel mode so far. @throws if there is no such process */
export function cpuSeconds(pid: number): number {
  return cpuSecondsIn(readFileSync(`/proc/${pid}/stat`, 'utf8'));
}

/** Fields 14 and 15; the second, the name of the program, may have blanks and brackets in it. @throws RangeError */
export function cpuSecondsIn(stat: string): number {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const ticks = Number(fields[11]) + Number(fields[12]);
  if (!Number.isFinite(ticks)) throw new RangeError(`this is no /proc/pid/stat: ${stat}`);
  return ticks / TICKS_A_SECOND;
}
