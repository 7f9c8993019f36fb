/**
 * What every route of the admin socket is made of: a handler whose result is the answer, and the check of what was
 * sent. Routes by subject are in daemon/admin-*.ts, put on the app by daemon/admin-server.ts.
 */
import type { RequestHandler, Response } from 'express';
import type { z } from 'zod';
import { InvalidRequest, StoreUnavailable } from '../core/errors.ts';
import { STALE_HEADER, STALE_NOTE } from '../plugin/wire/admin.ts';

/** What a route works on. */
export interface AdminCall {
  readonly query: unknown;
  readonly body: unknown;
}

/** A handler whose result, awaited, is the answer. What it throws becomes the answer of daemon/admin-server.ts. */
export function answer(work: (call: AdminCall) => unknown): RequestHandler {
  return async (request, response) => {
    response.json(await work(callOf(request)));
  };
}

/** The same; while etcd does not answer, what `known` gives from memory, with a header that says so. */
export function answerOrKnown(
  work: (call: AdminCall) => unknown,
  known: ((call: AdminCall) => unknown) | undefined,
): RequestHandler {
  return async (request, response) => {
    const call = callOf(request);
    try {
      response.json(await work(call));
    } catch (error) {
      if (known === undefined || !(error instanceof StoreUnavailable)) throw error;
      response.setHeader(STALE_HEADER, STALE_NOTE).json(known(call));
    }
  };
}

/**
 * A handler that answers with a long list, page by page as they come, so that the daemon never holds all of it. A
 * failure before the first page is answered as any other, or from memory; later ones break the answer off.
 */
export function answerList(
  work: (call: AdminCall) => AsyncIterable<readonly unknown[]>,
  known: ((call: AdminCall) => readonly unknown[]) | undefined,
): RequestHandler {
  return async (request, response) => {
    const call = callOf(request);
    const pages = work(call)[Symbol.asyncIterator]();
    let page: IteratorResult<readonly unknown[], unknown>;
    try {
      page = await pages.next();
    } catch (error) {
      if (known === undefined || !(error instanceof StoreUnavailable)) throw error;
      response.setHeader(STALE_HEADER, STALE_NOTE).json(known(call));
      return;
    }
    response.setHeader('Content-Type', 'application/json; charset=utf-8');
    let sent = 0;
    for (; page.done !== true; page = await pages.next()) {
      const text = page.value.map((item) => JSON.stringify(item)).join(',');
      if (text === '') continue;
      await written(response, `${sent === 0 ? '[' : ','}${text}`);
      sent += 1;
      if (response.destroyed) return;
    }
    response.end(sent === 0 ? '[]' : ']');
  };
}

/** @throws InvalidRequest that names the field */
export function shaped<T>(schema: z.ZodType<T>, value: unknown): T {
  const parsed = schema.safeParse(value ?? {});
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const field = issue?.path.join('.') ?? '';
  throw new InvalidRequest(`${field === '' ? 'the request' : field}: ${complaintOf(issue)}`);
}

/** zod's own words for the length of a text are none for people. */
function complaintOf(issue: z.core.$ZodIssue | undefined): string {
  if (issue?.code === 'too_big' && issue.origin === 'string')
    return `is longer than ${issue.maximum} characters`;
  if (issue?.code === 'too_small' && issue.origin === 'string') return 'must not be empty';
  return issue?.message ?? 'has the wrong shape';
}

function callOf(request: { readonly query: unknown; readonly body: unknown }): AdminCall {
  return { query: request.query, body: request.body };
}

/** Resolves when the reader has taken it, or has gone. */
function written(response: Response, text: string): Promise<void> {
  return new Promise((resolve) => {
    if (response.write(text) || response.destroyed) {
      resolve();
      return;
    }
    const done = (): void => {
      response.off('drain', done).off('close', done);
      resolve();
    };
    response.once('drain', done).once('close', done);
  });
}
