/**
 * From the bytes of a request to a JSON object. The engine sends no Content-Type, so nothing may depend on one.
 *
 * Must not: hold more than the limit in memory, or throw anything but InvalidRequest.
 */
import type { IncomingMessage } from 'node:http';
import { InvalidRequest } from '../core/errors.ts';

/** Far above any real request (a few kB), far below what would hurt. */
export const MOST_BODY_BYTES = 512 * 1024;
/** What is read and thrown away, so that the sender gets to read the answer. */
const MOST_DISCARDED_BYTES = 16 * 1024 * 1024;

/**
 * The whole body as text; "" if there is none.
 * @throws InvalidRequest if it is larger than {@link MOST_BODY_BYTES}, or the connection breaks
 */
export async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      length += chunk.length;
      if (length <= MOST_BODY_BYTES) chunks.push(chunk);
      else chunks.length = 0;
      if (length > MOST_DISCARDED_BYTES) break;
    }
  } catch (cause) {
    throw new InvalidRequest('the connection broke within the request body: nothing was done', { cause });
  }
  if (length > MOST_BODY_BYTES) {
    throw new InvalidRequest(`the request body has more than ${MOST_BODY_BYTES / 1024} kB: nothing was done`);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/**
 * @param method for the text
 * @param emptyBody the method may come without a body, which then is `{}`
 * @throws InvalidRequest unless it is a JSON object
 */
export function parseBody(text: string, method: string, emptyBody: boolean): object {
  const verb = method.slice(method.indexOf('.') + 1);
  if (text.trim() === '') {
    if (emptyBody) return {};
    throw new InvalidRequest(
      `${verb}: the request has an empty body (the engine retried a call whose connection broke): nothing was done, start the container again`,
    );
  }
  const value = parseJson(text);
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value;
  throw new InvalidRequest(`${verb}: the request body is not a JSON object: nothing was done`);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
