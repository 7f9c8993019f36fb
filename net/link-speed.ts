/**
 * How fast a link of the host is, as its driver says. A plain file of the kernel, not netlink: rtnetlink does not tell it.
 *
 * @see Documentation/ABI/testing/sysfs-class-net, /sys/class/net/<iface>/speed: Mbit/s; an error or -1 where it is not known
 */
import { readFileSync } from 'node:fs';

/** @returns undefined where the link says none: it is down, virtual, or not there */
export function linkSpeedBitsPerSecond(name: string): number | undefined {
  if (name.includes('/') || name.startsWith('.')) return undefined;
  try {
    const megabits = Number(readFileSync(`/sys/class/net/${name}/speed`, 'utf8'));
    return Number.isFinite(megabits) && megabits > 0 ? megabits * 1e6 : undefined;
  } catch {
    return undefined;
  }
}
