/**
 * The fields that several plugin requests share: ids, addresses, option maps. Values leave here parsed; what does
 * not fit is refused with a text that names the field.
 *
 * Must not: be strict about what Go sends loosely (null for an empty map or list, "" for nothing, new fields).
 * Source: moby libnetwork/drivers/remote/api, libnetwork/ipams/remote/api; recordings in test/fixtures/dockerd.
 */
import { z } from 'zod';
import { DriverError } from '../../core/errors.ts';
import { type Cidr, type IpAddress, parseCidr, parseInterface, parseIp } from '../../core/ip.ts';

/**
 * Ids become file names and keys, so nothing but letters and digits. 64 hex digits for local networks, 25 of
 * base 36 for those that Swarm makes.
 */
export const networkIdField = z
  .string()
  .regex(/^[0-9a-z]{12,64}$/, 'is not a network id (12 to 64 lower-case letters and digits)');

/** Always made by the engine itself; link names are cut from it, so its randomness matters. */
export const endpointIdField = z.string().regex(/^[0-9a-f]{64}$/, 'is not an endpoint id (64 hex digits)');

/** As RequestPool answered it; opaque here, only kept printable and short. */
export const poolIdField = z.string().regex(/^[\x21-\x7e]{1,256}$/, 'is not a pool id');

/** A map as the engine sends it; null and absent mean empty. Values stay unknown until their key is known. */
export const optionsField = z
  .record(z.string(), z.unknown())
  .nullish()
  .transform((options) => options ?? {});

export interface InterfaceAddress {
  readonly address: IpAddress;
  readonly subnet: Cidr;
}

/** `10.0.0.7/16`, or nothing ("", null, absent). */
export const interfaceField = textField(parseInterface);
/** `10.0.0.0/16`, host bits cleared, or nothing. */
export const cidrField = textField(parseCidr);
/** A bare address, or nothing. */
export const ipField = textField(parseIp);

function textField<T>(parse: (text: string) => T): z.ZodType<T | undefined> {
  return z
    .string()
    .nullish()
    .transform((text, context) => {
      if (text === '' || text === null || text === undefined) return undefined;
      try {
        return parse(text);
      } catch (err) {
        if (!(err instanceof DriverError)) throw err;
        context.addIssue({ code: 'custom', message: err.message });
        return z.NEVER;
      }
    });
}

/** A list of Go; null and absent mean empty. */
export function listOf<T extends z.ZodType>(item: T) {
  return z
    .array(item)
    .nullish()
    .transform((list) => list ?? []);
}

/** Requests without fields: the body is empty or `{}`. */
export const nothingRequest = z.object({});
/** Replies without fields. */
export const nothingReply = z.object({});
