/**
 * `adopt_address=true`: the addresses and routes of a link move to the bridge that it becomes a port of, and back when
 * the bridge goes. A host that must not lose its address even if the daemon is killed in between:
 *
 * 1. what is to move is noted on disk, 2. one system call makes the link a port, gives the bridge the addresses and lets
 * the routes go through it, 3. the addresses are deleted from the link. Between 2 and 3 both have them. Back it goes the
 * same way. Every step finds out what is done already, so a daemon that was killed does them again, in either direction.
 *
 * The note is for exactness (labels, routes that were in the middle of their move) and tells what was moved by us; what
 * is where is asked of the kernel. A note of an earlier boot says nothing: the host's own configuration has been at work.
 */
import { InvalidRequest, KernelError } from '../core/errors.ts';
import { failpoint } from '../core/failpoint.ts';
import type { Logger } from '../core/log.ts';
import type { Addressing, BridgePort } from '../net/bridge-port.ts';
import type { AddressEntry } from '../net/rtnetlink/address.ts';
import type { RouteEntry } from '../net/rtnetlink/route.ts';
import type { AdoptionRecord } from '../store/host-records.ts';

export interface AdoptionRecords {
  get(bridge: string): AdoptionRecord | undefined;
  list(): readonly AdoptionRecord[];
  put(bridge: string, record: AdoptionRecord): Promise<void>;
  delete(bridge: string): Promise<boolean>;
}

export interface AddressAdoptionOptions {
  /** Of this boot of the host. */
  readonly bootId: string;
}

export interface AddressAdoptionDependencies {
  readonly bridges: BridgePort;
  readonly adoptions: AdoptionRecords;
  readonly logger: Logger;
}

/** What was asked may have been done. */
const ANSWER_LOST: readonly string[] = ['ENOBUFS', 'EAGAIN', 'EMSGSIZE'];

export class AddressAdoption {
  readonly #bootId: string;
  readonly #deps: AddressAdoptionDependencies;

  constructor({ bootId }: AddressAdoptionOptions, deps: AddressAdoptionDependencies) {
    this.#bootId = bootId;
    this.#deps = deps;
  }

  /**
   * Makes the link a port of the bridge, with its addresses and routes. Idempotent; also finishes what a crash cut off.
   * @param joined the link is a port of the bridge already. If not, what was noted may be on neither of them: somebody
   *   has deleted the bridge, or the driver of the link was loaded again
   * @throws InvalidRequest for what cannot move; KernelError: then all is as it was
   */
  async adopt(bridge: string, uplink: string, joined: boolean): Promise<void> {
    const { bridges, adoptions, logger } = this.#deps;
    const before = this.#noteOf(bridge);
    const found = await bridges.addressingOf(uplink);
    if (found.obstacle !== undefined) {
      throw new InvalidRequest(
        `option adopt_address: ${found.obstacle}: make it static, or let the host's own network configuration make the bridge, and give that as -o bridge=`,
      );
    }
    const again = before !== undefined && (!joined || !before.done);
    const moving = again ? merged(before, found) : found;
    if (isEmpty(moving)) return bridges.uplinkJoin(bridge, uplink);
    const noted = before === undefined ? found : merged(before, found);
    const note = { v: 1 as const, bridge, uplink, bootId: this.#bootId, ...plain(noted) };
    await adoptions.put(bridge, { ...note, done: false });
    failpoint('adopt.after-record');
    try {
      await bridges.addressingMove({
        from: uplink,
        to: bridge,
        addressing: moving,
        port: { uplink, bridge },
      });
    } catch (error) {
      if (isTakenBack(error))
        await (before === undefined ? adoptions.delete(bridge) : adoptions.put(bridge, before));
      throw error;
    }
    failpoint('adopt.after-move');
    await bridges.addressesDelete(uplink, moving.addresses);
    failpoint('adopt.after-delete');
    await adoptions.put(bridge, { ...note, done: true });
    logger.info("the host's addresses have moved from a link to its bridge", {
      link: uplink,
      bridge,
      addresses: moving.addresses.map(textOf),
      routes: moving.routes.length,
    });
  }

  /**
   * Takes the link off the bridge, with what the bridge has of addresses and routes. Idempotent.
   * @throws NotFound if one of them has vanished; KernelError: then all is as it was
   */
  async restore(bridge: string, uplink: string): Promise<void> {
    const { bridges, logger } = this.#deps;
    const note = this.#noteOf(bridge);
    const found = await bridges.addressingOf(bridge);
    const exact = note === undefined ? found : asNoted(found, note);
    const addressing = note !== undefined && !note.done ? merged(note, exact) : exact;
    if (found.obstacle !== undefined) {
      logger.warn('not all that goes through a bridge can be given back to its link', {
        link: uplink,
        bridge,
        reason: found.obstacle,
      });
    }
    failpoint('restore.before-move');
    await bridges.addressingMove({ from: bridge, to: uplink, addressing, port: { uplink } });
    failpoint('restore.after-move');
    await bridges.addressesDelete(bridge, addressing.addresses);
    failpoint('restore.after-delete');
    logger.info("the host's addresses have moved back from a bridge to its link", {
      link: uplink,
      bridge,
      addresses: addressing.addresses.map(textOf),
      routes: addressing.routes.length,
    });
  }

  /** The link whose addresses the bridge has, or may have. */
  uplinkOf(bridge: string): string | undefined {
    return this.#noteOf(bridge)?.uplink;
  }

  /** Forgets what was moved to bridges other than these. Idempotent. */
  async forgetAllBut(bridges: ReadonlySet<string>): Promise<void> {
    for (const { bridge } of this.#deps.adoptions.list()) {
      if (!bridges.has(bridge)) await this.#deps.adoptions.delete(bridge);
    }
  }

  #noteOf(bridge: string): AdoptionRecord | undefined {
    const note = this.#deps.adoptions.get(bridge);
    return note?.bootId === this.#bootId ? note : undefined;
  }
}

