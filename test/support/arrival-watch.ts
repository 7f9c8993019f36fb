/**
 * A program: waits for the next sandbox of a machine into which a link of ours arrives, and measures from outside of the
 * daemon how long it takes until the link is up and until its ARP setting is in force. Prints `Arrival` as JSON.
 *
 * It looks every third of a millisecond; so that is what its figures are exact to, and it takes a part of a processor.
 */
import { existsSync, readdirSync } from 'node:fs';
import { linkList } from '../../net/macvlan.ts';
import type { LinkInfo } from '../../net/port.ts';
import { openSocketIn } from '../../net/rtnetlink/namespace.ts';
import { neighbourGetPayload, readNeighbour } from '../../net/rtnetlink/neighbour.ts';
import type { RtnetlinkSocket } from '../../net/rtnetlink/socket.ts';
import { filterDump, readFilter } from '../../net/rtnetlink/traffic-control.ts';
import * as uapi from '../../net/rtnetlink/uapi.ts';

export interface ArrivalWatch {
  /** Where the machine's engine has its sandboxes, as this program can read it. */
  readonly folder: string;
  readonly setting: 'preload' | 'responder';
  /** Low 32 bits of planned IPv4 addresses, of which each must have its entry (preload). */
  readonly samples: readonly number[];
}

export interface Arrival {
  /** From when the link was first seen in the sandbox. */
  readonly upMs: number;
  readonly inForceMs: number;
}

const PAUSE_MS = 0.3;
const PATIENCE_MS = 60_000;
const pause = new Int32Array(new SharedArrayBuffer(4));
const end = performance.now() + PATIENCE_MS;

/** @throws if it takes too long */
function wait(): void {
  if (performance.now() > end) throw new Error('nothing arrived, or it was not put in force');
  Atomics.wait(pause, 0, 0, PAUSE_MS);
}

/** The engine makes the folder with its first sandbox. */
function sandboxesIn(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder) : [];
}

function nextSandbox(folder: string): RtnetlinkSocket {
  const before = new Set(sandboxesIn(folder));
  process.stdout.write('watching\n');
  for (;;) {
    for (const name of sandboxesIn(folder).filter((one) => !before.has(one))) {
      const socket = openSocketIn(`${folder}/${name}`);
      if (socket !== undefined) return socket;
    }
    wait();
  }
}

function ownLink(socket: RtnetlinkSocket): LinkInfo | undefined {
  return linkList(socket).find(({ alias }) => alias?.startsWith('lanius:') === true);
}

function hasEntry(socket: RtnetlinkSocket, linkIndex: number, address: number): boolean {
  const run = { family: 4, upper: '', first: address, last: address, macHead: 0, macXor: 0 } as const;
  const payload = neighbourGetPayload(linkIndex, run);
  try {
    const messages = socket.request({ type: uapi.RTM_GETNEIGH, flags: 0, payload, operation: 'look' });
    return messages.some(
      (message) => readNeighbour(message.payload, 0, message.payload.length)?.permanent === true,
    );
  } catch {
    return false; // there is none
  }
}

function hasFilter(socket: RtnetlinkSocket, linkIndex: number): boolean {
  return socket
    .dump(filterDump(linkIndex, uapi.TC_H_CLSACT_EGRESS, 'look'))
    .some(({ payload }) => readFilter(payload)?.name === 'lanius-arp');
}

const { folder, setting, samples } = JSON.parse(process.argv[2] ?? '{}') as ArrivalWatch;
const socket = nextSandbox(folder);
let link = ownLink(socket);
for (; link === undefined; link = ownLink(socket)) wait();
const { linkIndex } = link;
const arrivedAt = performance.now();
while (ownLink(socket)?.up !== true) wait();
const upAt = performance.now();
const missing = [...samples];
const inForce = (): boolean => {
  if (setting === 'responder') return hasFilter(socket, linkIndex);
  for (let last = missing.at(-1); last !== undefined; last = missing.at(-1)) {
    if (!hasEntry(socket, linkIndex, last)) return false;
    missing.pop();
  }
  return true;
};
while (!inForce()) wait();
const arrival: Arrival = { upMs: upAt - arrivedAt, inForceMs: performance.now() - arrivedAt };
socket.close();
process.stdout.write(`${JSON.stringify(arrival)}\n`);
