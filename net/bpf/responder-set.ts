/**
 * The ARP responder's program and maps as they stand in the kernel: opened, filled, pinned, taken away. One set serves all
 * containers of a host. Must run in the kernel worker; must not know of links (net/responder-filter.ts).
 *
 * INVARIANTS
 * - The pins of one version are in one folder, which gets its name when it is whole. Where nothing can be pinned the
 *   set lives as long as this process and the filters that use it; the next daemon makes a new one and puts it in their place.
 * - Nobody else changes the maps: what stands in them is known here.
 * - While a plan changes, what is planned before and after is answered throughout: entries come before others go.
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { Unsupported } from '../../core/errors.ts';
import type { NeighbourRun } from '../neighbour-plan.ts';
import { BPF_LD_IMM_64, BPF_PSEUDO_MAP_FD } from '../rtnetlink/uapi.ts';
import { pinsIn, pinTogether, preparePinFolder, removePins, unpinAllBut } from './file-system.ts';
import * as objects from './objects.ts';
import * as layout from './responder-layout.ts';
import { RESPONDER_PROGRAM } from './responder-program.ts';

type Fds = Readonly<Record<layout.MapName | 'program', number>>;

interface Network {
  readonly slot: number;
  digest: string;
  leasedUntilNs: bigint;
  answers: layout.Entries;
  leased: layout.Entries;
}

const PIN_NAME = `arp-${layout.RESPONDER_VERSION}`;
const NO_DIGEST = '0'.repeat(32);
const NOTHING: layout.Entries = new Map();

export class ResponderSet {
  readonly programId: number;
  /** Why it does not outlive the daemon; undefined if it does. */
  readonly unpinned: string | undefined;
  readonly #folder: string;
  readonly #fds: Fds;
  readonly #networks: Map<string, Network>;

  private constructor(folder: string, fds: Fds, unpinned: string | undefined) {
    this.#folder = folder;
    this.#fds = fds;
    this.unpinned = unpinned;
    this.programId = objects.programId(fds.program);
    this.#networks = readNetworks(fds);
  }

  /** The set that is pinned, else a new one. @throws KernelError with the verifier's words */
  static open(folder: string): ResponderSet {
    const standing = ResponderSet.openPinned(folder);
    if (standing !== undefined) return standing;
    const fds = makeObjects();
    return new ResponderSet(folder, fds, pin(folder, fds));
  }

  /** The set that an earlier process left; sets of other versions lose their pins. */
  static openPinned(folder: string): ResponderSet | undefined {
    if (!pinsIn(folder).includes(PIN_NAME)) return undefined;
    const fds = openObjects(join(folder, PIN_NAME));
    if (fds === undefined) return undefined;
    unpinAllBut(folder, [PIN_NAME]);
    return new ResponderSet(folder, fds, undefined);
  }

  get programFd(): number {
    return this.#fds.program;
  }

  networkIds(): string[] {
    return [...this.#networks.keys()];
  }

  slotOf(networkId: string): number | undefined {
    return this.#networks.get(networkId)?.slot;
  }

  /** Makes the answers of a network what the plan says. Idempotent. @returns whether something changed */
  plan(networkId: string, runs: readonly NeighbourRun[]): boolean {
    const network = this.#networks.get(networkId) ?? this.#add(networkId);
    const digest = layout.digestOf(runs);
    if (network.digest === digest) return false;
    const answers = layout.answersOf(network.slot, runs);
    // No digest while it is neither: a kill meanwhile makes the next process compare again.
    if (network.digest !== NO_DIGEST) this.#record(networkId, Object.assign(network, { digest: NO_DIGEST }));
    this.#write(network, 'answers', answers);
    this.#record(networkId, Object.assign(network, { digest }));
    return true;
  }

  /** Until that time only what is leased is answered. @param from what the change is put onto; all that stands if absent */
  lease(
    networkId: string,
    added: Iterable<number>,
    removed: Iterable<number>,
    untilNs: bigint,
    anew: boolean,
  ): void {
    const network = this.#networks.get(networkId) ?? this.#add(networkId);
    const leased = layout.leasedOf(network.slot, anew ? NOTHING : network.leased, added, removed);
    this.#write(network, 'leased', leased);
    this.#record(networkId, Object.assign(network, { leasedUntilNs: untilNs }));
  }

  /** Its containers ask by ordinary ARP again. Idempotent. */
  release(networkId: string): void {
    const network = this.#networks.get(networkId);
    if (network === undefined) return;
    this.#record(networkId, Object.assign(network, { digest: NO_DIGEST }));
    this.#write(network, 'answers', NOTHING);
    this.#write(network, 'leased', NOTHING);
    objects.mapDelete(this.#fds.networks, layout.slotKey(network.slot));
    this.#networks.delete(networkId);
  }

  /** Lets the kernel free what no filter uses. */
  remove(): void {
    removePins(this.#folder);
    this.close();
  }

  close(): void {
    objects.closeAll(Object.values(this.#fds));
  }

  #add(networkId: string): Network {
    const taken = new Set([...this.#networks.values()].map(({ slot }) => slot));
    const start = createHash('sha256').update(networkId).digest().readUInt16LE(0);
    for (let i = 0; i < layout.SLOTS; i++) {
      const slot = 1 + ((start + i) % layout.SLOTS);
      if (taken.has(slot)) continue;
      const network = { slot, digest: NO_DIGEST, leasedUntilNs: 0n, answers: NOTHING, leased: NOTHING };
      this.#record(networkId, network);
      this.#networks.set(networkId, network);
      return network;
    }
    throw new Unsupported(`the ARP responder serves ${layout.SLOTS} networks of a host: use arp=preload`);
  }

  #record(networkId: string, { slot, digest, leasedUntilNs }: Network): void {
    const value = layout.networkEntry({ networkId, digest, leasedUntilNs });
    objects.mapSet(
      this.#fds.networks,
      layout.slotKey(slot),
      value,
      `serve network ${networkId.slice(0, 12)}`,
    );
  }

  /** Memory follows the kernel's map entry by entry: a write that fails half way leaves both the same. */
  #write(network: Network, map: 'answers' | 'leased', wanted: layout.Entries): void {
    const fd = this.#fds[map];
    const standing = new Map(network[map]);
    network[map] = standing;
    const what = `write ${map} of the ARP responder`;
    for (const [key, value] of wanted) {
      if (standing.get(key) === value) continue;
      objects.mapSet(fd, Buffer.from(key, 'hex'), Buffer.from(value, 'hex'), what);
      standing.set(key, value);
    }
    for (const key of [...standing.keys()]) {
      if (wanted.has(key)) continue;
      objects.mapDelete(fd, Buffer.from(key, 'hex'));
      standing.delete(key);
    }
  }
}

/** Tries everything but pinning, for a moment. @throws KernelError if the kernel lacks something */
export function withTrialProgram<T>(use: (programFd: number) => T): T {
  const fds = makeObjects();
  try {
    return use(fds.program);
  } finally {
    objects.closeAll(Object.values(fds));
  }
}

function makeObjects(): Fds {
  const made: number[] = [];
  try {
    const instructions = Buffer.from(RESPONDER_PROGRAM, 'hex');
    const fds: Partial<Record<layout.MapName, number>> = {};
    for (const { map, mark, ...spec } of layout.MAPS) {
      const fd = objects.mapCreate(spec);
      made.push(fd);
      fds[map] = fd;
      useMap(instructions, mark, fd);
    }
    const program = objects.programLoad(layout.PROGRAM_NAME, instructions);
    return { ...(fds as Record<layout.MapName, number>), program };
  } catch (error) {
    objects.closeAll(made);
    throw error;
  }
}

/** Puts the map's descriptor where the program has its mark. */
function useMap(instructions: Buffer, mark: number, fd: number): void {
  for (let at = 0; at < instructions.length; at += 8) {
    if (instructions[at] !== BPF_LD_IMM_64) continue;
    if (instructions.readUInt32LE(at + 4) === mark && instructions.readUInt32LE(at + 12) === 0) {
      instructions[at + 1] = ((instructions[at + 1] ?? 0) & 0x0f) | (BPF_PSEUDO_MAP_FD << 4);
      instructions.writeUInt32LE(fd, at + 4);
    }
    at += 8;
  }
}

/** @returns undefined if one is missing */
function openObjects(folder: string): Fds | undefined {
  const opened: number[] = [];
  const open = (name: string): number | undefined => {
    const fd = objects.objectOpen(join(folder, name));
    if (fd !== undefined) opened.push(fd);
    return fd;
  };
  const [program, networks, answers, leased] = ['program', 'networks', 'answers', 'leased'].map(open);
  if (program !== undefined && networks !== undefined && answers !== undefined && leased !== undefined) {
    return { program, networks, answers, leased };
  }
  objects.closeAll(opened);
  return undefined;
}

/** @returns why not */
function pin(folder: string, fds: Fds): string | undefined {
  try {
    preparePinFolder(folder);
    unpinAllBut(folder, []);
    const done = pinTogether(folder, PIN_NAME, (unfinished) => {
      for (const [name, fd] of Object.entries(fds)) objects.objectPin(fd, join(unfinished, name));
    });
    return done ? undefined : `another process has pinned ${join(folder, PIN_NAME)}`;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function readNetworks(fds: Fds): Map<string, Network> {
  const networks = new Map<string, Network>();
  const answers = bySlot('answers', fds.answers);
  const leased = bySlot('leased', fds.leased);
  for (const key of objects.mapKeys(fds.networks, 4)) {
    const value = objects.mapGet(fds.networks, key, 56);
    if (value === undefined) continue;
    const { networkId, digest, leasedUntilNs } = layout.readNetworkEntry(value);
    const slot = key.readUInt32LE(0);
    networks.set(networkId, {
      slot,
      digest,
      leasedUntilNs,
      answers: answers.get(slot) ?? NOTHING,
      leased: leased.get(slot) ?? NOTHING,
    });
  }
  return networks;
}

function bySlot(map: 'answers' | 'leased', fd: number): Map<number, Map<string, string>> {
  const spec = layout.MAPS.find((one) => one.map === map);
  const slots = new Map<number, Map<string, string>>();
  if (spec === undefined) return slots;
  for (const key of objects.mapKeys(fd, spec.keyBytes)) {
    const value = objects.mapGet(fd, key, spec.valueBytes);
    if (value === undefined) continue;
    const slot = layout.slotOf(map, key);
    const entries = slots.get(slot) ?? new Map<string, string>();
    slots.set(slot, entries.set(key.toString('hex'), value.toString('hex')));
  }
  return slots;
}
