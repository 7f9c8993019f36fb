/**
 * How ARP requests of a network's containers are kept off the wire: from what the network or its pool wishes, the size of
 * the planned range, and what the kernel can do. Pure. docs/arp.md explains it to people.
 */
import { MOST_PRELOADED } from './arp-preload.ts';

export type ArpWish = 'auto' | 'preload' | 'responder' | 'off';
export type ArpHow = 'preload' | 'responder' | 'off';

export interface ArpCase {
  /** `-o arp=` of the network. */
  readonly ofNetwork?: ArpWish;
  /** `lanius pool set --default arp=`, where the network says nothing. */
  readonly ofPool?: ArpWish;
  readonly mode: 'macvlan' | 'bridge' | 'ipvlan';
  /** Planned IPv4 addresses. */
  readonly entries: number;
  /** Whether the kernel can do the responder, or why not. */
  readonly responder: true | string;
}

export interface ArpChoice {
  readonly wish: ArpWish;
  readonly how: ArpHow;
  readonly entries: number;
  /** For people, one line. */
  readonly reason: string;
  /** What was wished cannot be: for doctor. */
  readonly problem?: string;
}

/**
 * Up to here `auto` writes a table into each container: 2 MB of kernel memory and some 5 ms each. Beyond it the responder,
 * which costs no memory per container, is the better one.
 */
export const MOST_PRELOADED_BY_AUTO = 4096;

/** Whether the choice depends on what the kernel can do: finding that out for the first time takes some milliseconds. */
export function needsResponder(wish: ArpWish, entries: number): boolean {
  if (wish === 'off' || entries === 0) return false;
  if (wish === 'responder') return true;
  return entries > (wish === 'auto' ? MOST_PRELOADED_BY_AUTO : MOST_PRELOADED);
}

export function chooseArp({ ofNetwork, ofPool, mode, entries, responder }: ArpCase): ArpChoice {
  const wish = ofNetwork ?? ofPool ?? 'auto';
  const said = ofNetwork !== undefined ? 'the network' : ofPool !== undefined ? 'its pool' : 'nobody';
  const answer = (how: ArpHow, reason: string, problem?: string): ArpChoice => ({
    wish,
    how,
    entries,
    reason,
    ...(problem === undefined ? {} : { problem }),
  });
  if (wish === 'off') return answer('off', `${said} says off`);
  if (entries === 0) return answer('off', 'no IPv4 address is planned');
  if (mode === 'ipvlan') {
    const reason = 'containers of mode ipvlan have the MAC of their parent';
    return wish === 'auto' ? answer('off', reason) : answer('off', reason, `arp=${wish}: ${reason}`);
  }
  if (wish === 'auto') return chooseFor(entries, responder, answer);
  const fits = entries <= MOST_PRELOADED;
  if (wish === 'responder') {
    if (responder === true) return answer('responder', `${said} says responder`);
    return answer(
      fits ? 'preload' : 'off',
      'the responder cannot be had',
      `arp=responder: ${responder}; ${fits ? 'the addresses are preloaded instead' : 'ARP is as usual'}`,
    );
  }
  if (fits) return answer('preload', `${said} says preload`);
  const instead = responder === true ? 'responder' : 'off';
  return answer(
    instead,
    `${entries} addresses are too many to preload`,
    `arp=preload: at most ${MOST_PRELOADED} addresses are preloaded, and ${entries} are planned: give the pool ranges, or say arp=responder`,
  );
}

function chooseFor(
  entries: number,
  responder: true | string,
  answer: (how: ArpHow, reason: string) => ArpChoice,
): ArpChoice {
  if (entries <= MOST_PRELOADED_BY_AUTO) return answer('preload', `${entries} addresses are few`);
  if (responder === true) return answer('responder', `${entries} addresses are many`);
  if (entries <= MOST_PRELOADED) return answer('preload', `the responder cannot be had: ${responder}`);
  return answer(
    'off',
    `${entries} addresses are too many to preload, and the responder cannot be had: ${responder}`,
  );
}
