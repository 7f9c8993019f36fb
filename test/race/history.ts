/**
 * What a race recorded: every question to a host, every answer and every crash, in the order in which the one
 * parent process saw them. That order is the only clock of the checker: an address that was answered to one host
 * after its release was asked of another is rightly given.
 *
 * Must not judge anything: that is checker.ts.
 */

export type RaceEvent =
  | { readonly what: 'take asked'; readonly host: string; readonly call: number; readonly address?: string }
  | { readonly what: 'take answered'; readonly host: string; readonly call: number; readonly address: string }
  | {
      readonly what: 'take refused';
      readonly host: string;
      readonly call: number;
      readonly reason: string;
      /** The host could not say whether etcd had done it. */
      readonly unknown: boolean;
    }
  | {
      readonly what: 'release asked' | 'release answered';
      readonly host: string;
      readonly call: number;
      readonly address: string;
    }
  /** The process died with the question open. */
  | {
      readonly what: 'take lost' | 'release lost';
      readonly host: string;
      readonly call: number;
      readonly address?: string;
    }
  | {
      readonly what: 'host killed' | 'host ready' | 'answers lost' | 'answers back';
      readonly host: string;
    }
  | { readonly what: 'leader killed' | 'member back'; readonly member: number };

/** An event and its milliseconds since the start of the race; the order of the list is what counts. */
export type Recorded = RaceEvent & { readonly atMs: number };

export class RaceHistory {
  readonly events: Recorded[] = [];
  readonly #startedAtMs = performance.now();

  add(event: RaceEvent): void {
    this.events.push({ ...event, atMs: performance.now() - this.#startedAtMs });
  }

  count(what: RaceEvent['what']): number {
    return this.events.filter((event) => event.what === what).length;
  }

  /** The outcomes that a host could not tell, or that its death hid. */
  get unknown(): number {
    const isUnknown = (event: RaceEvent): boolean =>
      (event.what === 'take refused' && event.unknown) ||
      event.what === 'take lost' ||
      event.what === 'release lost';
    return this.events.filter(isUnknown).length;
  }

  /** Everything that concerns an address: its own events and the crashes between them; a line each. */
  of(address: string): string[] {
    const mine = (event: RaceEvent): boolean => 'address' in event && event.address === address;
    const first = this.events.findIndex(mine);
    return this.events
      .filter((event, index) => mine(event) || (index > first && !('call' in event)))
      .map(lineOf);
  }
}

function lineOf({ atMs, what, ...rest }: Recorded): string {
  const words = Object.entries(rest).map(([name, value]) => `${name}=${value}`);
  return `${atMs.toFixed(1).padStart(9)} ms  ${what.padEnd(16)} ${words.join(' ')}`;
}
