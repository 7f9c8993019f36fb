/** Reserving addresses for names over the admin socket: paths and requests; the answer is a `ReservationInfo`. */
import { z } from 'zod';
import type { ReservationInfo } from '../../ipam/inventory.ts';

export type { ReservationInfo };

export const RESERVATION_PATHS = {
  reserve: '/v1/reservations',
  unreserve: '/v1/reservations/end',
} as const;

/** Body of POST /v1/reservations/end. */
export const unreserveRequest = z.strictObject({
  /** Subnet or name of the pool. Absent: the only pool that has the address. */
  pool: z.string().min(1).exactOptional(),
  address: z.string().min(1),
});
export type UnreserveRequest = z.input<typeof unreserveRequest>;

/** Body of POST /v1/reservations. */
export const reserveRequest = unreserveRequest.extend({
  /** A container's name, or any key of the operator's. */
  name: z.string().min(1),
});
export type ReserveRequest = z.input<typeof reserveRequest>;
