/**
 * Which of Shrike's addresses containers really have, from the lists of its hosts. Pure.
 *
 * INVARIANT: an address counts as unused only if every host that Shrike names has given a list, and none of them has it.
 * No list, no evidence: then all are kept.
 */
import { formatIp, type IpAddress, parseIp } from '../../core/ip.ts';
import { byValue } from './address-runs.ts';
import type { ShrikeTree } from './shrike-tree.ts';
import type { UsedList } from './used-list.ts';

/** A container that has an address, on one of Shrike's hosts. */
export interface OldUser {
  readonly host: string;
  readonly container: string;
}

export class ShrikeEvidence {
  readonly #users = new Map<string, OldUser[]>();
  /** Why an address that no list names may be in use all the same; undefined: it is not. */
  readonly doubt: string | undefined;
  readonly hosts: number;
  /** Of the hosts themselves, in order. */
  readonly own: readonly IpAddress[];

  /** @param complete the operator says that the lists are of all hosts there are */
  constructor(tree: ShrikeTree, lists: readonly UsedList[], complete: boolean) {
    this.hosts = lists.length;
    this.own = lists.flatMap(({ addresses }) => addresses.map(parseIp)).toSorted(byValue);
    for (const { host, containers } of lists) {
      for (const { name, addresses } of containers) {
        for (const address of new Set(addresses)) {
          const users = this.#users.get(address) ?? [];
          this.#users.set(address, [...users, { host, container: name }]);
        }
      }
    }
    this.doubt = complete && lists.length > 0 ? undefined : doubtOf(tree, lists);
  }

  usersOf(address: IpAddress): readonly OldUser[] {
    return this.#users.get(formatIp(address)) ?? [];
  }

  /** Canonical texts. */
  addresses(): string[] {
    return [...this.#users.keys()];
  }
}

function doubtOf(tree: ShrikeTree, lists: readonly UsedList[]): string | undefined {
  if (lists.length === 0) return 'no host has given a list';
  if (tree.hosts.length === 0) return 'Shrike names no hosts, so the lists may not be of all';
  const listed = new Set(lists.flatMap(({ addresses }) => addresses));
  const silent = tree.hosts.map(formatIp).filter((address) => !listed.has(address));
  if (silent.length === 0) return undefined;
  const more = silent.length > 1 ? ` and ${silent.length - 1} more` : '';
  return `host ${silent[0]}${more} has given no list`;
}
