/**
 * Plugin.Activate and the shape of a failure.
 * Source: moby docs/extend/plugin_api.md; pkg/plugins/client.go (reads `Err` of a non-200 body).
 */
import { z } from 'zod';

/** Sent once in the life of dockerd, with an empty body. @see moby docs/extend/plugin_api.md#handshake-api */
export const activateReply = z.object({ Implements: z.array(z.string()) });
export type ActivateReply = z.infer<typeof activateReply>;

/**
 * The network side reads `Err`, the IPAM side `Error` (of a 200) or `Err` (otherwise), so both are always sent.
 * @see moby libnetwork/drivers/remote/api/api.go Response; libnetwork/ipams/remote/api/api.go Response
 */
export const failureReply = z.object({ Err: z.string(), Error: z.string() });
export type FailureReply = z.infer<typeof failureReply>;
