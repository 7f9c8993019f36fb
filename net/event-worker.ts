/**
 * Entry of the thread that listens: sleeps in poll(2) until the kernel tells something, reads all there is, hands over
 * what matters. Must not ask the kernel for anything, nor import anything above `net/`.
 *
 * INVARIANTS
 * - It runs ahead of its receiver by a few batches at most. Beyond that it reads no more; the kernel drops what does not
 *   fit the sockets' buffers and says so, and a resync is told.
 * - It ends at once when told to, also in the middle of a storm.
 * - Neighbour notifications have a socket of their own: a flood of them costs no link event.
 */
import { stat } from 'node:fs/promises';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { InternalError, NotFound } from '../core/errors.ts';
import { neighbourFilter } from './event-filter.ts';
import { EventBatch, eventsOf } from './event-parse.ts';
import type { Resync } from './event-types.ts';
import type { EventWorkerMessage, EventWorkerOptions } from './event-worker-protocol.ts';
import { eventfd, poll } from './rtnetlink/libc.ts';
import { MulticastSocket } from './rtnetlink/multicast-socket.ts';
import { enterForGood } from './rtnetlink/namespace.ts';
import * as uapi from './rtnetlink/uapi.ts';
import { packError } from './worker-protocol.ts';

/** About 2,000 link notifications. */
const LINK_BUFFER_BYTES = 4 * 1024 * 1024;
const NEIGHBOUR_BUFFER_BYTES = 2 * 1024 * 1024;
const BATCH_EVENTS = 256;
/** Datagrams in one go; with events that are dropped or merged a batch may never fill. */
const BATCH_DATAGRAMS = 4096;
const BATCHES_AHEAD = 8;
/** Messages in one turn, after some were lost. */
const MOST_THROWN_AWAY = 8192;
/** Sockets that lost messages and are not empty yet. */
const overrun = new Set<MulticastSocket>();
/** The wake descriptor ends the waiting; this is for a process that ends without a word. */
const POLL_MS = 1000;

if (parentPort === null) throw new InternalError('net/event-worker is the entry of a worker thread');
const port = parentPort;
const { namespacePath, taken } = workerData as EventWorkerOptions;

const post = (message: EventWorkerMessage): void => port.postMessage(message);
const ending = (): boolean => Atomics.load(taken, 1) !== 0;

// Threads of the libuv pool inherit the namespace of the one that starts them; see net/worker.ts.
await stat('/');
try {
  enterHome();
  await listen();
} catch (error) {
  post({ kind: 'failed', error: packError(error) });
}

function enterHome(): void {
  if (namespacePath === undefined || enterForGood(namespacePath)) return;
  throw new NotFound(`"${namespacePath}" is no network namespace: create it (ip netns add) and start again`);
}

async function listen(): Promise<void> {
  const links = new MulticastSocket({
    groups: [uapi.RTNLGRP_LINK, uapi.RTNLGRP_IPV4_IFADDR, uapi.RTNLGRP_IPV6_IFADDR, uapi.RTNLGRP_TC],
    receiveBufferBytes: LINK_BUFFER_BYTES,
  });
  const neighbours = openNeighbours();
  const wakeFd = eventfd();
  const fds = [wakeFd, links.fd, ...(neighbours === undefined ? [] : [neighbours.fd])];
  post({ kind: 'ready', wakeFd });
  let posted = 0;
  const batch = new EventBatch();
  try {
    while (!ending()) {
      poll(fds, POLL_MS);
      drain(links, batch, 'all');
      if (neighbours !== undefined) drain(neighbours, batch, 'neighbours');
      if (batch.size > 0) {
        post({ kind: 'events', events: batch.take() });
        posted++;
        waitForReceiver(posted);
      }
      await nextTurn();
    }
  } finally {
    links.close();
    neighbours?.close();
  }
}

/** Without it, entries that somebody deletes by hand come back with the periodic check only. */
function openNeighbours(): MulticastSocket | undefined {
  try {
    return new MulticastSocket({
      groups: [uapi.RTNLGRP_NEIGH],
      receiveBufferBytes: NEIGHBOUR_BUFFER_BYTES,
      filter: neighbourFilter(process.pid),
    });
  } catch (error) {
    post({ kind: 'note', message: 'changes of neighbour entries are not heard', error: packError(error) });
    return undefined;
  }
}

function drain(socket: MulticastSocket, batch: EventBatch, lost: Resync['lost']): void {
  if (overrun.has(socket) && !empty(socket)) return;
  if (overrun.delete(socket)) batch.add({ kind: 'resync', lost });
  for (let count = 0; count < BATCH_DATAGRAMS && batch.size < BATCH_EVENTS; count++) {
    const received = socket.receive();
    if (received === 'empty') return;
    if (received === 'overrun') {
      // The kernel goes on dropping, without another word, until the socket is empty; only then a look sees it all.
      overrun.add(socket);
      if (empty(socket) && overrun.delete(socket)) batch.add({ kind: 'resync', lost });
      return;
    }
    for (const event of eventsOf(received, process.pid)) batch.add(event);
  }
}

/**
 * Throws away what waits, but not for ever: a flood must not keep the other socket, or the end, waiting.
 * @returns whether nothing is left
 */
function empty(socket: MulticastSocket): boolean {
  for (let count = 0; count < MOST_THROWN_AWAY; count++) if (socket.receive() === 'empty') return true;
  return false;
}

function waitForReceiver(posted: number): void {
  for (;;) {
    const done = Atomics.load(taken, 0);
    if (ending() || posted - done < BATCHES_AHEAD) return;
    Atomics.wait(taken, 0, done, POLL_MS);
  }
}
