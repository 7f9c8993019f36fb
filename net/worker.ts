/**
 * Entry of the one thread in which all kernel work is done: netlink requests are synchronous and deleting a link
 * stops the caller for some 20 ms, which the thread that serves the plugin socket must never feel. Requests come
 * over the message port and are executed one at a time, in order. Must not import anything above `net/`.
 */
import { stat } from 'node:fs/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { InternalError, NotFound } from '../core/errors.ts';
import { arpProbeHandlers } from './arp-probe.ts';
import { bridgeHandlers } from './bridge.ts';
import { bridgeMoveHandlers } from './bridge-move.ts';
import { ipvlanHandlers } from './ipvlan.ts';
import { lostLinkHandlers } from './lost-link.ts';
import { linkDelete, linkGet, linkList, macvlanAdd } from './macvlan.ts';
import { neighbourHandlers } from './neighbour-operations.ts';
import type { Handlers, KernelOperations, OperationName } from './operations.ts';
import { probe } from './probe.ts';
import { responderHandlers } from './responder-operations.ts';
import { enterForGood, withSocketHere, withSocketIn } from './rtnetlink/namespace.ts';
import { sandboxHandlers } from './sandbox-operations.ts';
import { hostShapingHandlers } from './shaping/host-operations.ts';
import { shapingHandlers } from './shaping/operations.ts';
import { shimHandlers } from './shim.ts';
import { hostRouteHandlers } from './shim-routes.ts';
import { vethHandlers } from './veth.ts';
import { vlanHandlers } from './vlan.ts';
import { WaitingRequests } from './waiting-requests.ts';
import { packError, type WorkerOptions, type WorkerReply, type WorkerRequest } from './worker-protocol.ts';

const options = workerData as WorkerOptions;
const waiting = new WaitingRequests(options.waiting);
const handlers: Handlers<KernelOperations> = {
  macvlanAdd: (spec) => withSocketHere((socket) => macvlanAdd(socket, spec)),
  linkDelete: (name) => withSocketHere((socket) => linkDelete(socket, name)),
  linkGet: (name) => withSocketHere((socket) => linkGet(socket, name)),
  linkList: () => withSocketHere((socket) => linkList(socket)),
  linkListIn: (namespacePath) => withSocketIn(namespacePath, (socket) => linkList(socket)),
  probe: () => probe(),
  ...sandboxHandlers,
  ...arpProbeHandlers,
  ...neighbourHandlers(waiting),
  ...shapingHandlers(waiting),
  ...hostShapingHandlers,
  ...ipvlanHandlers,
  ...shimHandlers,
  ...hostRouteHandlers,
  ...responderHandlers,
  ...vlanHandlers,
  ...lostLinkHandlers,
  ...bridgeHandlers,
  ...bridgeMoveHandlers,
  ...vethHandlers,
};

if (parentPort === null) throw new InternalError('net/worker is the entry of a worker thread');
const port = parentPort;

// The first asynchronous file operation of a process starts all threads of the libuv pool, and a thread inherits
// the namespace of the one that starts it: so it must happen before this thread ever leaves home.
await stat('/');

const homeFailure = enterHome(options);
port.on('message', serve);

function serve(request: WorkerRequest): void {
  if (request.operation === 'end') {
    port.close();
    return;
  }
  port.postMessage(execute(request.id, request.operation, request.argument));
}

function execute(id: number, operation: OperationName, argument: unknown): WorkerReply {
  try {
    if (homeFailure !== undefined) throw homeFailure;
    const handler = handlers[operation] as (argument: unknown) => unknown;
    return { id, result: handler(argument) };
  } catch (error) {
    return { id, error: packError(error) };
  }
}

/** @returns why the namespace that was asked for could not be entered; every request fails with it */
function enterHome({ namespacePath }: WorkerOptions): unknown {
  if (namespacePath === undefined) return undefined;
  try {
    if (enterForGood(namespacePath)) return undefined;
    return new NotFound(
      `"${namespacePath}" is no network namespace: create it (ip netns add) and start again`,
    );
  } catch (error) {
    return error;
  }
}