function isEmpty({ addresses, routes }: Addressing): boolean {
  return addresses.length === 0 && routes.length === 0;
}

/** What is noted, and after it what is new. */
function merged(noted: Addressing, found: Addressing): Addressing {
  const addresses = new Set(noted.addresses.map(textOf));
  const routes = new Set(noted.routes.map(keyOf));
  return {
    addresses: [...noted.addresses, ...found.addresses.filter((one) => !addresses.has(textOf(one)))],
    routes: [...noted.routes, ...found.routes.filter((one) => !routes.has(keyOf(one)))],
  };
}

/** What is there, in the form and order that it had before it moved. */
function asNoted(found: Addressing, note: Addressing): Addressing {
  const addresses = new Set(found.addresses.map(textOf));
  const routes = new Set(found.routes.map(keyOf));
  return merged(
    {
      addresses: note.addresses.filter((one) => addresses.has(textOf(one))),
      routes: note.routes.filter((one) => routes.has(keyOf(one))),
    },
    found,
  );
}

/** For the disk: nothing but what its schema has. */
function plain({ addresses, routes }: Addressing): Pick<AdoptionRecord, 'addresses' | 'routes'> {
  const copy = <T extends { readonly attributes: readonly unknown[] }>(one: T) => ({
    ...one,
    attributes: [...one.attributes] as T['attributes'][number][],
  });
  return { addresses: addresses.map(copy), routes: routes.map(copy) };
}

function textOf({ address, prefixLength }: AddressEntry): string {
  return `${address}/${prefixLength}`;
}

/** Tells a route from the others, whatever link it goes through. */
function keyOf(route: RouteEntry): string {
  const { family, destination, prefixLength, gateway, table, tos, attributes } = route;
  const metric = attributes.find(({ type }) => type === RTA_PRIORITY)?.hex;
  return JSON.stringify([family, destination, prefixLength, gateway, table, tos, metric]);
}

/** linux/rtnetlink.h */
const RTA_PRIORITY = 6;

/** All is as it was before. Else the note stays, so that the next look puts right what it finds. */
function isTakenBack(error: unknown): boolean {
  if (!(error instanceof KernelError)) return true;
  return error.details['notRestored'] === undefined && !ANSWER_LOST.includes(error.errnoName);
}
