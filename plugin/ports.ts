/** What the network driver is given: its settings and the parts it stands on. No code. */
import type { Clock } from '../core/clock.ts';
import type { Deadline } from '../core/deadline.ts';
import type { Logger } from '../core/log.ts';
import type { MacPrefix } from '../core/mac.ts';
import type { AddressService } from '../ipam/address-service.ts';
import type { Attachments } from '../links/attachments.ts';
import type { Sandboxes } from '../links/sandbox-setting.ts';
import type { Uplinks } from '../links/uplinks.ts';
import type { NetPort } from '../net/port.ts';
import type { EndpointRecord, NetworkRecord } from '../store/host-records.ts';
import type { EndpointLimits } from '../throttle/endpoint-limits.ts';

/** Both address spaces are the same: every pool is cluster-wide. CreateNetwork recognises our IPAM by it. */
export const ADDRESS_SPACE = 'lanius';

/** What the handlers need of store/records.ts: everything is in memory, changes are on disk when they resolve. */
export interface Records<T> {
  get(id: string): T | undefined;
  list(): readonly T[];
  put(id: string, record: T): Promise<void>;
  delete(id: string): Promise<boolean>;
}

/**
 * Told about endpoints so that somebody finds out, later and outside the handlers, which container has them and
 * notes it in the lease. Both return at once and never throw. `left` may come twice, or for an id never joined.
 */
export interface Holders {
  joined(endpoint: EndpointRecord): void;
  left(endpointId: string): void;
}

export interface NetworkDriverOptions {
  /** Name under which the engine knows us; for error texts. */
  readonly driverName: string;
  /** The parent of networks that name none. */
  readonly defaultParent?: string;
  /** Of pools that say nothing. */
  readonly macPrefix: MacPrefix;
  /** Random, new for every daemon process. */
  readonly instance: string;
}

export interface NetworkDriverDependencies {
  readonly addresses: AddressService;
  readonly net: NetPort;
  readonly networks: Records<NetworkRecord>;
  readonly endpoints: Records<EndpointRecord>;
  readonly holders: Holders;
  readonly attachments: Attachments;
  readonly uplinks: Uplinks;
  readonly sandboxes: Sandboxes;
  readonly limits: Pick<EndpointLimits, 'joining' | 'admit' | 'joined' | 'left'>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** What a handler is called with besides its request. */
export interface Call {
  readonly deadline: Deadline;
  /** With method and request id on every line. */
  readonly logger: Logger;
}
