/**
 * What is set inside the sandbox of an endpoint after its link has arrived there: ARP today. Everything of it is lost
 * when the link moves, and much of it when the link is set down, so it is applied again whenever the kernel says so.
 */
import type { EndpointRecord, NetworkRecord } from '../store/host-records.ts';

/** An endpoint's link where it is now. */
export interface SandboxLink {
  readonly endpoint: EndpointRecord;
  readonly network: NetworkRecord;
  /** Of the sandbox, e.g. `/var/run/docker/netns/0f5c…`. */
  readonly namespacePath: string;
  /** Its name there, e.g. `eth0`. */
  readonly name: string;
  readonly linkIndex: number;
  readonly mtuBytes: number;
}

/**
 * Why a setting is applied. `arrived`: the link is new in the sandbox, everything is missing. `up`: it was down, which
 * wipes neighbours. `neighbours-lost`: something happened that wipes neighbours, at least of that link. `check`: anything
 * may be missing, likely nothing is.
 */
export type Occasion = 'arrived' | 'up' | 'neighbours-lost' | 'check';

export interface SandboxSetting {
  /** For logs and doctor: `arp`. */
  readonly name: string;
  /** Without it a container must not run: where the engine waits for us, its start fails. Else it is told and tried again. */
  readonly required: boolean;
  /**
   * Puts the setting in force. Idempotent: writes only what is missing. A sandbox or link that is gone is no error.
   * @param mended to be told what was missing or wrong, if anything was: `3 entries`; counted and logged where the
   *   kernel itself has not wiped it
   * @returns what is in force, for people: `preload, 65534 entries`; undefined if the network wants nothing
   * @throws KernelError
   */
  apply(link: SandboxLink, occasion: Occasion, mended: (what: string) => void): Promise<string | undefined>;
}

/** What the driver tells of its endpoints. */
export interface Sandboxes {
  /** After Join: the link will arrive in the sandbox. Returns at once, never throws. */
  joined(endpoint: EndpointRecord): void;
  /**
   * The engine says that the link is in the sandbox (ProgramExternalConnectivity, engine 28 and later): returns when
   * every setting is in force or, if it is not required, could not be. Does nothing if the link is not there yet (older engines call before the move).
   * @throws KernelError, DeadlineExceeded
   */
  program(endpointId: string): Promise<void>;
  /** Before the link leaves. Returns at once, never throws; also for endpoints never heard of. */
  left(endpointId: string): void;
}
