/**
 * A program: lets sandboxes talk with each other, all to all, from inside of them, and prints `Talk` as JSON. One process
 * with a socket in each sandbox, so that what is measured is the kernel's way and not the start of a program.
 *
 * First every pair in turn, so that each first ping is alone on the wire; then the same again; then all at once.
 */
import { closeSync, openSync } from 'node:fs';
import { setns } from '../net/rtnetlink/libc.ts';
import { CLONE_NEWNET } from '../net/rtnetlink/uapi.ts';
import { EchoSocket, socketAddress } from '../test/support/echo-socket.ts';

export interface Talker {
  /** Of its network namespace. */
  readonly path: string;
  readonly ip: string;
}

export interface Talk {
  /** Round trips of the pings that were each pair's first, ms. */
  readonly firstMs: readonly number[];
  /** The same pairs again. */
  readonly secondMs: readonly number[];
  readonly lost: number;
  /** Pings of the round in which all talk at once, and how many of them were not answered. */
  readonly together: { readonly sent: number; readonly lost: number };
}

const WAIT_MS = 1000;
/** Of the round in which all talk at once: so many packets, then their answers. */
const AT_ONCE = 500;

interface Mouth extends Talker {
  readonly socket: EchoSocket;
  readonly address: Buffer;
}

function mouthOf(talker: Talker, identity: number, home: number): Mouth {
  const sandbox = openSync(talker.path, 'r');
  setns(sandbox, CLONE_NEWNET);
  try {
    const socket = new EchoSocket({ identity, waitMs: WAIT_MS });
    return { ...talker, socket, address: socketAddress(talker.ip) };
  } finally {
    setns(home, CLONE_NEWNET);
    closeSync(sandbox);
  }
}

/** @returns the round trip in ms, or undefined if there was no answer in time */
function ping(from: Mouth, to: Mouth, sequence: number): number | undefined {
  const began = performance.now();
  if (!from.socket.send(to.address, { first: 0, second: sequence })) return undefined;
  for (;;) {
    const answer = from.socket.receive();
    if (answer === undefined) return undefined;
    if (answer.second === sequence) return performance.now() - began;
  }
}

function pairsOf(mouths: readonly Mouth[]): (readonly [Mouth, Mouth])[] {
  return mouths.flatMap((from) => mouths.filter((to) => to !== from).map((to) => [from, to] as const));
}

/** Everybody says something to everybody before anybody listens. */
function together(pairs: readonly (readonly [Mouth, Mouth])[]): Talk['together'] {
  let answered = 0;
  for (let at = 0; at < pairs.length; at += AT_ONCE) {
    const some = pairs.slice(at, at + AT_ONCE);
    const said = some.filter(([from, to]) => from.socket.send(to.address, { first: 1, second: 0 }));
    for (const [from] of said) if (from.socket.receive() !== undefined) answered += 1;
  }
  return { sent: pairs.length, lost: pairs.length - answered };
}

const talkers = JSON.parse(process.argv[2] ?? '[]') as Talker[];
const home = openSync('/proc/self/ns/net', 'r');
const pairs = pairsOf(talkers.map((talker, index) => mouthOf(talker, process.pid + index, home)));
// the first pings of a process run through code that is not compiled yet
for (const [from] of pairs.slice(0, 1)) for (let i = 0; i < 200; i++) ping(from, from, i);
const turn = (sequence: number) => pairs.map(([from, to]) => ping(from, to, sequence));
const [first, second] = [turn(1000), turn(1001)];
const answered = (trips: readonly (number | undefined)[]) => trips.filter((ms) => ms !== undefined);
const talk: Talk = {
  firstMs: answered(first),
  secondMs: answered(second),
  lost: [...first, ...second].filter((ms) => ms === undefined).length,
  together: together(pairs),
};
process.stdout.write(`${JSON.stringify(talk)}\n`);
